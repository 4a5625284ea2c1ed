import { displayDecimal, formatRatio } from "@/market/decimal";
import type { TickerFeed } from "@/state/feeds";
import type { LiveTextValue } from "@/ui/LiveText";

/** Text and colour of the change in 24 hours. */
export function changeOf({ ticker }: TickerFeed): LiveTextValue {
  const text = formatRatio(ticker.change_24h);
  const className = text.startsWith("+") ? "text-buy" : text.startsWith("−") ? "text-sell" : "text-muted";
  return { text, className };
}

/** Text of one figure of the ticker. */
export const figureOf =
  (name: "last_price" | "high_24h" | "low_24h" | "volume_24h") =>
  ({ ticker }: TickerFeed): LiveTextValue => ({ text: displayDecimal(ticker[name]) });
