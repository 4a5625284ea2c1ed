import { useQuery } from "@tanstack/react-query";

import { answerOf, type Api } from "@/api/client";
import type { CandleItem, Market } from "@/api/types";
import type { Candle, Interval } from "@/market/candles";
import { gridOf, lotsOf, ticksOf, type Grid } from "@/market/ticks";

import { useExchange } from "./exchange";

export function useMarkets() {
  const { api } = useExchange();
  return useQuery({
    queryKey: ["markets"],
    staleTime: 60_000,
    queryFn: async () => (await answerOf(api.GET("/api/v1/markets"))).items,
  });
}

/** "BTC/USD" -> "BTC-USD": as it stands in a path. */
export const pathOf = (symbol: string): string => symbol.replace("/", "-");

function candleOf(item: CandleItem, grid: Grid): Candle {
  return {
    time: Math.floor(Date.parse(item.opened_at) / 1000),
    open: ticksOf(item.open, grid),
    high: ticksOf(item.high, grid),
    low: ticksOf(item.low, grid),
    close: ticksOf(item.close, grid),
    volume: Number(lotsOf(item.volume, grid)), // for the height of a bar only
  };
}

/** Up to `limit` candles that opened before `end` (RFC 3339; now where it is missing), oldest first. */
export async function readCandles(api: Api, market: Market, interval: Interval, limit: number, end?: string): Promise<Candle[]> {
  const query = { interval, limit, ...(end ? { end } : {}) };
  const path = { symbol: pathOf(market.symbol) };
  const answer = await answerOf(api.GET("/api/v1/markets/{symbol}/candles", { params: { path, query } }));
  const grid = gridOf(market);
  return answer.items.map((item) => candleOf(item, grid));
}
