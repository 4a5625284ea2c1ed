import { randomUUID } from "node:crypto";

import { add, compare, decimal, formatDecimal, multiply, parseDecimal, ZERO, type Decimal } from "@/market/decimal";
import { REASONS, type ReasonName } from "@/api/reasons";

import { atScale, MockMarket, negate, remainingOf, type MockOrder, type MockTrade } from "./engine";

export interface Balance {
  available: Decimal;
  held: Decimal;
}

/** A refusal on its way to the edge. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly reason: ReasonName,
    readonly members: Record<string, string | null> = {},
  ) {
    super(reason);
  }

  problem(): Record<string, unknown> {
    const title = this.reason.toLowerCase().replaceAll("_", " ");
    return { type: `/problems/${title.replaceAll(" ", "-")}`, title, status: this.status, detail: title, code: REASONS[this.reason], reason: this.reason, ...this.members };
  }
}

export interface Listener {
  depth(market: MockMarket, touched: { side: "Buy" | "Sell"; price: Decimal }[]): void;
  trades(market: MockMarket, trades: MockTrade[]): void;
  account(account: string, market: MockMarket | null, orders: MockOrder[], assets: string[]): void;
}

const MAKER = "maker";
const TICK = "0.01";

/** Accounts, balances and orders of the mock exchange. One process, no durability: for development and tests only. */
export class MockExchange {
  readonly markets = [
    new MockMarket("BTC/USD", "BTC", "USD", "0.00000001", 50_000),
    new MockMarket("ETH/USD", "ETH", "USD", "0.000001", 2_600),
  ];
  readonly orders = new Map<number, { order: MockOrder; market: MockMarket }>();
  readonly balances = new Map<string, Map<string, Balance>>();
  readonly ledger = new Map<string, Record<string, unknown>[]>();
  sequence = 1;
  listener: Listener | null = null;

  balance(account: string, asset: string): Balance {
    const assets = this.balances.get(account) ?? new Map<string, Balance>();
    this.balances.set(account, assets);
    const balance = assets.get(asset) ?? { available: ZERO, held: ZERO };
    assets.set(asset, balance);
    return balance;
  }

  move(account: string, asset: string, kind: string, available: Decimal, held: Decimal, orderId: number | null): void {
    const balance = this.balance(account, asset);
    balance.available = add(balance.available, available);
    balance.held = add(balance.held, held);
    if (account === MAKER) return;
    const entries = this.ledger.get(account) ?? [];
    this.ledger.set(account, entries);
    entries.unshift({
      entry_id: String(entries.length + 1),
      asset,
      kind,
      available_change: formatDecimal(available),
      held_change: formatDecimal(held),
      available: formatDecimal(balance.available),
      held: formatDecimal(balance.held),
      sequence: this.sequence,
      order_id: orderId === null ? null : String(orderId),
      trade_id: null,
      created_at: new Date().toISOString(),
    });
  }

  deposit(account: string, asset: string, amount: string): void {
    this.sequence += 1;
    this.move(account, asset, "Deposit", decimal(amount), ZERO, null);
    this.listener?.account(account, null, [], [asset]);
  }

  place(account: string, market: MockMarket, body: Record<string, unknown>): MockOrder {
    const order = this.#order(account, market, body);
    this.#hold(order, market);
    this.sequence += 1;
    this.orders.set(order.id, { order, market });
    const placed = market.place(order, this.sequence);
    for (const [index, trade] of placed.trades.entries()) {
      this.#settle(order, market, trade);
      const maker = placed.makers[index];
      if (maker) this.#settle(maker, market, trade);
    }
    if (order.status === "Cancelled") this.#release(order, market);
    this.listener?.depth(market, placed.touched);
    if (placed.trades.length > 0) this.listener?.trades(market, placed.trades);
    const accounts = new Map<string, MockOrder[]>([[account, [order]]]);
    for (const maker of placed.makers) accounts.set(maker.account, [...(accounts.get(maker.account) ?? []), maker]);
    for (const [owner, orders] of accounts) this.listener?.account(owner, market, orders, [market.base, market.quote]);
    return order;
  }

  cancel(account: string, orderId: number): { order: MockOrder; market: MockMarket } {
    const found = this.orders.get(orderId);
    if (found?.order.account !== account) throw new Refused(404, "UNKNOWN_ORDER");
    const { order, market } = found;
    if (order.status === "Filled" || order.status === "Cancelled") throw new Refused(409, "ORDER_ENDED");
    this.sequence += 1;
    market.cancel(order);
    this.#release(order, market);
    this.listener?.depth(market, [{ side: order.side, price: order.price ?? ZERO }]);
    this.listener?.account(account, market, [order], [market.base, market.quote]);
    return found;
  }

