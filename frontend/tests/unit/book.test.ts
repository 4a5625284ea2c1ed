import { describe, expect, test } from "vitest";

import { Book, LEVELS_MAX, SNAPSHOT_LEVELS, type BookSide, type LevelText } from "@/market/book";
import { gridOf } from "@/market/ticks";

const grid = gridOf({ tick_size: "1", lot_size: "0.1" });
const levelsOf = (side: BookSide): [number, bigint][] => Array.from({ length: side.size }, (_, index) => [side.ticksAt(index), side.lotsAt(index)]);

function bookOf(bids: LevelText[], asks: LevelText[]): Book {
  const book = new Book(grid);
  book.load({ bids, asks });
  return book;
}

describe("the book", () => {
  test("a snapshot stands best price first on both sides", () => {
    const book = bookOf([["99", "1"], ["98", "2"]], [["101", "3"], ["102", "4"]]);
    expect(levelsOf(book.bids)).toEqual([[99, 10n], [98, 20n]]);
    expect(levelsOf(book.asks)).toEqual([[101, 30n], [102, 40n]]);
    expect(book.spreadTicks).toBe(2);
  });

  test("an update states absolute quantities, and zero removes the level", () => {
    const book = bookOf([["99", "1"], ["98", "2"]], [["101", "3"]]);
    book.apply({ bids: [["99", "0"], ["97", "5"], ["98", "0.5"], ["98.0", "0.7"]], asks: [["100", "1"], ["150", "0"]] });
    expect(levelsOf(book.bids)).toEqual([[98, 7n], [97, 50n]]);
    expect(levelsOf(book.asks)).toEqual([[100, 10n], [101, 30n]]);
  });

  test("a new snapshot replaces everything", () => {
    const book = bookOf([["99", "1"]], [["101", "1"]]);
    book.load({ bids: [["50", "2"]], asks: [] });
    expect(levelsOf(book.bids)).toEqual([[50, 20n]]);
    expect(levelsOf(book.asks)).toEqual([]);
    expect(book.spreadTicks).toBeNull();
  });

  test("random updates leave the same book as a sorted map does", () => {
    const book = new Book(grid);
    const expected = new Map<number, bigint>();
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    for (let step = 0; step < 5000; step += 1) {
      const [ticks, lots] = [1 + random(300), BigInt(random(4))];
      book.apply({ bids: [[String(ticks), `0.${lots}`]], asks: [] });
      if (lots === 0n) expected.delete(ticks);
      else expected.set(ticks, lots);
    }
    expect(levelsOf(book.bids)).toEqual([...expected].sort(([a], [b]) => b - a));
  });

  test("beyond a snapshot that was cut off, prices stay unknown, and a short rest asks for a new one", () => {
    const bids = Array.from({ length: SNAPSHOT_LEVELS }, (_, index): LevelText => [String(10_000 - index), "1"]);
    const book = bookOf(bids, []);
    book.apply({ bids: [["9000", "1"]], asks: [] });
    expect(book.bids.size).toBe(SNAPSHOT_LEVELS);
    expect(book.exhausted).toBe(false);
    book.apply({ bids: bids.slice(0, 401).map(([price]): LevelText => [price, "0"]), asks: [] });
    expect(book.exhausted).toBe(true);
  });

  test("a side is bounded: the level farthest from the best is dropped", () => {
    const book = new Book(grid);
    const asks = Array.from({ length: LEVELS_MAX + 10 }, (_, index): LevelText => [String(5000 - index), "1"]);
    book.apply({ bids: [], asks });
    expect(book.asks.size).toBe(LEVELS_MAX);
    expect(book.asks.ticksAt(0)).toBe(5000 - LEVELS_MAX - 9);
    expect(book.asks.ticksAt(LEVELS_MAX - 1)).toBe(4990);
  });

  test("sweeping and buying walk the resting orders from the best price", () => {
    const book = bookOf([["99", "1"], ["98", "1"]], [["100", "1"], ["101", "2"]]);
    expect(book.sweep("Buy", 20n)).toEqual({ notionalTickLots: 10n * 100n + 10n * 101n, filledLots: 20n });
    expect(book.sweep("Sell", 50n)).toEqual({ notionalTickLots: 10n * 99n + 10n * 98n, filledLots: 20n });
    expect(book.buyableLots(1000n + 5n * 101n, 10_000n)).toBe(15n);
    expect(book.buyableLots(1_000_000n, 10_000n)).toBe(30n);
    expect(book.buyableLots(1_000_000n, 12n)).toBe(12n);
  });
});
