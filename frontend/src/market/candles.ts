/** A candle as the chart takes it: prices in ticks, volume in lots (for display: exact to 2**53), time in seconds since 1970. */
export interface Candle {
  readonly time: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
}

export const INTERVALS = ["1m", "5m", "15m", "1h", "4h", "1d"] as const;
export type Interval = (typeof INTERVALS)[number];

const SECONDS: Record<Interval, number> = { "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400 };

export const secondsOf = (interval: Interval): number => SECONDS[interval];

/** Start of the candle that a time (seconds) falls into. */
export function bucketOf(timeSeconds: number, interval: Interval): number {
  return timeSeconds - (timeSeconds % SECONDS[interval]);
}

/**
 * The last candle after one more trade. High, low and close may be told twice without harm; volume may not, so it is left to
 * the server and only a new candle starts with the trade's own.
 */
export function withTrade(last: Candle | null, timeSeconds: number, ticks: number, lots: number, interval: Interval): Candle | null {
  const time = bucketOf(timeSeconds, interval);
  if (!last || time > last.time) return { time, open: ticks, high: ticks, low: ticks, close: ticks, volume: lots };
  if (time < last.time) return null;
  return { ...last, high: Math.max(last.high, ticks), low: Math.min(last.low, ticks), close: ticks };
}
