import { http, HttpResponse, type RequestHandler } from "msw";
import { setupServer } from "msw/node";

import type { Commission, Market, Order } from "@/api/types";

import { BTC_USD } from "./markets";

export const BASE = "http://localhost:5173";
const at = (path: string): string => `${BASE}/api/v1${path}`;

export const problem = (status: number, reason: string, members: Record<string, string | null> = {}) =>
  HttpResponse.json({ type: `/problems/${reason}`, title: reason, status, detail: reason, code: 1, reason, ...members }, { status });

export const sessionAnswer = () =>
  HttpResponse.json({ account_id: "2", username: "ann", access_token: "access-1", expires_in: 600, refresh_token: "refresh-1", token_type: "Bearer" });

export const meAnswer = (role: "user" | "admin") => ({ account_id: "2", username: "ann", created_at: "2026-01-01T12:00:00Z", role });

export const orderAnswer = (changed: Partial<Order> = {}): Order => ({
  order_id: "42",
  client_order_id: null,
  symbol: "BTC/USD",
  side: "Buy",
  order_type: "Limit",
  time_in_force: "GTC",
  expire_at: null,
  post_only: false,
  slide: false,
  self_trade_prevention: "CancelNewest",
  trigger_price: null,
  trail: null,
  quote_quantity: null,
  display_quantity: null,
  visible_quantity: null,
  min_quantity: null,
  prevented_quantity: "0",
  waiting_for: null,
  other_leg_order_id: null,
  parent_order_id: null,
  child_order_id: null,
  amendments: 0,
  price: "49000.00",
  quantity: "0.1",
  filled_quantity: "0",
  remaining_quantity: "0.1",
  filled_quote: "0",
  average_price: null,
  fees: {},
  status: "Open",
  end_reason: null,
  sequence: 42,
  created_at: "2026-01-01T12:00:00Z",
  updated_at: "2026-01-01T12:00:00Z",
  ...changed,
});

export const commissionAnswer = (changed: Partial<Commission> = {}): Commission => ({
  asset: "USD",
  volume_30d: "25000",
  tier: 0,
  maker_share: "1",
  taker_share: "1",
  tiers_set_at: "2026-01-01T13:00:00Z",
  next_tier: { tier: 1, volume_from: "100000", maker_share: "0.9", taker_share: "0.95", missing: "75000" },
  markets: [{ symbol: "BTC/USD", maker: "0.001", taker: "0.002" }],
  ...changed,
});

export const transferTerms = () => ({
  custody: "sandbox",
  deposits_on_request: true,
  items: [{ asset: "USD", step: "0.01", deposit_min: "1", withdrawal_min: "10", deposit_address: "sandbox-usd-2-abc" }],
});

/** The exchange's REST side with one market and a signed-in account that owns 10,000 USD. */
export const exchangeServer = (...overrides: RequestHandler[]) =>
  setupServer(
    ...overrides,
    http.get(at("/markets"), () => HttpResponse.json({ items: [BTC_USD] satisfies Market[] })),
    http.get(at("/markets/BTC-USD/candles"), () => HttpResponse.json({ symbol: "BTC/USD", interval: "1m", items: [] })),
    http.get(at("/balances"), () => HttpResponse.json({ items: [{ asset: "USD", available: "10000.00", held: "0.00", total: "10000.00" }], sequence: 1 })),
    http.get(at("/orders"), () => HttpResponse.json({ items: [], next_cursor: null })),
    http.get(at("/fills"), () => HttpResponse.json({ items: [], next_cursor: null })),
    http.get(at("/ledger"), () => HttpResponse.json({ items: [], next_cursor: null })),
    http.get(at("/auth/me"), () => HttpResponse.json(meAnswer("user"))),
    http.get(at("/account/commission"), () => HttpResponse.json(commissionAnswer())),
    http.get(at("/transfers/terms"), () => HttpResponse.json(transferTerms())),
    http.get(at("/withdrawals"), () => HttpResponse.json({ items: [], next_cursor: null })),
    http.post(at("/auth/refresh"), sessionAnswer),
    http.post(at("/auth/login"), sessionAnswer),
  );

/** What a browser holds after a sign-in. */
export function rememberSession(): void {
  localStorage.setItem("exchange.session", JSON.stringify({ user: { accountId: "2", username: "ann" }, refreshToken: "refresh-0" }));
}

export { http, HttpResponse, at };
