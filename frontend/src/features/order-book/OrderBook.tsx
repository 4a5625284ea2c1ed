import { useMemo } from "react";

import type { Market } from "@/api/types";
import { formatDecimal } from "@/market/decimal";
import { displayTicks, priceOf, quantityOf, ticksOf } from "@/market/ticks";
import { useOpenOrders } from "@/state/account";
import { useExchange, useHeld } from "@/state/exchange";
import type { DepthFeed } from "@/state/feeds";
import { useTicket } from "@/state/ticket";
import { Canvas } from "@/ui/Canvas";
import { LiveTable } from "@/ui/LiveTable";
import { LiveText } from "@/ui/LiveText";
import { Panel } from "@/ui/Panel";
import { t } from "@/ui/text";

import { layoutOf, paintLadder, ticksAtY } from "./ladder";
import { SpreadLine } from "./SpreadLine";

const TABLE_LEVELS = 25;

/** The ladder of resting quantity. A click on a row puts its price into the ticket. */
export function OrderBook({ market, titleHidden = false }: { readonly market: Market; readonly titleHidden?: boolean }) {
  const feed = useExchange().feeds.depth(market);
  useHeld(feed);
  const pickPrice = useTicket((state) => state.pick);
  const ownTicks = useOwnTicks(market, feed);

  const pick = (y: number, height: number): void => {
    const ticks = ticksAtY(feed.book, y, height);
    if (ticks !== null) pickPrice(formatDecimal(priceOf(ticks, feed.grid)));
  };
  return (
    <Panel
      title={t("book.title")}
      titleHidden={titleHidden}
      className="flex-1"
      end={<LiveText source={feed} read={spreadOf} className="text-xs text-muted" />}
    >
      <div aria-hidden="true" className="flex shrink-0 justify-between px-3 py-1.5 text-xs text-muted">
        <span className="w-1/3">{t("book.priceIn", { asset: market.quote })}</span>
        <span className="w-1/3 text-right">{t("book.quantityIn", { asset: market.base })}</span>
        <span className="w-1/3 text-right">{t("book.total")}</span>
      </div>
      <div className="relative min-h-0 flex-1">
        <Canvas
          source={feed}
          paint={(surface) => paintLadder(surface, feed.book, ownTicks, feed.loaded ? t("book.empty") : t("app.loading"))}
          onPick={pick}
        />
        <SpreadLine market={market} topOf={(height) => layoutOf(height).spreadTop} />
        <LiveTable
          source={feed}
          label={t("book.title")}
          headings={[t("book.side"), t("book.price"), t("book.quantity")]}
          rows={() => tableOf(feed)}
        />
      </div>
    </Panel>
  );
}

function spreadOf(feed: DepthFeed): { text: string } {
  const ticks = feed.book.spreadTicks;
  return { text: ticks === null ? "" : `${t("book.spread")} ${displayTicks(ticks, feed.grid)}` };
}

/** Prices at which the account has open orders. */
function useOwnTicks(market: Market, feed: DepthFeed): ReadonlySet<number> {
  const { data: orders } = useOpenOrders();
  return useMemo(() => {
    const own = (orders ?? []).filter((order) => order.symbol === market.symbol && order.price !== null);
    return new Set(own.map((order) => ticksOf(order.price ?? "0", feed.grid)));
  }, [orders, market.symbol, feed]);
}

/** The best levels as text, asks from worst to best and then bids from best to worst, as they are seen. */
function tableOf({ book, grid }: DepthFeed): string[][] {
  const rowsOf = (side: typeof book.bids, name: string): string[][] =>
    Array.from({ length: Math.min(side.size, TABLE_LEVELS) }, (_, index) => [
      name,
      formatDecimal(priceOf(side.ticksAt(index), grid)),
      formatDecimal(quantityOf(side.lotsAt(index), grid), 0),
    ]);
  return [...rowsOf(book.asks, t("book.ask")).reverse(), ...rowsOf(book.bids, t("book.bid"))];
}
