import { useEffect, useRef, useState } from "react";

import type { Market } from "@/api/types";
import { INTERVALS } from "@/market/candles";
import { gridOf } from "@/market/ticks";
import { useExchange, useHeld } from "@/state/exchange";
import { readCandles } from "@/state/markets";
import { usePreferences } from "@/state/preferences";
import { Button } from "@/ui/Button";
import { Choice } from "@/ui/Choice";
import { Empty } from "@/ui/DataTable";
import { Panel } from "@/ui/Panel";
import { t } from "@/ui/text";
import { themeChanges } from "@/ui/theme";
import { useDrawing } from "@/ui/useDrawing";

import { CandleChart } from "./candleChart";
import { LiveCandles } from "./liveCandles";

/** Candles and volume of a market, following its trades. */
export function Chart({ market, titleHidden = false }: { readonly market: Market; readonly titleHidden?: boolean }) {
  const { interval, set } = usePreferences();
  const [state, setState] = useState<"loading" | "loaded" | "empty" | "failed">("loading");
  const [attempt, setAttempt] = useState(0);
  const element = useRef<HTMLDivElement>(null);
  useLiveChart(element, market, attempt, setState);

  const choice = (
    <Choice
      label={t("chart.interval")}
      options={INTERVALS.map((value) => ({ value, label: value }))}
      value={interval}
      onChange={(value) => set({ interval: value })}
    />
  );
  return (
    <Panel title={t("chart.title")} titleHidden={titleHidden} className="flex-1" end={choice}>
      {titleHidden && <div className="border-b px-2 py-1">{choice}</div>}
      <div className="relative min-h-0 flex-1">
        <div ref={element} role="figure" aria-label={t("chart.label", { symbol: market.symbol })} className="absolute inset-0" />
        {state !== "loaded" && (
          <div className="absolute inset-0 z-10 flex bg-panel">
            <Empty>
              {state === "loading" && t("app.loading")}
              {state === "empty" && t("chart.empty")}
              {state === "failed" && (
                <>
                  {t("app.loadFailed")}
                  <Button onClick={() => setAttempt(attempt + 1)}>{t("app.retry")}</Button>
                </>
              )}
            </Empty>
          </div>
        )}
      </div>
    </Panel>
  );
}

/** Keep a chart on the element from the moment it has a size. */
function useLiveChart(
  element: React.RefObject<HTMLDivElement | null>,
  market: Market,
  attempt: number,
  onState: (state: "loading" | "loaded" | "empty" | "failed") => void,
): void {
  const { api, feeds } = useExchange();
  const trades = feeds.trades(market);
  useHeld(trades);
  const interval = usePreferences((preferences) => preferences.interval);
  const shown = useRef<{ chart: CandleChart; live: LiveCandles } | null>(null);
  const latestMarket = useRef(market);
  useEffect(() => {
    latestMarket.current = market;
  });

  useEffect(() => {
    const parent = element.current;
    if (!parent) return undefined;
    onState("loading");
    const show = (): void => {
      if (shown.current || parent.clientWidth === 0 || parent.clientHeight === 0) return;
      const chart = new CandleChart(parent, gridOf(latestMarket.current), () => void shown.current?.live.older());
      const read = (limit: number, end?: string) => readCandles(api, latestMarket.current, interval, limit, end);
      const live = new LiveCandles(read, interval, trades, chart, onState);
      shown.current = { chart, live };
      live.start();
    };
    const observer = new ResizeObserver(show);
    observer.observe(parent);
    return () => {
      observer.disconnect();
      shown.current?.live.stop();
      shown.current?.chart.dispose();
      shown.current = null;
    };
  }, [element, api, trades, interval, attempt, onState]);

  useDrawing(trades, () => shown.current?.live.follow());
  useDrawing(themeChanges, () => shown.current?.chart.paint());
}
