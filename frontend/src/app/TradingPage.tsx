import { lazy, Suspense, useEffect, useState } from "react";

import type { Market } from "@/api/types";
import { MarketHeader } from "@/features/markets/MarketHeader";
import { MarketList } from "@/features/markets/MarketList";
import { OrderBook } from "@/features/order-book/OrderBook";
import { OrderTicket } from "@/features/order-ticket/OrderTicket";
import { Trades } from "@/features/trades/Trades";
import { pathOf, useMarkets } from "@/state/markets";
import { usePreferences } from "@/state/preferences";
import { useTicket } from "@/state/ticket";
import { Empty } from "@/ui/DataTable";
import { Loaded } from "@/ui/Loaded";
import { Tabs } from "@/ui/Tabs";
import { t } from "@/ui/text";
import { useMediaQuery } from "@/ui/useMediaQuery";

import { AccountPanel } from "./AccountPanel";

/** The chart's library is as large as the rest of the page: it comes after it. */
const LazyChart = lazy(async () => ({ default: (await import("@/features/chart/Chart")).Chart }));

function Chart(props: { readonly market: Market; readonly titleHidden?: boolean }) {
  return (
    <Suspense fallback={<Empty>{t("app.loading")}</Empty>}>
      <LazyChart {...props} />
    </Suspense>
  );
}

/** Trading one market, named as in its address: "BTC-USD". */
export function TradingPage({ path }: { readonly path: string }) {
  const query = useMarkets();
  return (
    <Loaded query={query}>
      {(markets) => {
        const market = markets.find(({ symbol }) => pathOf(symbol) === path.toUpperCase());
        if (!market) return <Empty>{t("market.unknown", { symbol: path })}</Empty>;
        return <TradingDesk key={market.symbol} market={market} markets={markets} />;
      }}
    </Loaded>
  );
}

function TradingDesk({ market, markets }: { readonly market: Market; readonly markets: readonly Market[] }) {
  const remember = usePreferences((preferences) => preferences.set);
  useEffect(() => remember({ symbol: market.symbol }), [market.symbol, remember]);
  const clear = useTicket((state) => state.clear);
  useEffect(() => clear(), [market.symbol, clear]);
  const wide = useMediaQuery("(min-width: 1200px)");
  const medium = useMediaQuery("(min-width: 768px)");
  return (
    <>
      <h1 className="sr-only">{t("market.heading", { symbol: market.symbol })}</h1>
      <MarketHeader market={market} markets={markets} />
      {wide ? <Wide market={market} markets={markets} /> : medium ? <Medium market={market} /> : <Narrow market={market} />}
    </>
  );
}

/** Three panes: book and tape, chart and account, markets and ticket. */
function Wide({ market, markets }: { readonly market: Market; readonly markets: readonly Market[] }) {
  return (
    <div className="grid min-h-0 flex-1 grid-cols-[290px_minmax(0,1fr)_310px] gap-1 p-1">
      <div className="flex min-h-0 flex-col gap-1">
        <div className="flex min-h-0 flex-[3]">
          <OrderBook market={market} />
        </div>
        <div className="flex min-h-0 flex-[2]">
          <Trades market={market} />
        </div>
      </div>
      <div className="flex min-h-0 flex-col gap-1">
        <div className="flex min-h-0 flex-[3]">
          <Chart market={market} />
        </div>
        <div className="flex min-h-0 flex-[2]">
          <AccountPanel />
        </div>
      </div>
      <div className="flex min-h-0 flex-col gap-1">
        <MarketList markets={markets} current={market.symbol} />
        <OrderTicket market={market} />
      </div>
    </div>
  );
}

/** Two panes: chart and account, book and ticket. */
function Medium({ market }: { readonly market: Market }) {
  return (
    <div className="grid min-h-0 flex-1 grid-cols-[minmax(0,1fr)_300px] gap-1 p-1">
      <div className="flex min-h-0 flex-col gap-1">
        <div className="flex min-h-0 flex-1">
          <Chart market={market} />
        </div>
        <div className="flex min-h-0 flex-1">
          <AccountPanel />
        </div>
      </div>
      <div className="flex min-h-0 flex-col gap-1">
        <div className="flex min-h-0 flex-1">
          <OrderBook market={market} />
        </div>
        <div className="flex max-h-[65%] min-h-0">
          <OrderTicket market={market} />
        </div>
      </div>
    </div>
  );
}

/** One pane at a time. */
function Narrow({ market }: { readonly market: Market }) {
  const [tab, setTab] = useState("ticket");
  const picks = useTicket((state) => state.picks);
  const [picksSeen, setPicksSeen] = useState(picks);
  if (picks !== picksSeen) {
    setPicksSeen(picks);
    setTab("ticket");
  }
  const tabs = [
    { id: "ticket", label: t("app.trade"), content: <OrderTicket market={market} titleHidden /> },
    { id: "chart", label: t("chart.title"), content: <Chart market={market} titleHidden /> },
    { id: "book", label: t("app.book"), content: <OrderBook market={market} titleHidden /> },
    { id: "tape", label: t("app.tape"), content: <Trades market={market} titleHidden /> },
    { id: "account", label: t("app.account"), content: <AccountPanel /> },
  ];
  return <Tabs label={t("app.views")} tabs={tabs} value={tab} onChange={setTab} className="mt-1 bg-panel" />;
}
