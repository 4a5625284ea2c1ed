import { beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { answerOf, makeApi, makeSessionApi, type Api } from "@/api/client";
import { ProblemError } from "@/api/problems";
import { SessionKeeper } from "@/api/session";
import { Stream, type Socket } from "@/api/stream";
import type { Market } from "@/api/types";
import { Book } from "@/market/book";
import { compare, decimal } from "@/market/decimal";
import { gridOf, lotsOf, ticksOf } from "@/market/ticks";
import { newClientOrderId, placeOrder } from "@/state/trading";

/** Our client against a running exchange: `make run`, then `npm run test:integration`. */
const BASE = process.env.EXCHANGE_API_URL ?? "http://localhost:8080";

class MemoryStorage {
  readonly #items = new Map<string, string>();
  getItem = (key: string): string | null => this.#items.get(key) ?? null;
  setItem = (key: string, value: string): void => void this.#items.set(key, value);
  removeItem = (key: string): void => void this.#items.delete(key);
}

interface Trader {
  readonly keeper: SessionKeeper;
  readonly api: Api;
  readonly stream: Stream;
}

async function trader(): Promise<Trader> {
  const keeper = new SessionKeeper(makeApi(BASE), new MemoryStorage() as unknown as Storage, (work) => work(), null);
  await keeper.register(`it-${newClientOrderId().slice(0, 16)}`, "correct horse battery");
  const connect = (url: string): Socket => new WebSocket(url) as unknown as Socket;
  const stream = new Stream({ url: `${BASE.replace(/^http/, "ws")}/ws/v1`, tokens: keeper, connect });
  return { keeper, api: makeSessionApi(BASE, keeper), stream };
}

/** Wait until the condition holds. */
async function eventually(condition: () => boolean, what: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < 15_000; waitedMs += 20) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`never happened: ${what}`);
}

describe("against a running exchange", () => {
  let market: Market;
  let one: Trader;

  beforeAll(async () => {
    const { items } = await answerOf(makeApi(BASE).GET("/api/v1/markets")).catch((cause: unknown) => {
      throw new Error(`no exchange answers at ${BASE}: start it with "make run", or set EXCHANGE_API_URL`, { cause });
    });
    market = items[0]!;
    one = await trader();
    await answerOf(one.api.POST("/api/v1/faucet", { body: { asset: market.quote, amount: "1000" } }));
  });

  test("an order shows in the book of the stream and in the private channel, and its cancel takes it out again", async () => {
    const grid = gridOf(market);
    const book = new Book(grid);
    const seen = new Map<string, string>();
    let held = "";
    let loaded = false;
    const stopDepth = one.stream.subscribe("depth", market.symbol, (message) => {
      if (message.type === "snapshot") book.load(message);
      else book.apply(message);
      loaded = true;
    });
    const stopOrders = one.stream.subscribeOrders(({ orders, balances }) => {
      for (const order of orders) seen.set(order.order_id, order.status);
      held = balances.find(({ asset }) => asset === market.quote)?.held ?? held;
    });
    await eventually(() => held !== "", "the private snapshot");

    // A price far below the market, so that nobody takes it. Orders of others may rest there already.
    const price = "7.00";
    const ticks = ticksOf(price, grid);
    const quantityAt = (): bigint => {
      for (let index = 0; index < book.bids.size; index += 1) if (book.bids.ticksAt(index) === ticks) return book.bids.lotsAt(index);
      return 0n;
    };
    await eventually(() => loaded, "the book's snapshot");
    const before = quantityAt();
    const order = await placeOrder(one.api, {
      symbol: market.symbol,
      side: "Buy",
      order_type: "Limit",
      quantity: "2",
      price,
      time_in_force: "GTC",
      post_only: true,
      client_order_id: newClientOrderId(),
    });
    expect(order).toMatchObject({ status: "Open", filled_quantity: expect.stringMatching(/^0/) as string });
    await eventually(() => quantityAt() === before + lotsOf("2", grid), "the order's quantity in the book");
    await eventually(() => seen.get(order.order_id) === "Open", "the order in the private channel");
    await eventually(() => compare(decimal(held), decimal("14")) === 0, "the hold");

    const ended = await answerOf(one.api.PUT("/api/v1/orders/{order_id}/cancel", { params: { path: { order_id: order.order_id } } }));
    expect(ended.status).toBe("Cancelled");
    await eventually(() => quantityAt() === before, "the order's quantity out of the book");
    await eventually(() => seen.get(order.order_id) === "Cancelled", "the end in the private channel");
    stopDepth();
    stopOrders();
  });

  test("the same order sent twice is one order", async () => {
    const body = { symbol: market.symbol, side: "Buy", order_type: "Limit", quantity: "1", price: "3.00", client_order_id: newClientOrderId() };
    const first = await placeOrder(one.api, body);
    const second = await placeOrder(one.api, body);
    expect(second.order_id).toBe(first.order_id);
    await answerOf(one.api.PUT("/api/v1/orders/{order_id}/cancel", { params: { path: { order_id: first.order_id } } }));
  });

  test("a refusal names the field and a value that would pass", async () => {
    const body = { symbol: market.symbol, side: "Buy", order_type: "Limit", quantity: "1", price: "3.001" };
    const error = await placeOrder(one.api, body).catch((refused: unknown) => refused);
    expect(error).toBeInstanceOf(ProblemError);
    expect((error as ProblemError).problem).toMatchObject({ reason: "PRICE_OFF_TICK", field: "price", limit: market.tick_size, nearest: "3.00" });
  });

  test("a refreshed session goes on, and a signed-out one does not", async () => {
    const two = await trader();
    const token = await two.keeper.accessToken();
    const renewed = await two.keeper.renew(token);
    expect(renewed).not.toBe(token);
    await answerOf(two.api.GET("/api/v1/balances"));
    two.keeper.logout();
    await expect(answerOf(two.api.GET("/api/v1/balances"))).rejects.toMatchObject({ problem: { status: 401 } });
  });
});
