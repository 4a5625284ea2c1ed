import type { TickerMessage, TradesMessage } from "@/api/messages";
import type { Stream } from "@/api/stream";
import type { Market } from "@/api/types";
import { Book } from "@/market/book";
import { asLots, asTicks, gridOf, lotsOf, ticksOf, type Grid, type Lots, type Ticks } from "@/market/ticks";

/** Stream data of one market and channel, outside React: kept while somebody holds it, telling whoever draws that it has changed. */
abstract class Feed {
  readonly #listeners = new Set<() => void>();
  #holders = 0;
  #stop: (() => void) | null = null;

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Keep the subscription up until the returned function is called. */
  hold(): () => void {
    this.#holders += 1;
    this.#stop ??= this.open();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holders -= 1;
      if (this.#holders > 0) return;
      this.#stop?.();
      this.#stop = null;
    };
  }

  protected changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Subscribe; returns the function that unsubscribes. */
  protected abstract open(): () => void;
}

export class DepthFeed extends Feed {
  readonly book: Book;
  /** False until the first snapshot is here. */
  loaded = false;

  constructor(
    private readonly stream: Stream,
    private readonly symbol: string,
    readonly grid: Grid,
  ) {
    super();
    this.book = new Book(grid);
  }

  protected open(): () => void {
    return this.stream.subscribe("depth", this.symbol, (message) => {
      if (message.type === "snapshot") this.book.load(message);
      else this.book.apply(message);
      this.loaded = true;
      if (message.type === "update" && this.book.exhausted) this.stream.resnapshot("depth", this.symbol);
      this.changed();
    });
  }
}

/** Trades kept for the tape. At the bound the oldest are forgotten. */
/** More than an update has, which may be of many batches (docs/streams.md), unless one batch trades more. */
export const TRADES_MAX = 2_000;

/** The latest trades of a market in a ring of integers. */
export class TradesFeed extends Feed {
  readonly #ticks = new Uint32Array(TRADES_MAX);
  readonly #lots = new BigInt64Array(TRADES_MAX);
  readonly #buys = new Uint8Array(TRADES_MAX);
  readonly #timesMs = new Float64Array(TRADES_MAX);
  /** Trades taken in since the page was opened; the newest is number `total - 1`. */
  total = 0;
  #since = 0;
  /** Counts snapshots: after each, trades may have been missed. */
  snapshots = 0;

  constructor(
    private readonly stream: Stream,
    private readonly symbol: string,
    readonly grid: Grid,
  ) {
    super();
  }

  get size(): number {
    return Math.min(this.total - this.#since, TRADES_MAX);
  }

  /** The trade `age` steps back from the newest (0), age < size. */
  at(age: number): { ticks: Ticks; lots: Lots; buy: boolean; timeMs: number } {
    const slot = (this.total - 1 - age) % TRADES_MAX;
    return {
      ticks: asTicks(this.#ticks[slot] ?? 0),
      lots: asLots(this.#lots[slot] ?? 0n),
      buy: this.#buys[slot] === 1,
      timeMs: this.#timesMs[slot] ?? 0,
    };
  }

  protected open(): () => void {
    return this.stream.subscribe("trades", this.symbol, (message) => {
      if (message.type === "snapshot") this.#load(message);
      else this.#take(message);
      this.changed();
    });
  }

  #load(snapshot: TradesMessage): void {
    this.#since = this.total;
    this.snapshots += 1;
    for (const trade of snapshot.trades.toReversed()) this.#push(trade);
  }

  #take(update: TradesMessage): void {
    for (const trade of update.trades) this.#push(trade);
  }

  #push(trade: TradesMessage["trades"][number]): void {
    const slot = this.total % TRADES_MAX;
    this.#ticks[slot] = ticksOf(trade.price, this.grid);
    this.#lots[slot] = lotsOf(trade.quantity, this.grid);
    this.#buys[slot] = trade.side === "Buy" ? 1 : 0;
    this.#timesMs[slot] = Date.parse(trade.executed_at);
    this.total += 1;
  }
}

export class TickerFeed extends Feed {
  ticker: Omit<TickerMessage, "type">;

  constructor(
    private readonly stream: Stream,
    private readonly symbol: string,
    initial: Omit<TickerMessage, "type">,
  ) {
    super();
    this.ticker = initial;
  }

  protected open(): () => void {
    return this.stream.subscribe("ticker", this.symbol, (message) => {
      this.ticker = message;
      this.changed();
    });
  }
}

/** One feed a market and channel, made when first asked for. */
export class Feeds {
  readonly #made = new Map<string, Feed>();

  constructor(private readonly stream: Stream) {}

  depth(market: Market): DepthFeed {
    return this.#one(`depth ${market.symbol}`, () => new DepthFeed(this.stream, market.symbol, gridOf(market)));
  }

  trades(market: Market): TradesFeed {
    return this.#one(`trades ${market.symbol}`, () => new TradesFeed(this.stream, market.symbol, gridOf(market)));
  }

  ticker(market: Market): TickerFeed {
    return this.#one(`ticker ${market.symbol}`, () => new TickerFeed(this.stream, market.symbol, market));
  }

  #one<F extends Feed>(key: string, make: () => F): F {
    const made = (this.#made.get(key) as F | undefined) ?? make();
    this.#made.set(key, made);
    return made;
  }
}
