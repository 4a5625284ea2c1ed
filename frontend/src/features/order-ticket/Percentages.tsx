import type { Market } from "@/api/types";
import type { Decimal } from "@/market/decimal";
import { quantityForPercent } from "@/market/ticket";
import { useExchange } from "@/state/exchange";
import { useTicket } from "@/state/ticket";
import { Button } from "@/ui/Button";
import { t } from "@/ui/text";

const PERCENTAGES = [25, 50, 75, 100];

/** Fill the quantity in from a share of the available balance. */
export function Percentages({ market, available }: { readonly market: Market; readonly available: Decimal | null }) {
  const feed = useExchange().feeds.depth(market);
  const { draft, edit } = useTicket();
  const fill = (percent: number): void => {
    if (available) edit({ quantity: quantityForPercent(percent, draft, available, market, feed.grid, feed.book) });
  };
  const priceMissing = draft.side === "Buy" && draft.orderType === "Limit" && draft.price.trim() === "";
  return (
    <div role="group" aria-label={t("ticket.percentage")} className="grid grid-cols-4 gap-1.5">
      {PERCENTAGES.map((percent) => (
        <Button key={percent} size="small" disabled={!available || available.units === 0n || priceMissing} onClick={() => fill(percent)}>
          {percent} %
        </Button>
      ))}
    </div>
  );
}