  /** Let the maker move the market a little: quotes around a wandering price, and now and then somebody takes one. */
  live(market: MockMarket): void {
    const last = market.trades[0]?.price ?? atScale(market.startPrice, 2);
    const middle = Number(formatDecimal(last)) * (1 + (Math.random() - 0.5) * 0.0006);
    const own = market.resting.filter((order) => order.account === MAKER);
    if (own.length > 120) this.cancel(MAKER, own[Math.floor(Math.random() * own.length)]?.id ?? 0);
    const side = Math.random() < 0.5 ? "Buy" : "Sell";
    const away = (0.00002 + Math.random() ** 2 * 0.004) * middle * (side === "Buy" ? -1 : 1);
    const quantity = (0.001 + Math.random() * (30_000 / market.startPrice)).toFixed(4);
    const base = { side, quantity, order_type: "Limit", time_in_force: "GTC" };
    this.place(MAKER, market, { ...base, price: (middle + away).toFixed(2) });
    if (Math.random() < 0.4) this.place(MAKER, market, { ...base, quantity: (Number(quantity) / 4).toFixed(4), order_type: "Market", time_in_force: "IOC" });
  }

  #order(account: string, market: MockMarket, body: Record<string, unknown>): MockOrder {
    const quantity = parseDecimal(String(body.quantity));
    const price = body.price == null ? null : parseDecimal(String(body.price));
    const postOnly = body.post_only === true;
    if (!quantity) throw new Refused(400, "MALFORMED", { field: "quantity", limit: null, nearest: null });
    if (price && price.scale > 2 && price.units % 10n ** BigInt(price.scale - 2) !== 0n) {
      throw new Refused(422, "PRICE_OFF_TICK", { field: "price", limit: TICK, nearest: Number(formatDecimal(price)).toFixed(2) });
    }
    const side = body.side === "Sell" ? "Sell" : "Buy";
    if (postOnly && market.matchable(side, price).length > 0) throw new Refused(422, "POST_ONLY_WOULD_CROSS");
    return {
      id: this.sequence + 1,
      account,
      clientOrderId: typeof body.client_order_id === "string" ? body.client_order_id : null,
      side,
      orderType: body.order_type === "Market" ? "Market" : "Limit",
      timeInForce: body.time_in_force === "FOK" ? "FOK" : body.time_in_force === "IOC" || body.order_type === "Market" ? "IOC" : "GTC",
      postOnly,
      price: price && { units: price.scale <= 2 ? price.units * 10n ** BigInt(2 - price.scale) : price.units / 10n ** BigInt(price.scale - 2), scale: 2 },
      quantity,
      filled: ZERO,
      filledQuote: ZERO,
      status: "Open",
      endReason: null,
      createdAt: new Date().toISOString(),
      fills: [],
    };
  }

  #needed(order: MockOrder, market: MockMarket): { asset: string; amount: Decimal } {
    if (order.side === "Sell") return { asset: market.base, amount: remainingOf(order) };
    return { asset: market.quote, amount: order.price ? multiply(order.price, remainingOf(order)) : ZERO };
  }

  #hold(order: MockOrder, market: MockMarket): void {
    const { asset, amount } = this.#needed(order, market);
    if (order.account !== MAKER && compare(this.balance(order.account, asset).available, amount) < 0) {
      throw new Refused(422, "INSUFFICIENT_FUNDS", { field: "quantity", limit: formatDecimal(this.balance(order.account, asset).available), nearest: null });
    }
    if (amount.units > 0n) this.move(order.account, asset, "Hold", negate(amount), amount, order.id);
  }

  #release(order: MockOrder, market: MockMarket): void {
    const { asset, amount } = this.#needed(order, market);
    if (amount.units > 0n) this.move(order.account, asset, "Release", amount, negate(amount), order.id);
  }

  #settle(order: MockOrder, market: MockMarket, { price, quantity }: MockTrade): void {
    const notional = multiply(price, quantity);
    if (order.side === "Sell") {
      this.move(order.account, market.base, "TradeOut", ZERO, negate(quantity), order.id);
      this.move(order.account, market.quote, "TradeIn", notional, ZERO, order.id);
      return;
    }
    const held = order.price ? multiply(order.price, quantity) : ZERO;
    this.move(order.account, market.quote, "TradeOut", add(held, negate(notional)), negate(held), order.id);
    this.move(order.account, market.base, "TradeIn", quantity, ZERO, order.id);
  }
}

export const newToken = (): string => randomUUID();
