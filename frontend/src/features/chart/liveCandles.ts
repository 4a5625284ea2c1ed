import type { Candle, Interval } from "@/market/candles";
import { withTrade } from "@/market/candles";
import type { TradesFeed } from "@/state/feeds";

const PAGE = 300;
const VOLUME_MS = 5000;

/** Reads up to `limit` candles before `end`. */
export type ReadCandles = (limit: number, end?: string) => Promise<Candle[]>;

/** Where the candles are shown. */
export interface CandleSink {
  show(candles: readonly Candle[], fit: boolean): void;
  update(candle: Candle): void;
}

/**
 * The candles of one market and interval: read once, then led on by the tape. Volume comes from the exchange every few seconds,
 * because a trade of the tape may be in the candle that was read already.
 */
export class LiveCandles {
  #candles: Candle[] = [];
  #seen = 0;
  #snapshots = 0;
  #ready = false;
  #loading = false;
  #complete = false;
  #stopped = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #traded = false;

  constructor(
    private readonly read: ReadCandles,
    private readonly interval: Interval,
    private readonly trades: TradesFeed,
    private readonly sink: CandleSink,
    private readonly onState: (state: "loaded" | "empty" | "failed") => void,
  ) {}

  start(): void {
    this.#timer = setInterval(() => void this.#refreshVolume(), VOLUME_MS);
    void this.load();
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  async load(): Promise<void> {
    this.#snapshots = this.trades.snapshots;
    this.#seen = this.trades.total;
    const candles = await this.read(PAGE).catch(() => null);
    if (this.#stopped) return;
    if (candles === null) {
      this.onState("failed");
      return;
    }
    const first = candles[0]?.time ?? 0;
    const held = this.#candles.filter((candle) => candle.time < first);
    this.#complete ||= candles.length < PAGE;
    this.#candles = [...held, ...candles];
    this.sink.show(this.#candles, !this.#ready);
    this.#ready = true;
    this.onState(candles.length > 0 ? "loaded" : "empty");
    this.follow();
  }

  /** Take the trades since the last call into the last candle. */
  follow(): void {
    if (!this.#ready) return;
    const missed = this.trades.total - this.#seen;
    if (this.trades.snapshots !== this.#snapshots || missed > this.trades.size) {
      // Trades were missed, or may have been between two snapshots: what was read is read again.
      void this.load();
      return;
    }
    this.#seen = this.trades.total;
    for (let age = missed - 1; age >= 0; age -= 1) this.#take(age);
    if (missed > 0) this.#traded = true;
  }

  /** Read the page before the oldest candle. */
  async older(): Promise<void> {
    const oldest = this.#candles[0];
    if (this.#loading || this.#complete || !oldest) return;
    this.#loading = true;
    const end = new Date(oldest.time * 1000).toISOString();
    const page = await this.read(PAGE, end).catch(() => null);
    this.#loading = false;
    if (this.#stopped || page === null) return;
    const older = page.filter((candle) => candle.time < oldest.time);
    this.#complete = older.length === 0;
    this.#candles = [...older, ...this.#candles];
    if (older.length > 0) this.sink.show(this.#candles, false);
  }

  #take(age: number): void {
    const { ticks, lots, timeMs } = this.trades.at(age);
    const last = this.#candles.at(-1) ?? null;
    const next = withTrade(last, Math.floor(timeMs / 1000), ticks, Number(lots), this.interval);
    if (!next) return;
    if (!last) this.onState("loaded");
    this.#put(next);
  }

  async #refreshVolume(): Promise<void> {
    if (!this.#traded) return;
    this.#traded = false;
    const latest = await this.read(2).catch(() => []);
    if (this.#stopped) return;
    for (const candle of latest) {
      const last = this.#candles.at(-1);
      if (!last || candle.time >= last.time) this.#put(candle);
    }
  }

  #put(candle: Candle): void {
    if (this.#candles.at(-1)?.time === candle.time) this.#candles[this.#candles.length - 1] = candle;
    else this.#candles.push(candle);
    this.sink.update(candle);
  }
}
