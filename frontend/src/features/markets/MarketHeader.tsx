import { useNavigate } from "@tanstack/react-router";

import type { Market } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import { useExchange, useHeld } from "@/state/exchange";
import type { TickerFeed } from "@/state/feeds";
import { pathOf } from "@/state/markets";
import { LiveText, type LiveTextValue } from "@/ui/LiveText";
import { t } from "@/ui/text";
import { useDrawing } from "@/ui/useDrawing";

import { changeOf, figureOf } from "./ticker";

/** The market being traded: selector, last price, and the figures of the last 24 hours. */
export function MarketHeader({ market, markets }: { readonly market: Market; readonly markets: readonly Market[] }) {
  const feed = useExchange().feeds.ticker(market);
  useHeld(feed);
  usePageTitle(feed, market.symbol);
  return (
    <div className="flex shrink-0 items-center gap-x-6 gap-y-1 overflow-x-auto bg-panel [scrollbar-width:none] px-3 py-2">
      <MarketSelect market={market} markets={markets} />
      <div className="flex flex-col">
        <LiveText source={feed} read={figureOf("last_price")} className="text-lg leading-6 font-semibold" />
        <LiveText source={feed} read={changeOf} className="text-xs md:hidden" />
      </div>
      <Figure title={t("market.change")} feed={feed} read={changeOf} className="hidden md:block" />
      <Figure title={t("market.high")} feed={feed} read={figureOf("high_24h")} />
      <Figure title={t("market.low")} feed={feed} read={figureOf("low_24h")} />
      <Figure title={t("market.volume", { asset: market.base })} feed={feed} read={figureOf("volume_24h")} className="hidden sm:block" />
      <MarketStatus status={market.status} />
    </div>
  );
}

function MarketSelect({ market, markets }: { readonly market: Market; readonly markets: readonly Market[] }) {
  const navigate = useNavigate();
  return (
    <select
      aria-label={t("market.select")}
      value={market.symbol}
      onChange={(event) => void navigate({ to: "/trade/$symbol", params: { symbol: pathOf(event.target.value) } })}
      className="h-9 rounded-md border bg-raised px-2 text-base font-semibold"
    >
      {markets.map(({ symbol }) => (
        <option key={symbol}>{symbol}</option>
      ))}
    </select>
  );
}

function Figure({ title, feed, read, className = "" }: {
  readonly title: string;
  readonly feed: TickerFeed;
  readonly read: (feed: TickerFeed) => LiveTextValue;
  readonly className?: string;
}) {
  return (
    <div className={`whitespace-nowrap ${className}`}>
      <div className="text-[11px] text-muted">{title}</div>
      <LiveText source={feed} read={read} />
    </div>
  );
}

const CLOSED_STATUSES = ["Halted", "CancelOnly", "PostOnly", "Auction"] as const;

function MarketStatus({ status }: { readonly status: string }) {
  const closed = CLOSED_STATUSES.find((name) => name === status);
  return closed ? <span className="rounded bg-warn/15 px-2 py-1 text-xs text-warn">{t(`market.${closed}`)}</span> : null;
}

/** Last price and market in the title of the browser's tab. */
function usePageTitle(feed: TickerFeed, symbol: string): void {
  useDrawing(feed, () => {
    const last = feed.ticker.last_price;
    document.title = last === null ? `${symbol} · ${t("app.name")}` : `${displayDecimal(last)} ${symbol} · ${t("app.name")}`;
  });
}
