import type { WebSocket } from "ws";

import { formatDecimal } from "@/market/decimal";

import type { MockMarket } from "./engine";
import type { Listener, MockExchange } from "./exchange";
import type { MockHttp } from "./http";
import { balancesOf, fillOf, orderOf, tickerOf, tradeOf } from "./present";

interface Client {
  readonly socket: WebSocket;
  readonly channels: Set<string>;
  account: string | null;
}

/** The WebSocket half of docs/api.md. */
export class MockStreams {
  readonly #clients = new Set<Client>();
  readonly #previous = new Map<string, number>();

  constructor(
    private readonly exchange: MockExchange,
    private readonly http: MockHttp,
  ) {
    exchange.listener = this.#listener();
    setInterval(() => this.#clients.forEach(({ socket }) => send(socket, { type: "heartbeat", sequence: exchange.sequence })), 5000);
  }

  accept(socket: WebSocket): void {
    const client: Client = { socket, channels: new Set(), account: null };
    this.#clients.add(client);
    socket.on("close", () => this.#clients.delete(client));
    socket.on("message", (data) => this.#operate(client, JSON.parse(String(data)) as Record<string, unknown>));
  }

  /** Lose every connection: what a restart of the exchange looks like. */
  dropAll(): void {
    for (const { socket } of this.#clients) socket.terminate();
  }

  #operate(client: Client, { op, id, channel, symbol, token }: Record<string, unknown>): void {
    const market = this.exchange.markets.find((item) => item.symbol === String(symbol).replace("-", "/"));
    const key = market ? `${String(channel)} ${market.symbol}` : String(channel);
    if (op === "authenticate") client.account = this.http.accountOf(String(token));
    if (op === "authenticate" && client.account === null) {
      send(client.socket, { type: "error", id, code: 9001, reason: "UNAUTHENTICATED", detail: "sign in first" });
      return;
    }
    send(client.socket, { type: "ack", id });
    if (op === "unsubscribe") client.channels.delete(key);
    if (op !== "subscribe") return;
    client.channels.add(key);
    const { sequence } = this.exchange;
    if (market) send(client.socket, { type: "snapshot", channel, symbol: market.symbol, sequence: this.#at(key), ...this.#snapshot(String(channel), market) });
    else if (client.account !== null) send(client.socket, { type: "snapshot", channel, sequence: this.#at(`orders ${client.account}`) || sequence, ...this.#own(client.account) });
  }

  /** Sequence of the last message of a channel: what its snapshot includes. */
  #at(key: string): number {
    const sequence = this.#previous.get(key) ?? this.exchange.sequence;
    this.#previous.set(key, sequence);
    return sequence;
  }

  #snapshot(channel: string, market: MockMarket): Record<string, unknown> {
    if (channel === "depth") return { bids: market.levels("Buy"), asks: market.levels("Sell") };
    if (channel === "trades") return { trades: market.trades.slice(0, 50).map(tradeOf) };
    return tickerOf(market);
  }

  #own(account: string): Record<string, unknown> {
    const open = [...this.exchange.orders.values()].filter(({ order }) => order.account === account && (order.status === "Open" || order.status === "PartiallyFilled"));
    return { orders: open.map(({ order, market }) => orderOf(order, market)), balances: balancesOf(this.exchange, account) };
  }

  #publish(key: string, message: Record<string, unknown>, wants: (client: Client) => boolean): void {
    const prev = this.#at(key);
    this.#previous.set(key, this.exchange.sequence);
    const full = { type: "update", sequence: this.exchange.sequence, prev_sequence: prev, timestamp_ns: Date.now() * 1e6, ...message };
    if (prev === this.exchange.sequence) full.sequence = this.exchange.sequence += 1;
    this.#previous.set(key, full.sequence);
    for (const client of this.#clients) if (wants(client)) send(client.socket, full);
  }

  #listener(): Listener {
    return {
      depth: (market, touched) => {
        const levels = (side: "Buy" | "Sell"): [string, string][] =>
          touched.filter((level) => level.side === side).map(({ price }) => [formatDecimal(price), formatDecimal(market.quantityAt(side, price))]);
        const key = `depth ${market.symbol}`;
        this.#publish(key, { channel: "depth", symbol: market.symbol, bids: levels("Buy"), asks: levels("Sell") }, ({ channels }) => channels.has(key));
      },
      trades: (market, trades) => {
        const key = `trades ${market.symbol}`;
        this.#publish(key, { channel: "trades", symbol: market.symbol, trades: trades.map(tradeOf) }, ({ channels }) => channels.has(key));
        const ticker = `ticker ${market.symbol}`;
        this.#publish(ticker, { channel: "ticker", symbol: market.symbol, ...tickerOf(market) }, ({ channels }) => channels.has(ticker));
      },
      account: (account, market, orders, assets) => {
        const changed = market ? orders.map((order) => orderOf(order, market)) : [];
        const fills = market ? orders.flatMap((order) => order.fills.slice(-1).map((fill) => fillOf(fill, order, market))) : [];
        const message = { channel: "orders", orders: changed, fills, balances: balancesOf(this.exchange, account, assets) };
        this.#publish(`orders ${account}`, message, (client) => client.account === account && client.channels.has("orders"));
      },
    };
  }
}

function send(socket: WebSocket, message: Record<string, unknown>): void {
  socket.send(JSON.stringify(message));
}
