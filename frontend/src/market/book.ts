import { asLots, asTicks, lotsOf, ticksOf, type Grid, type Lots, type Ticks } from "./ticks";

/** Price and absolute quantity, as the exchange writes them; quantity "0" removes the level. */
export type LevelText = readonly [price: string, quantity: string];

/** A snapshot states at most this many levels a side: a side of this length may go on beyond what we know. */
export const SNAPSHOT_LEVELS = 500;
/** Levels kept a side. At the bound the level farthest from the best price is dropped. */
export const LEVELS_MAX = 1000;
/** Where fewer levels than this are left of a side that was cut off, a new snapshot is due. */
const LEVELS_MIN = 100;

/** One side of the book, best price first, in two integer arrays. */
export class BookSide {
  readonly #ticks = new Uint32Array(LEVELS_MAX);
  readonly #lots = new BigInt64Array(LEVELS_MAX);
  #size = 0;
  #horizon: Ticks | null = null;

  constructor(private readonly descending: boolean) {}

  get size(): number {
    return this.#size;
  }

  /** True where deeper levels exist that we were never told of, and what we know has become short. */
  get exhausted(): boolean {
    return this.#horizon !== null && this.#size < LEVELS_MIN;
  }

  ticksAt(index: number): Ticks {
    return asTicks(this.#ticks[index] ?? 0);
  }

  lotsAt(index: number): Lots {
    return asLots(this.#lots[index] ?? 0n);
  }

  load(levels: readonly LevelText[], grid: Grid): void {
    this.#size = 0;
    this.#horizon = null;
    for (const [price, quantity] of levels) this.set(ticksOf(price, grid), lotsOf(quantity, grid));
    if (levels.length >= SNAPSHOT_LEVELS) this.#horizon = this.ticksAt(this.#size - 1);
  }

  /** Set the absolute quantity at a price; zero removes the level. Prices beyond the snapshot's horizon are unknown and stay so. */
  set(ticks: Ticks, lots: Lots): void {
    if (this.#horizon !== null && this.#isBefore(this.#horizon, ticks)) return;
    const index = this.#find(ticks);
    const present = index < this.#size && this.#ticks[index] === ticks;
    if (lots === 0n) {
      if (present) this.#remove(index);
    } else if (present) {
      this.#lots[index] = lots;
    } else {
      this.#insert(index, ticks, lots);
    }
  }

  #isBefore(a: number, b: number): boolean {
    return this.descending ? a > b : a < b;
  }

  /** Index of the first level that is not better than `ticks`. */
  #find(ticks: number): number {
    let low = 0;
    let high = this.#size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#isBefore(this.ticksAt(middle), ticks)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #insert(index: number, ticks: Ticks, lots: Lots): void {
    if (index >= LEVELS_MAX) return;
    const full = this.#size === LEVELS_MAX;
    if (full) this.#size -= 1;
    this.#ticks.copyWithin(index + 1, index, this.#size);
    this.#lots.copyWithin(index + 1, index, this.#size);
    this.#ticks[index] = ticks;
    this.#lots[index] = lots;
    this.#size += 1;
    if (full) this.#horizon = this.ticksAt(LEVELS_MAX - 1);
  }

  #remove(index: number): void {
    this.#ticks.copyWithin(index, index + 1, this.#size);
    this.#lots.copyWithin(index, index + 1, this.#size);
    this.#size -= 1;
  }
}

/** The book of one market as the depth channel tells it. The order of messages is proven by the stream before they come here. */
export class Book {
  readonly bids = new BookSide(true);
  readonly asks = new BookSide(false);

  constructor(readonly grid: Grid) {}

  load(snapshot: { bids: readonly LevelText[]; asks: readonly LevelText[] }): void {
    this.bids.load(snapshot.bids, this.grid);
    this.asks.load(snapshot.asks, this.grid);
  }

  apply(update: { bids: readonly LevelText[]; asks: readonly LevelText[] }): void {
    for (const [price, quantity] of update.bids) this.bids.set(ticksOf(price, this.grid), lotsOf(quantity, this.grid));
    for (const [price, quantity] of update.asks) this.asks.set(ticksOf(price, this.grid), lotsOf(quantity, this.grid));
  }

  /** A side that was cut off by the snapshot's bound has become short. */
  get exhausted(): boolean {
    return this.bids.exhausted || this.asks.exhausted;
  }

  /** Best ask minus best bid in ticks, or null where a side is empty. */
  get spreadTicks(): number | null {
    return this.bids.size && this.asks.size ? this.asks.ticksAt(0) - this.bids.ticksAt(0) : null;
  }

  /**
   * Lots that `notionalTickLots` (ticks times lots) buys from the resting asks, best first, within `lotsMax`.
   * An estimate only: the book moves before the order arrives.
   */
  buyableLots(notionalTickLots: bigint, lotsMax: bigint): Lots {
    let left = notionalTickLots;
    let lots = 0n;
    for (let index = 0; index < this.asks.size && lots < lotsMax; index += 1) {
      const ticks = BigInt(this.asks.ticksAt(index));
      const available = this.asks.lotsAt(index);
      const affordable = left / ticks;
      const taken = affordable < available ? affordable : available;
      lots += taken;
      left -= taken * ticks;
      if (taken < available) break;
    }
    return asLots(lots < lotsMax ? lots : lotsMax);
  }

  /** What buying or selling `lots` at once would cost or bring in ticks times lots, and the lots that the book can fill. */
  sweep(side: "Buy" | "Sell", lots: bigint): { notionalTickLots: bigint; filledLots: bigint } {
    const resting = side === "Buy" ? this.asks : this.bids;
    let left = lots;
    let notionalTickLots = 0n;
    for (let index = 0; index < resting.size && left > 0n; index += 1) {
      const available = resting.lotsAt(index);
      const taken = left < available ? left : available;
      notionalTickLots += taken * BigInt(resting.ticksAt(index));
      left -= taken;
    }
    return { notionalTickLots, filledLots: lots - left };
  }
}
