import { add, decimal, divide, formatDecimal, ZERO, type Decimal } from "@/market/decimal";
import { secondsOf, type Interval } from "@/market/candles";

import { remainingOf, type MockFill, type MockMarket, type MockOrder, type MockTrade } from "./engine";
import type { MockExchange } from "./exchange";

/** The shapes of docs/api.md made from the mock's own. */
export function orderOf(order: MockOrder, market: MockMarket): Record<string, unknown> {
  const average = order.filled.units > 0n ? divide(order.filledQuote, { ...order.filled, scale: order.filled.scale + 2 }).quotient : null;
  return {
    order_id: String(order.id),
    client_order_id: order.clientOrderId,
    symbol: market.symbol,
    side: order.side,
    order_type: order.orderType,
    time_in_force: order.timeInForce,
    post_only: order.postOnly,
    price: order.price && formatDecimal(order.price),
    quantity: formatDecimal(order.quantity),
    filled_quantity: formatDecimal(order.filled),
    remaining_quantity: formatDecimal(remainingOf(order)),
    filled_quote: formatDecimal(order.filledQuote),
    average_price: average === null ? null : formatDecimal({ units: average, scale: 2 }),
    fees: {},
    status: order.status,
    end_reason: order.endReason,
    sequence: order.id,
    created_at: order.createdAt,
    updated_at: new Date().toISOString(),
    fills: order.fills.map((fill) => fillOf(fill, order, market)),
  };
}

export function fillOf(fill: MockFill, order: MockOrder, market: MockMarket): Record<string, unknown> {
  return {
    trade_id: String(fill.tradeId),
    price: formatDecimal(fill.price),
    quantity: formatDecimal(fill.quantity),
    liquidity: fill.liquidity,
    fee: "0",
    fee_asset: order.side === "Buy" ? market.base : market.quote,
    executed_at: fill.executedAt,
    order_id: String(order.id),
    symbol: market.symbol,
    side: order.side,
  };
}

export function tradeOf(trade: MockTrade): Record<string, unknown> {
  return {
    trade_id: String(trade.tradeId),
    price: formatDecimal(trade.price),
    quantity: formatDecimal(trade.quantity),
    side: trade.side,
    sequence: trade.sequence,
    executed_at: new Date(trade.atMs).toISOString(),
    timestamp_ns: trade.atMs * 1e6,
  };
}

export function balancesOf(exchange: MockExchange, account: string, only?: string[]): Record<string, unknown>[] {
  const held = [...(exchange.balances.get(account) ?? new Map<string, { available: Decimal; held: Decimal }>())];
  return held
    .filter(([asset]) => !only || only.includes(asset))
    .map(([asset, { available, held: inOrders }]) => ({
      asset,
      available: formatDecimal(available),
      held: formatDecimal(inOrders),
      total: formatDecimal(add(available, inOrders)),
    }));
}

export function tickerOf(market: MockMarket): Record<string, unknown> {
  const prices = market.trades.map((trade) => Number(formatDecimal(trade.price)));
  const volume = market.trades.reduce((sum, trade) => add(sum, trade.quantity), ZERO);
  const last = prices[0];
  const first = prices.at(-1);
  return {
    last_price: market.trades[0] ? formatDecimal(market.trades[0].price) : null,
    best_bid: market.levels("Buy")[0]?.[0] ?? null,
    best_ask: market.levels("Sell")[0]?.[0] ?? null,
    volume_24h: formatDecimal(volume),
    change_24h: last !== undefined && first ? (last / first - 1).toFixed(4) : null,
    high_24h: prices.length ? Math.max(...prices).toFixed(2) : null,
    low_24h: prices.length ? Math.min(...prices).toFixed(2) : null,
  };
}

export function marketOf(market: MockMarket): Record<string, unknown> {
  return {
    symbol: market.symbol,
    base: market.base,
    quote: market.quote,
    tick_size: "0.01",
    lot_size: market.lotSize,
    quantity_min: "0.0001",
    quantity_max: "1000",
    notional_min: "1",
    price_max: "10000000",
    maker_fee: "0.001",
    taker_fee: "0.002",
    status: "Open",
    ...tickerOf(market),
  };
}

export function candlesOf(market: MockMarket, interval: Interval, limit: number, endMs: number): Record<string, unknown>[] {
  const width = secondsOf(interval) * 1000;
  const buckets = new Map<number, MockTrade[]>();
  for (const trade of market.trades.toReversed()) {
    const openedMs = trade.atMs - (trade.atMs % width);
    if (openedMs < endMs) buckets.set(openedMs, [...(buckets.get(openedMs) ?? []), trade]);
  }
  const candles = [...buckets].map(([openedMs, trades]) => {
    const prices = trades.map((trade) => Number(formatDecimal(trade.price)));
    return {
      opened_at: new Date(openedMs).toISOString(),
      open: (prices[0] ?? 0).toFixed(2),
      high: Math.max(...prices).toFixed(2),
      low: Math.min(...prices).toFixed(2),
      close: (prices.at(-1) ?? 0).toFixed(2),
      volume: formatDecimal(trades.reduce((sum, trade) => add(sum, trade.quantity), decimal("0"))),
      trades: trades.length,
    };
  });
  return candles.slice(-limit);
}

/** What everybody pays here: the markets' fees. */
export function commissionOf(exchange: MockExchange): Record<string, unknown> {
  const markets = exchange.markets.map(({ symbol }) => ({ symbol, maker: "0.001", taker: "0.002" }));
  const shares = { maker_share: "1", taker_share: "1" };
  return { asset: "USD", volume_30d: "0", tier: 0, ...shares, tiers_set_at: new Date().toISOString(), next_tier: null, markets };
}
