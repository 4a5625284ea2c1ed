import type { IncomingMessage, ServerResponse } from "node:http";

import { INTERVALS } from "@/market/candles";
import { formatDecimal } from "@/market/decimal";

import type { MockMarket } from "./engine";
import { newToken, Refused, type MockExchange } from "./exchange";
import { balancesOf, candlesOf, commissionOf, fillOf, marketOf, orderOf } from "./present";

interface Visitor {
  readonly url: URL;
  readonly method: string;
  readonly body: Record<string, unknown>;
  readonly account: string | null;
}

type Answer = { status: number; body?: unknown };

/** Users, their tokens and the REST half of docs/api.md. */
export class MockHttp {
  readonly #users = new Map<string, string>();
  readonly #access = new Map<string, string>();
  readonly #refresh = new Map<string, string>();

  constructor(private readonly exchange: MockExchange) {}

  accountOf(token: string): string | null {
    return this.#access.get(token) ?? null;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await this.#answer(request).catch((error: unknown) => {
      if (error instanceof Refused) return { status: error.status, body: error.problem() };
      console.error(error);
      return { status: 500, body: new Refused(500, "INTERNAL").problem() };
    });
    const type = answer.status >= 400 ? "application/problem+json" : "application/json";
    response.writeHead(answer.status, { "Content-Type": type });
    response.end(answer.body === undefined ? undefined : JSON.stringify(answer.body));
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const token = request.headers.authorization?.replace("Bearer ", "") ?? "";
    const visitor: Visitor = {
      url: new URL(request.url ?? "/", "http://mock"),
      method: request.method ?? "GET",
      body: text ? (JSON.parse(text) as Record<string, unknown>) : {},
      account: this.accountOf(token),
    };
    const path = visitor.url.pathname.replace("/api/v1", "");
    if (path.startsWith("/auth/") && path !== "/auth/me") return this.#session(path.slice(6), visitor);
    if (path === "/health") return { status: 200, body: { status: "ok" } };
    if (path.startsWith("/markets")) return this.#markets(path, visitor);
    if (visitor.account === null) throw new Refused(401, "UNAUTHENTICATED");
    return this.#account(path, visitor, visitor.account);
  }

  #session(action: string, { body }: Visitor): Answer {
    const username = String(body.username ?? "").toLowerCase();
    const password = String(body.password ?? "");
    switch (action) {
      case "register":
        if (this.#users.has(username)) throw new Refused(409, "USERNAME_TAKEN");
        this.#users.set(username, password);
        return { status: 201, body: this.#begin(username) };
      case "login":
        if (this.#users.get(username) !== password) throw new Refused(401, "CREDENTIALS_INVALID");
        return { status: 200, body: this.#begin(username) };
      case "refresh": {
        const known = this.#refresh.get(String(body.refresh_token));
        if (!known) throw new Refused(401, "UNAUTHENTICATED");
        this.#refresh.delete(String(body.refresh_token));
        return { status: 200, body: this.#begin(known) };
      }
      case "logout":
        this.#refresh.delete(String(body.refresh_token));
        return { status: 204 };
      default:
        throw new Refused(404, "NOT_FOUND");
    }
  }

  #begin(username: string): Record<string, unknown> {
    const [access, refresh] = [newToken(), newToken()];
    this.#access.set(access, username);
    this.#refresh.set(refresh, username);
    return { account_id: username, username, access_token: access, expires_in: 600, refresh_token: refresh, token_type: "Bearer" };
  }

  #market(symbol: unknown): MockMarket {
    const market = this.exchange.markets.find((item) => item.symbol === String(symbol).replace("-", "/"));
    if (!market) throw new Refused(422, "UNKNOWN_SYMBOL");
    return market;
  }

  #markets(path: string, { url }: Visitor): Answer {
    const [, , symbol, what] = path.split("/");
    if (!symbol) return { status: 200, body: { items: this.exchange.markets.map(marketOf) } };
    const market = this.#market(symbol);
    if (what !== "candles") return { status: 200, body: marketOf(market) };
    const interval = INTERVALS.find((name) => name === url.searchParams.get("interval")) ?? ("1m");
    const endMs = Date.parse(url.searchParams.get("end") ?? "") || Date.now();
    const items = candlesOf(market, interval, Number(url.searchParams.get("limit") ?? 300), endMs);
    return { status: 200, body: { symbol: market.symbol, interval, items } };
  }

  #account(path: string, { method, body, url }: Visitor, account: string): Answer {
    const own = [...this.exchange.orders.values()].filter(({ order }) => order.account === account).reverse();
    const open = ({ order }: (typeof own)[number]): boolean => order.status === "Open" || order.status === "PartiallyFilled";
    if (path === "/orders" && method === "POST") return this.#place(account, body);
    if (path === "/orders") {
      const status = url.searchParams.get("status") ?? "all";
      const wanted = own.filter((item) => status === "all" || open(item) === (status === "open"));
      return { status: 200, body: { items: wanted.map(({ order, market }) => orderOf(order, market)), next_cursor: null } };
    }
    const [, id] = /^\/orders\/(\d+)\/cancel$/.exec(path) ?? [];
    if (id) {
      const { order, market } = this.exchange.cancel(account, Number(id));
      return { status: 200, body: orderOf(order, market) };
    }
    switch (path) {
      case "/auth/me":
        return { status: 200, body: { account_id: account, username: account, created_at: "2026-01-01T00:00:00Z", role: "user" } };
      case "/balances":
        return { status: 200, body: { items: balancesOf(this.exchange, account), sequence: this.exchange.sequence } };
      case "/ledger":
        return { status: 200, body: { items: this.exchange.ledger.get(account) ?? [], next_cursor: null } };
      case "/fills": {
        const fills = own.flatMap(({ order, market }) => order.fills.map((fill) => fillOf(fill, order, market)));
        return { status: 200, body: { items: fills, next_cursor: null } };
      }
      case "/account/commission":
        return { status: 200, body: commissionOf(this.exchange) };
      case "/transfers/terms":
        return { status: 200, body: { custody: null, deposits_on_request: false, items: [] } };
      case "/withdrawals":
        return { status: 200, body: { items: [], next_cursor: null } };
      case "/faucet": {
        const asset = String(body.asset);
        this.exchange.deposit(account, asset, String(body.amount));
        return { status: 201, body: balancesOf(this.exchange, account, [asset])[0] };
      }
      default:
        throw new Refused(404, "NOT_FOUND");
    }
  }

  #place(account: string, body: Record<string, unknown>): Answer {
    const market = this.#market(body.symbol);
    const known = [...this.exchange.orders.values()].find(
      ({ order }) => order.account === account && order.clientOrderId !== null && order.clientOrderId === body.client_order_id,
    );
    if (known) return { status: 200, body: orderOf(known.order, known.market) };
    const order = this.exchange.place(account, market, body);
    return { status: 201, body: { ...orderOf(order, market), price: order.price && formatDecimal(order.price) } };
  }
}
