import { useEffect, useRef } from "react";

import type { Market } from "@/api/types";
import { displayTicks } from "@/market/ticks";
import { useExchange, useHeld } from "@/state/exchange";
import type { TradesFeed } from "@/state/feeds";
import { LiveText } from "@/ui/LiveText";

/** The last price between asks and bids, coloured by the taker's side. */
export function SpreadLine({ market, topOf }: { readonly market: Market; readonly topOf: (height: number) => number }) {
  const feed = useExchange().feeds.trades(market);
  useHeld(feed);
  const line = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const parent = line.current?.parentElement;
    if (!parent) return undefined;
    const observer = new ResizeObserver(() => {
      if (line.current) line.current.style.top = `${topOf(parent.clientHeight)}px`;
    });
    observer.observe(parent);
    return () => observer.disconnect();
  });
  return (
    <div ref={line} aria-hidden="true" className="pointer-events-none absolute inset-x-0 flex h-[30px] items-center px-3">
      <LiveText source={feed} read={lastPrice} className="text-base font-semibold" />
    </div>
  );
}

function lastPrice(feed: TradesFeed): { text: string; className?: string } {
  if (feed.size === 0) return { text: "" };
  const { ticks, buy } = feed.at(0);
  return { text: `${displayTicks(ticks, feed.grid)} ${buy ? "↑" : "↓"}`, className: buy ? "text-buy" : "text-sell" };
}
