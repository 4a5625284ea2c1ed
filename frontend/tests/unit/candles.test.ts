import { describe, expect, test, vi } from "vitest";

import { Stream } from "@/api/stream";
import { LiveCandles, type CandleSink, type ReadCandles } from "@/features/chart/liveCandles";
import { bucketOf, withTrade, type Candle } from "@/market/candles";
import { gridOf } from "@/market/ticks";
import { TradesFeed, TRADES_MAX } from "@/state/feeds";

import { FakeSocket } from "./support/sockets";

const candle = (time: number, close: number): Candle => ({ time, open: close, high: close, low: close, close, volume: 1 });

describe("candles", () => {
  test("a trade moves the candle that it falls into, and its volume is left to the server", () => {
    const next = withTrade({ time: 60, open: 10, high: 12, low: 9, close: 11, volume: 5 }, 119, 13, 2, "1m");
    expect(next).toEqual({ time: 60, open: 10, high: 13, low: 9, close: 13, volume: 5 });
  });

  test("a trade of the next interval opens a candle, one of an earlier interval changes nothing", () => {
    expect(withTrade(candle(60, 10), 120, 7, 3, "1m")).toEqual({ time: 120, open: 7, high: 7, low: 7, close: 7, volume: 3 });
    expect(withTrade(candle(60, 10), 59, 7, 3, "1m")).toBeNull();
    expect(bucketOf(86_399, "1d")).toBe(0);
  });
});

/** A trades feed that a test feeds through a fake connection. */
function tape(): { feed: TradesFeed; say: (type: "snapshot" | "update", prices: number[], atSeconds: number) => void } {
  FakeSocket.made = [];
  const tokens = { accessToken: () => Promise.resolve(null), renew: () => Promise.resolve(null) };
  const stream = new Stream({ url: "ws://x", tokens, connect: (url) => new FakeSocket(url) });
  const feed = new TradesFeed(stream, "BTC/USD", gridOf({ tick_size: "1", lot_size: "1" }));
  feed.hold();
  const socket = FakeSocket.latest();
  socket.open();
  let sequence = 1;
  const say = (type: "snapshot" | "update", prices: number[], atSeconds: number): void => {
    const trades = prices.map((price) => ({ trade_id: "1", price: String(price), quantity: "2", side: "Buy", executed_at: new Date(atSeconds * 1000).toISOString() }));
    socket.say({ type, channel: "trades", symbol: "BTC/USD", prev_sequence: sequence, sequence: (sequence += 1), trades });
  };
  return { feed, say };
}

describe("the tape", () => {
  test("holds the newest first and forgets the oldest at its bound", () => {
    const { feed, say } = tape();
    say("snapshot", [3, 2, 1], 0);
    say("update", [4, 5], 1);
    expect(Array.from({ length: feed.size }, (_, age) => feed.at(age).ticks)).toEqual([5, 4, 3, 2, 1]);
    say("update", Array.from({ length: TRADES_MAX + 300 }, (_, index) => index + 10), 2);
    expect(feed.size).toBe(TRADES_MAX);
    expect(feed.at(0).ticks).toBe(TRADES_MAX + 309);
    expect(feed.at(TRADES_MAX - 1).ticks).toBe(310);
  });
});

describe("live candles", () => {
  const shown: Candle[][] = [];
  const updated: Candle[] = [];
  const sink: CandleSink = { show: (candles) => shown.push([...candles]), update: (changed) => updated.push(changed) };
  const flush = () => new Promise((resolve) => setTimeout(resolve));

  test("follow the tape after they were read, and read again after a new snapshot", async () => {
    const { feed, say } = tape();
    say("snapshot", [10], 60);
    const read = vi.fn(() => Promise.resolve([candle(0, 9), candle(60, 10)]));
    const live = new LiveCandles(read, "1m", feed, sink, () => undefined);
    live.start();
    await flush();
    expect(shown.at(-1)).toHaveLength(2);
    say("update", [14, 12], 70);
    live.follow();
    expect(updated.at(-1)).toMatchObject({ time: 60, high: 14, close: 12 });
    say("update", [11], 125);
    live.follow();
    expect(updated.at(-1)).toMatchObject({ time: 120, open: 11 });
    say("snapshot", [11], 125);
    live.follow();
    await flush();
    expect(read).toHaveBeenCalledTimes(2);
    live.stop();
  });

  test("take all of an update with the trades of many batches, and are read again where the tape did not hold them", async () => {
    const { feed, say } = tape();
    say("snapshot", [10], 60);
    const read = vi.fn(() => Promise.resolve([candle(60, 10)]));
    const live = new LiveCandles(read, "1m", feed, sink, () => undefined);
    live.start();
    await flush();
    say("update", [99, ...Array.from({ length: 1_000 }, () => 20)], 70);
    live.follow();
    expect(updated.at(-1)).toMatchObject({ time: 60, high: 99, close: 20 });
    expect(read).toHaveBeenCalledTimes(1);
    say("update", [999, ...Array.from({ length: TRADES_MAX }, () => 20)], 80);
    live.follow();
    await flush();
    expect(read).toHaveBeenCalledTimes(2);
    live.stop();
  });

  test("older pages are read from where the chart begins, until there are none", async () => {
    const { feed } = tape();
    const pages = [Array.from({ length: 300 }, (_, index) => candle(60_000 + index * 60, 1)), [candle(59_940, 1)], []];
    const read = vi.fn<ReadCandles>(() => Promise.resolve(pages.shift() ?? []));
    const live = new LiveCandles(read, "1m", feed, sink, () => undefined);
    live.start();
    await flush();
    await live.older();
    expect(read.mock.calls[1]?.[1]).toBe(new Date(60_000_000).toISOString());
    expect(shown.at(-1)).toHaveLength(301);
    await live.older();
    await live.older();
    expect(read).toHaveBeenCalledTimes(3);
    live.stop();
  });
});
