import type { Market } from "@/api/types";
import { formatDecimal } from "@/market/decimal";
import { priceOf, quantityOf } from "@/market/ticks";
import { useExchange, useHeld } from "@/state/exchange";
import type { TradesFeed } from "@/state/feeds";
import { Canvas } from "@/ui/Canvas";
import { LiveTable } from "@/ui/LiveTable";
import { Panel } from "@/ui/Panel";
import { displayTime, t } from "@/ui/text";

import { paintTape } from "./tape";

const TABLE_TRADES = 25;

/** The tape: what has just traded. */
export function Trades({ market, titleHidden = false }: { readonly market: Market; readonly titleHidden?: boolean }) {
  const feed = useExchange().feeds.trades(market);
  useHeld(feed);
  return (
    <Panel title={t("trades.title")} titleHidden={titleHidden} className="flex-1">
      <div aria-hidden="true" className="flex shrink-0 justify-between px-3 py-1.5 text-xs text-muted">
        <span className="w-1/3">{t("book.priceIn", { asset: market.quote })}</span>
        <span className="w-1/3 text-right">{t("book.quantityIn", { asset: market.base })}</span>
        <span className="w-1/3 text-right">{t("trades.time")}</span>
      </div>
      <div className="relative min-h-0 flex-1">
        <Canvas source={feed} paint={(surface) => paintTape(surface, feed, feed.snapshots > 0 ? t("trades.empty") : t("app.loading"))} />
        <LiveTable
          source={feed}
          label={t("trades.title")}
          headings={[t("book.side"), t("book.price"), t("book.quantity"), t("trades.time")]}
          rows={() => tableOf(feed)}
        />
      </div>
    </Panel>
  );
}

function tableOf(feed: TradesFeed): string[][] {
  return Array.from({ length: Math.min(feed.size, TABLE_TRADES) }, (_, age) => {
    const { ticks, lots, buy, timeMs } = feed.at(age);
    return [
      buy ? t("ticket.Buy") : t("ticket.Sell"),
      formatDecimal(priceOf(ticks, feed.grid)),
      formatDecimal(quantityOf(lots, feed.grid), 0),
      displayTime(new Date(timeMs)),
    ];
  });
}
