import { compare, decimal, divide, formatDecimal, multiply, parseDecimal, ZERO, type Decimal } from "./decimal";
import type { Book } from "./book";
import { asLots, onGrid, quantityOf, type Grid, type Lots } from "./ticks";

export type Side = "Buy" | "Sell";
export type OrderType = "Limit" | "Market";
export type TimeInForce = "GTC" | "IOC" | "FOK";

/** What the trader has typed so far. Price is the limit, or for a market order the protection price or empty. */
export interface Draft {
  readonly side: Side;
  readonly orderType: OrderType;
  readonly price: string;
  readonly quantity: string;
  readonly timeInForce: TimeInForce;
  readonly postOnly: boolean;
}

/** The rules of a market that a ticket is checked against before it is sent. */
export interface MarketRules {
  readonly tick_size: string;
  readonly lot_size: string;
  readonly quantity_min: string;
  readonly quantity_max: string;
  readonly notional_min: string;
  readonly price_max: string;
}

/** Why a draft would be refused, in the exchange's own words for it. `nearest` is a text for `field` that would pass this check. */
export interface Refusal {
  readonly reason: string;
  readonly field: "price" | "quantity";
  readonly limit: string | null;
  readonly nearest: string | null;
}

const refusal = (reason: string, field: Refusal["field"], limit: string | null, nearest: string | null): Refusal => ({
  reason,
  field,
  limit,
  nearest,
});

/**
 * The first reason why the exchange would refuse the draft, or null where nothing speaks against sending it. `available` is what
 * the account can spend: quote for a buy, base for a sell; null where it is not known. The exchange decides; this only saves a round trip.
 */
export function checkDraft(draft: Draft, rules: MarketRules, grid: Grid, available: Decimal | null): Refusal | null {
  const priceNeeded = draft.orderType === "Limit" || draft.price.trim() !== "";
  return (
    (priceNeeded ? checkPrice(draft.price, rules, grid) : null) ??
    checkQuantity(draft.quantity, rules, grid) ??
    (draft.orderType === "Limit" ? checkNotional(draft, rules, grid) : null) ??
    (available ? checkFunds(draft, rules, grid, available) : null)
  );
}

function checkPrice(text: string, rules: MarketRules, grid: Grid): Refusal | null {
  const { value, exact, nearest } = onGrid(text, grid.tickSize);
  if (!value) return refusal("MALFORMED", "price", null, null);
  if (compare(value, ZERO) <= 0) return refusal("PRICE_OUT_OF_RANGE", "price", rules.tick_size, rules.tick_size);
  if (compare(value, decimal(rules.price_max)) > 0) {
    return refusal("PRICE_OUT_OF_RANGE", "price", rules.price_max, rules.price_max);
  }
  return exact ? null : refusal("PRICE_OFF_TICK", "price", rules.tick_size, nearest);
}

function checkQuantity(text: string, rules: MarketRules, grid: Grid): Refusal | null {
  const { value, exact, nearest } = onGrid(text, grid.lotSize);
  if (!value) return refusal("MALFORMED", "quantity", null, null);
  if (compare(value, decimal(rules.quantity_min)) < 0) {
    return refusal("QUANTITY_OUT_OF_RANGE", "quantity", rules.quantity_min, rules.quantity_min);
  }
  if (compare(value, decimal(rules.quantity_max)) > 0) {
    return refusal("QUANTITY_OUT_OF_RANGE", "quantity", rules.quantity_max, rules.quantity_max);
  }
  return exact ? null : refusal("QUANTITY_OFF_LOT", "quantity", rules.lot_size, nearest);
}

function checkNotional(draft: Draft, rules: MarketRules, grid: Grid): Refusal | null {
  const price = decimal(draft.price);
  const least = decimal(rules.notional_min);
  if (compare(multiply(price, decimal(draft.quantity)), least) >= 0) return null;
  const { quotient, exact } = divide(least, multiply(price, grid.lotSize));
  const lots = asLots(exact ? quotient : quotient + 1n);
  return refusal("NOTIONAL_TOO_SMALL", "quantity", rules.notional_min, formatDecimal(quantityOf(lots, grid)));
}

function checkFunds(draft: Draft, rules: MarketRules, grid: Grid, available: Decimal): Refusal | null {
  const quantity = decimal(draft.quantity);
  // What a market order takes is known to the exchange only, when it arrives.
  if (draft.orderType === "Market" && draft.side === "Buy") return null;
  const needed = draft.side === "Sell" ? quantity : multiply(decimal(draft.price), quantity);
  if (compare(needed, available) <= 0) return null;
  const step = draft.side === "Sell" ? grid.lotSize : multiply(decimal(draft.price), grid.lotSize);
  const affordable = quantityOf(divide(available, step).quotient, grid);
  const enough = compare(affordable, decimal(rules.quantity_min)) >= 0;
  return refusal("INSUFFICIENT_FUNDS", "quantity", formatDecimal(available), enough ? formatDecimal(affordable) : null);
}

/** Price times quantity, or null where either is not a number yet. */
export function notionalOf(draft: Draft): Decimal | null {
  const price = parseDecimal(draft.price);
  const quantity = parseDecimal(draft.quantity);
  return price && quantity ? multiply(price, quantity) : null;
}

/** What the draft would take from the book at once: notional in quote units and whether the book can fill all of it. */
export function estimateOf(draft: Draft, book: Book): { notional: Decimal; complete: boolean } | null {
  const quantity = parseDecimal(draft.quantity);
  if (!quantity) return null;
  const lots = divide(quantity, book.grid.lotSize).quotient;
  const { notionalTickLots, filledLots } = book.sweep(draft.side, lots);
  const tickLot = multiply(book.grid.tickSize, book.grid.lotSize);
  return { notional: { units: notionalTickLots * tickLot.units, scale: tickLot.scale }, complete: filledLots === lots };
}

/**
 * The quantity that `percent` (1..100) of the available balance pays for: of base for a sell, of quote at the limit for a
 * buy, of quote at the prices of the resting asks for a market buy. Rounded down to a lot, within the market's maximum. Empty text
 * where the price is missing or nothing is affordable.
 */
export function quantityForPercent(
  percent: number,
  draft: Draft,
  available: Decimal,
  rules: MarketRules,
  grid: Grid,
  book: Book | null,
): string {
  const share: Decimal = { units: (available.units * BigInt(percent)) / 100n, scale: available.scale };
  const most = divide(decimal(rules.quantity_max), grid.lotSize).quotient;
  const lots = affordableLots(draft, share, grid, book, most);
  return lots === null || lots <= 0n ? "" : formatDecimal(quantityOf(lots < most ? lots : most, grid), Math.min(4, grid.lotSize.scale));
}

function affordableLots(draft: Draft, share: Decimal, grid: Grid, book: Book | null, most: bigint): Lots | null {
  if (draft.side === "Sell") return asLots(divide(share, grid.lotSize).quotient);
  if (draft.orderType === "Market") {
    return book ? book.buyableLots(divide(share, multiply(grid.tickSize, grid.lotSize)).quotient, most) : null;
  }
  const price = parseDecimal(draft.price);
  return price && price.units > 0n ? asLots(divide(share, multiply(price, grid.lotSize)).quotient) : null;
}
