import { add, compare, decimal, formatDecimal, multiply, ZERO, type Decimal } from "@/market/decimal";

export interface MockOrder {
  readonly id: number;
  readonly account: string;
  readonly clientOrderId: string | null;
  readonly side: "Buy" | "Sell";
  readonly orderType: "Limit" | "Market";
  readonly timeInForce: "GTC" | "IOC" | "FOK";
  readonly postOnly: boolean;
  readonly price: Decimal | null;
  readonly quantity: Decimal;
  filled: Decimal;
  filledQuote: Decimal;
  status: "Open" | "PartiallyFilled" | "Filled" | "Cancelled";
  endReason: string | null;
  readonly createdAt: string;
  readonly fills: MockFill[];
}

export interface MockFill {
  readonly tradeId: number;
  readonly price: Decimal;
  readonly quantity: Decimal;
  readonly liquidity: "Taker" | "Maker";
  readonly executedAt: string;
}

export interface MockTrade {
  readonly tradeId: number;
  readonly price: Decimal;
  readonly quantity: Decimal;
  readonly side: "Buy" | "Sell";
  readonly sequence: number;
  readonly atMs: number;
}

export const negate = (value: Decimal): Decimal => ({ units: -value.units, scale: value.scale });
export const remainingOf = (order: MockOrder): Decimal => add(order.quantity, negate(order.filled));

export interface Placed {
  readonly order: MockOrder;
  readonly trades: MockTrade[];
  /** Orders other than the new one that have changed. */
  readonly makers: MockOrder[];
  /** Prices at which the resting quantity has changed. */
  readonly touched: { side: "Buy" | "Sell"; price: Decimal }[];
}

/** A market of the mock exchange: price-time priority over plain arrays, enough to develop and test pages against. */
export class MockMarket {
  readonly resting: MockOrder[] = [];
  readonly trades: MockTrade[] = [];

  constructor(
    readonly symbol: string,
    readonly base: string,
    readonly quote: string,
    readonly lotSize: string,
    readonly startPrice: number,
  ) {}

  /** Opposite orders that would trade with `side` at `price` (null: at any), best first. */
  matchable(side: "Buy" | "Sell", price: Decimal | null): MockOrder[] {
    const opposite = this.side(side === "Buy" ? "Sell" : "Buy");
    if (price === null) return opposite;
    return opposite.filter((order) => {
      const difference = compare(order.price ?? ZERO, price);
      return side === "Buy" ? difference <= 0 : difference >= 0;
    });
  }

  /** Resting orders of a side, best price first and then oldest first. */
  side(side: "Buy" | "Sell"): MockOrder[] {
    const sign = side === "Buy" ? -1 : 1;
    return this.resting
      .filter((order) => order.side === side)
      .sort((a, b) => sign * compare(a.price ?? ZERO, b.price ?? ZERO) || a.id - b.id);
  }

  place(order: MockOrder, sequence: number): Placed {
    const placed: Placed = { order, trades: [], makers: [], touched: [] };
    for (const maker of this.matchable(order.side, order.price)) {
      if (remainingOf(order).units === 0n) break;
      this.#trade(order, maker, sequence, placed);
    }
    if (remainingOf(order).units > 0n) {
      if (order.orderType === "Limit" && order.timeInForce === "GTC") {
        this.resting.push(order);
        placed.touched.push({ side: order.side, price: order.price ?? ZERO });
      } else {
        order.status = "Cancelled";
        order.endReason = order.orderType === "Market" ? "NO_LIQUIDITY" : "IOC_REMAINDER";
      }
    }
    return placed;
  }

  cancel(order: MockOrder): void {
    this.#remove(order);
    order.status = "Cancelled";
    order.endReason = "CANCELLED_BY_OWNER";
  }

  /** Total resting quantity at a price. */
  quantityAt(side: "Buy" | "Sell", price: Decimal): Decimal {
    return this.side(side)
      .filter((order) => compare(order.price ?? ZERO, price) === 0)
      .reduce((sum, order) => add(sum, remainingOf(order)), ZERO);
  }

  levels(side: "Buy" | "Sell"): [string, string][] {
    const totals = new Map<string, Decimal>();
    for (const order of this.side(side)) {
      const price = formatDecimal(order.price ?? ZERO);
      totals.set(price, add(totals.get(price) ?? ZERO, remainingOf(order)));
    }
    return [...totals].map(([price, quantity]) => [price, formatDecimal(quantity)]);
  }

  #trade(taker: MockOrder, maker: MockOrder, sequence: number, placed: Placed): void {
    const left = remainingOf(taker);
    const there = remainingOf(maker);
    const quantity = compare(left, there) < 0 ? left : there;
    const price = maker.price ?? ZERO;
    const tradeId = nextTradeId();
    const atMs = Date.now();
    for (const [order, liquidity] of [[taker, "Taker"], [maker, "Maker"]] as const) {
      order.filled = add(order.filled, quantity);
      order.filledQuote = add(order.filledQuote, multiply(price, quantity));
      order.status = remainingOf(order).units === 0n ? "Filled" : "PartiallyFilled";
      order.fills.push({ tradeId, price, quantity, liquidity, executedAt: new Date(atMs).toISOString() });
    }
    if (maker.status === "Filled") this.#remove(maker);
    const trade: MockTrade = { tradeId, price, quantity, side: taker.side, sequence, atMs };
    this.trades.unshift(trade);
    this.trades.length = Math.min(this.trades.length, 20_000);
    placed.trades.push(trade);
    placed.makers.push(maker);
    placed.touched.push({ side: maker.side, price });
  }

  #remove(order: MockOrder): void {
    const index = this.resting.indexOf(order);
    if (index >= 0) this.resting.splice(index, 1);
  }
}

let tradeIds = 0;
const nextTradeId = (): number => (tradeIds += 1);

/** "50000.1" and "0.01" -> what a text of the price at the scale of the tick is. */
export const atScale = (value: number, scale: number): Decimal => decimal(value.toFixed(scale));
