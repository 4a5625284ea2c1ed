import { decimal, divide, formatDecimal, groupThousands, parseDecimal, type Decimal } from "./decimal";

declare const brand: unique symbol;
type Nominal<T, Name extends string> = T & { readonly [brand]: Name };

/** A price in whole ticks, 1 .. 2**32 - 1: exact in a JavaScript number and in a Uint32Array. */
export type Ticks = Nominal<number, "Ticks">;
/** A quantity in whole lots, 0 .. 2**62 - 1: a bigint, because a number is exact only to 2**53. */
export type Lots = Nominal<bigint, "Lots">;

export const TICKS_MAX = 2 ** 32 - 1;

/** What a market's prices and quantities are counted in. */
export interface Grid {
  readonly tickSize: Decimal;
  readonly lotSize: Decimal;
}

export function gridOf(market: { tick_size: string; lot_size: string }): Grid {
  return { tickSize: decimal(market.tick_size), lotSize: decimal(market.lot_size) };
}

export const asTicks = (count: number | bigint): Ticks => Number(count) as Ticks;
export const asLots = (count: bigint): Lots => count as Lots;

/** Ticks of a price that the exchange stated. Throws RangeError for what is not on the grid: then we hold a wrong grid. */
export function ticksOf(price: string, { tickSize }: Grid): Ticks {
  const { quotient, exact } = divide(decimal(price), tickSize);
  if (!exact || quotient < 0n || quotient > TICKS_MAX) throw new RangeError(`price ${price} is no number of ticks`);
  return asTicks(quotient);
}

/** Lots of a quantity that the exchange stated. Throws RangeError for what is not on the grid. */
export function lotsOf(quantity: string, { lotSize }: Grid): Lots {
  const { quotient, exact } = divide(decimal(quantity), lotSize);
  if (!exact || quotient < 0n) throw new RangeError(`quantity ${quantity} is no number of lots`);
  return asLots(quotient);
}

export function priceOf(ticks: number, { tickSize }: Grid): Decimal {
  return { units: BigInt(ticks) * tickSize.units, scale: tickSize.scale };
}

export function quantityOf(lots: bigint, { lotSize }: Grid): Decimal {
  return { units: lots * lotSize.units, scale: lotSize.scale };
}

/** A price for people, with all the decimals of the tick size: "50,000.00". */
export function displayTicks(ticks: number, grid: Grid): string {
  return groupThousands(formatDecimal(priceOf(ticks, grid)));
}

/** A quantity for people: exact, with four decimals or as many as it needs. */
export function displayLots(lots: bigint, grid: Grid): string {
  return groupThousands(formatDecimal(quantityOf(lots, grid), Math.min(4, grid.lotSize.scale)));
}

/** Whether a typed text is a decimal on the grid of `step`, and otherwise the nearest text that is (null where it is no decimal). */
export function onGrid(text: string, step: Decimal): { value: Decimal | null; exact: boolean; nearest: string | null } {
  const value = parseDecimal(text);
  if (!value || value.units < 0n) return { value: null, exact: false, nearest: null };
  const { quotient, exact } = divide(value, step);
  if (exact) return { value, exact, nearest: text };
  const doubled = divide({ units: value.units * 2n, scale: value.scale }, step).quotient;
  const steps = doubled - quotient * 2n >= 1n ? quotient + 1n : quotient;
  return { value, exact, nearest: formatDecimal({ units: (steps || 1n) * step.units, scale: step.scale }) };
}
