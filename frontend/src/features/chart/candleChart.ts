import {
  CandlestickSeries,
  createChart,
  HistogramSeries,
  TickMarkType,
  type CandlestickData,
  type HistogramData,
  type IChartApi,
  type ISeriesApi,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";

import type { Candle } from "@/market/candles";
import { displayTicks, type Grid } from "@/market/ticks";
import { palette } from "@/ui/palette";

/** Fewer candles than this to the left of what is seen: older ones are asked for. */
const OLDER_MARGIN = 20;

const dateOf = (time: Time): Date => new Date((time as number) * 1000);

const MARKS: Record<TickMarkType, Intl.DateTimeFormatOptions> = {
  [TickMarkType.Year]: { year: "numeric" },
  [TickMarkType.Month]: { month: "short" },
  [TickMarkType.DayOfMonth]: { day: "numeric", month: "short" },
  [TickMarkType.Time]: { hour: "2-digit", minute: "2-digit", hour12: false },
  [TickMarkType.TimeWithSeconds]: { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false },
};

/** The chart on its element, which must have a size by now: a chart made at zero size stays blank. Prices are ticks throughout. */
export class CandleChart {
  readonly #chart: IChartApi;
  readonly #candles: ISeriesApi<"Candlestick">;
  readonly #volumes: ISeriesApi<"Histogram">;

  constructor(element: HTMLElement, grid: Grid, onOlder: () => void) {
    this.#chart = createChart(element, {
      autoSize: true,
      layout: { attributionLogo: true },
      localization: {
        timeFormatter: (time: Time) => dateOf(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }),
      },
      timeScale: {
        timeVisible: true,
        rightOffset: 6,
        tickMarkFormatter: (time: Time, mark: TickMarkType) => dateOf(time).toLocaleString(undefined, MARKS[mark]),
      },
    });
    this.#candles = this.#chart.addSeries(CandlestickSeries, {
      priceFormat: { type: "custom", minMove: 1, formatter: (ticks: number) => displayTicks(Math.max(0, Math.round(ticks)), grid) },
    });
    this.#volumes = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.#candles.priceScale().applyOptions({ scaleMargins: { top: 0.08, bottom: 0.22 } });
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < OLDER_MARGIN) onOlder();
    });
    this.paint();
  }

  /** Put on the colours of the theme. */
  paint(): void {
    const colours = palette();
    this.#chart.applyOptions({
      layout: { background: { color: colours.panel }, textColor: colours.muted, fontFamily: colours.font, fontSize: 11 },
      grid: { vertLines: { color: colours.raised }, horzLines: { color: colours.raised } },
      rightPriceScale: { borderColor: colours.line },
      timeScale: { borderColor: colours.line },
      crosshair: { vertLine: { labelBackgroundColor: colours.accent }, horzLine: { labelBackgroundColor: colours.accent } },
    });
    this.#candles.applyOptions({
      upColor: colours.buy,
      downColor: colours.sell,
      wickUpColor: colours.buy,
      wickDownColor: colours.sell,
      borderVisible: false,
    });
  }

  /** Show these candles, oldest first. `fit` puts the newest into view. */
  show(candles: readonly Candle[], fit: boolean): void {
    this.#candles.setData(candles.map(bodyOf));
    this.#volumes.setData(candles.map(volumeOf));
    if (fit) this.#chart.timeScale().setVisibleLogicalRange({ from: candles.length - 120, to: candles.length + 6 });
  }

  /** Change the last candle or begin the next. */
  update(candle: Candle): void {
    this.#candles.update(bodyOf(candle));
    this.#volumes.update(volumeOf(candle));
  }

  dispose(): void {
    this.#chart.remove();
  }
}

function bodyOf({ time, open, high, low, close }: Candle): CandlestickData {
  return { time: time as UTCTimestamp, open, high, low, close };
}

function volumeOf({ time, open, close, volume }: Candle): HistogramData {
  const colours = palette();
  return { time: time as UTCTimestamp, value: volume, color: close >= open ? colours["buy-soft"] : colours["sell-soft"] };
}
