import { Link } from "@tanstack/react-router";

import type { Market } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import { useExchange, useHeld } from "@/state/exchange";
import type { TickerFeed } from "@/state/feeds";
import { pathOf } from "@/state/markets";
import { LiveText } from "@/ui/LiveText";
import { Panel } from "@/ui/Panel";
import { t } from "@/ui/text";

import { changeOf } from "./ticker";

/** Every market with its last price and its change in 24 hours. */
export function MarketList({ markets, current, titleHidden = false }: {
  readonly markets: readonly Market[];
  readonly current: string;
  readonly titleHidden?: boolean;
}) {
  return (
    <Panel title={t("market.markets")} titleHidden={titleHidden} className="shrink-0">
      <nav aria-label={t("market.markets")} className="max-h-56 overflow-y-auto py-1">
        {markets.map((market) => (
          <MarketRow key={market.symbol} market={market} current={market.symbol === current} />
        ))}
      </nav>
    </Panel>
  );
}

function MarketRow({ market, current }: { readonly market: Market; readonly current: boolean }) {
  const feed: TickerFeed = useExchange().feeds.ticker(market);
  useHeld(feed);
  return (
    <Link
      to="/trade/$symbol"
      params={{ symbol: pathOf(market.symbol) }}
      aria-current={current ? "page" : undefined}
      className={`grid grid-cols-[1fr_auto_4.75rem] items-center gap-3 px-3 py-1.5 hover:bg-raised ${current ? "bg-raised font-semibold" : ""}`}
    >
      <span>{market.symbol}</span>
      <LiveText source={feed} read={({ ticker }) => ({ text: displayDecimal(ticker.last_price) })} />
      <LiveText source={feed} read={changeOf} className="text-right" />
    </Link>
  );
}

