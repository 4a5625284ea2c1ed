import { createMemoryHistory } from "@tanstack/react-router";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";

import { App } from "@/app/App";
import { makeExchange } from "@/state/exchange";
import { useTicket } from "@/state/ticket";

import { at, BASE, exchangeServer, http, HttpResponse, orderAnswer, problem, rememberSession, sessionAnswer } from "./support/server";
import { FakeSocket } from "./support/sockets";

const server = exchangeServer();
beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
beforeEach(() => {
  FakeSocket.made = [];
  vi.stubGlobal("WebSocket", FakeSocket);
  useTicket.setState({ draft: { side: "Buy", orderType: "Limit", price: "", quantity: "", timeInForce: "GTC", postOnly: false }, picks: 0 });
});
afterEach(() => server.resetHandlers());
afterAll(() => server.close());

const open = (path: string) => render(<App exchange={makeExchange(BASE)} history={createMemoryHistory({ initialEntries: [path] })} />);
const user = userEvent.setup();

describe("App", () => {
  test("opens at the first market, for everybody", async () => {
    open("/");
    expect(await screen.findByRole("combobox", { name: "Market" })).toHaveValue("BTC/USD");
    expect(screen.getByRole("table", { name: "Order book" })).toBeInTheDocument();
    expect(screen.getByRole("table", { name: "Recent trades" })).toBeInTheDocument();
    expect(screen.getByRole("link", { name: "Sign in to trade" })).toHaveAttribute("href", "/login");
    expect(await screen.findByText("−1.23 %", { selector: "nav *" })).toBeInTheDocument();
  });

  test("says that a page or a market does not exist", async () => {
    open("/nowhere");
    expect(await screen.findByRole("heading", { name: "There is no such page" })).toBeInTheDocument();
    open("/trade/DOGE-USD");
    expect(await screen.findByText("There is no market DOGE-USD.")).toBeInTheDocument();
  });

  test("offers another try when the exchange does not answer", async () => {
    server.use(http.get(at("/markets"), () => problem(404, "NOT_FOUND"), { once: true }));
    open("/trade/BTC-USD");
    await user.click(await screen.findByRole("button", { name: "Try again" }));
    expect(await screen.findByRole("combobox", { name: "Market" })).toBeInTheDocument();
  });

  test("tells the state of the connection", async () => {
    open("/trade/BTC-USD");
    await waitFor(() => expect(screen.getByRole("status")).toHaveTextContent("Connecting…"));
    FakeSocket.latest().open();
    await waitFor(() => expect(screen.getByRole("status")).toHaveTextContent("Live"));
    FakeSocket.latest().lose();
    await waitFor(() => expect(screen.getByRole("status")).toHaveTextContent("Reconnecting…"));
  });

  test("shows the book that the stream tells, in a table that screen readers find", async () => {
    open("/trade/BTC-USD");
    await screen.findByRole("table", { name: "Order book" });
    // The page before this one may go on reconnecting: the socket is the one that asks for the book, not the latest.
    const socket = await waitFor(() => {
      FakeSocket.made.forEach((made) => made.open());
      const asking = FakeSocket.made.find((made) => made.ops("subscribe").some(({ channel }) => channel === "depth"));
      if (!asking) throw new Error("no socket asks for the book");
      return asking;
    });
    const book = { channel: "depth", symbol: "BTC/USD" };
    socket.say({ ...book, type: "snapshot", sequence: 1, bids: [["49999.00", "1.5"]], asks: [["50001.00", "2"]] });
    socket.say({ ...book, type: "update", sequence: 2, prev_sequence: 1, bids: [["49999.00", "0"], ["49998.00", "3"]], asks: [] });
    await waitFor(() => {
      const rows = within(screen.getByRole("table", { name: "Order book" })).getAllByRole("row").slice(1);
      expect(rows.map((row) => row.textContent)).toEqual(["Ask50001.002", "Bid49998.003"]);
    });
  });
});

describe("signing in", () => {
  test("a new account's username and password are checked before they are sent", async () => {
    open("/register");
    await user.type(await screen.findByLabelText("Username"), "a!");
    await user.type(screen.getByLabelText("Password"), "short");
    await user.click(screen.getByRole("button", { name: "Create account" }));
    expect(screen.getByLabelText("Username")).toHaveAccessibleDescription(/3 to 32 characters/);
    expect(screen.getByLabelText("Password")).toHaveAccessibleDescription("The password needs at least 10 characters; this one has 5.");
  });

  test("a username that is taken is told at the field", async () => {
    server.use(http.post(at("/auth/register"), () => problem(409, "USERNAME_TAKEN")));
    open("/register");
    await user.type(await screen.findByLabelText("Username"), "ann");
    await user.type(screen.getByLabelText("Password"), "a long password");
    await user.click(screen.getByRole("button", { name: "Create account" }));
    await waitFor(() => expect(screen.getByLabelText("Username")).toHaveAccessibleDescription("This username is taken. Choose another one."));
  });

  test("a wrong password does not tell which of the two was wrong", async () => {
    server.use(http.post(at("/auth/login"), () => problem(401, "CREDENTIALS_INVALID")));
    open("/login");
    await user.type(await screen.findByLabelText("Username"), "ann");
    await user.type(screen.getByLabelText("Password"), "wrong");
    await user.click(screen.getByRole("button", { name: "Sign in" }));
    expect(await screen.findByRole("alert")).toHaveTextContent("The username or the password is wrong.");
  });

  test("a code is asked for where the account has a second factor, and sent with the password", async () => {
    const sent: unknown[] = [];
    server.use(
      http.post(at("/auth/login"), async ({ request }) => {
        const body = (await request.json()) as Record<string, string>;
        sent.push(body);
        if (!body.code) return problem(401, "SECOND_FACTOR_REQUIRED", { field: "code", limit: "required" });
        return body.code === "123456" ? sessionAnswer() : problem(401, "SECOND_FACTOR_INVALID", { field: "code" });
      }),
    );
    open("/login");
    await user.type(await screen.findByLabelText("Username"), "ann");
    await user.type(screen.getByLabelText("Password"), "a long password");
    expect(screen.queryByLabelText("Code")).not.toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Sign in" }));
    const code = await screen.findByLabelText("Code");
    expect(code).toHaveFocus();
    expect(screen.queryByRole("alert")).not.toBeInTheDocument();
    await user.type(code, "000000");
    await user.click(screen.getByRole("button", { name: "Sign in" }));
    await waitFor(() => expect(code).toHaveAccessibleDescription("The code is wrong or was used before. Wait for the next one."));
    await user.clear(code);
    await user.type(code, " 123456");
    await user.click(screen.getByRole("button", { name: "Sign in" }));
    expect(await screen.findByRole("button", { name: "Buy BTC" })).toBeInTheDocument();
    expect(sent.at(-1)).toEqual({ username: "ann", password: "a long password", code: "123456" });
  });

  test("whoever signs in comes to the market, and signs out again", async () => {
    server.use(http.post(at("/auth/login"), sessionAnswer));
    open("/login");
    await user.type(await screen.findByLabelText("Username"), "ann");
    await user.type(screen.getByLabelText("Password"), "a long password");
    await user.click(screen.getByRole("button", { name: "Sign in" }));
    expect(await screen.findByRole("button", { name: "Buy BTC" })).toBeInTheDocument();
    server.use(http.post(at("/auth/logout"), () => new HttpResponse(null, { status: 204 })));
    await user.click(screen.getByRole("button", { name: "Sign out" }));
    expect(await screen.findByRole("link", { name: "Sign in to trade" })).toBeInTheDocument();
    expect(localStorage.getItem("exchange.session")).toBeNull();
  });
});

describe("trading", () => {
  async function ticket(): Promise<void> {
    rememberSession();
    open("/trade/BTC-USD");
    await screen.findByRole("button", { name: "Get demo money" });
    await waitFor(() => expect(screen.getByTestId("available")).toHaveTextContent("10,000.00 USD"));
  }
  async function write(price: string, quantity: string): Promise<void> {
    await user.clear(screen.getByLabelText("Price"));
    await user.type(screen.getByLabelText("Price"), price);
    await user.clear(screen.getByLabelText("Quantity"));
    await user.type(screen.getByLabelText("Quantity"), quantity);
    await user.click(screen.getByRole("button", { name: "Buy BTC" }));
  }

  test("a price off the tick is told before it is sent, with a button for the nearest one", async () => {
    const placed: unknown[] = [];
    server.use(
      http.post(at("/orders"), async ({ request }) => {
        placed.push(await request.json());
        return HttpResponse.json(orderAnswer(), { status: 201 });
      }),
    );
    await ticket();
    await write("49000.004", "0.1");
    expect(screen.getByLabelText("Price")).toHaveAccessibleDescription(/multiple of the tick size. Tick size: 0.01./);
    expect(placed).toEqual([]);
    await user.click(screen.getByRole("button", { name: "Use 49,000.00" }));
    await user.click(screen.getByRole("button", { name: "Buy BTC" }));
    await waitFor(() => expect(placed).toHaveLength(1));
    expect(placed[0]).toMatchObject({ symbol: "BTC/USD", side: "Buy", order_type: "Limit", price: "49000.00", quantity: "0.1", time_in_force: "GTC", post_only: false });
    expect(await screen.findByRole("button", { name: "Cancel order 42" })).toBeInTheDocument();
  });

  test("a refusal by the exchange is told in plain words, with its nearest valid value", async () => {
    server.use(http.post(at("/orders"), () => problem(422, "INSUFFICIENT_FUNDS", { field: "quantity", limit: "10000.00", nearest: "0.2" })));
    await ticket();
    await write("49000", "0.1");
    await waitFor(() => expect(screen.getByLabelText("Quantity")).toHaveAccessibleDescription(/available balance is too low.*Available: 10000.00/));
    await user.click(screen.getByRole("button", { name: "Use 0.2" }));
    expect(screen.getByLabelText("Quantity")).toHaveValue("0.2");
    expect(screen.queryByRole("alert")).not.toBeInTheDocument();
  });

  test("a percentage of the balance fills the quantity in", async () => {
    await ticket();
    await user.type(screen.getByLabelText("Price"), "40000");
    await user.click(screen.getByRole("button", { name: "50 %" }));
    expect(screen.getByLabelText("Quantity")).toHaveValue("0.1250");
    expect(screen.getByTestId("order-value")).toHaveTextContent("5,000.00 USD");
  });

  test("a market order asks for no price and lasts no longer than a moment", async () => {
    await ticket();
    await user.click(screen.getByRole("radio", { name: "Market" }));
    expect(screen.queryByLabelText("Price")).not.toBeInTheDocument();
    expect(screen.getByLabelText("Time in force")).toHaveValue("IOC");
    expect(screen.queryByLabelText("Post-only")).not.toBeInTheDocument();
  });

  test("an order whose answer is lost keeps its client id when it is sent again", async () => {
    const ids: unknown[] = [];
    server.use(
      http.post(at("/orders"), async ({ request }) => {
        ids.push(((await request.json()) as Record<string, unknown>).client_order_id);
        return ids.length <= 3 ? HttpResponse.error() : HttpResponse.json(orderAnswer(), { status: 201 });
      }),
    );
    await ticket();
    await write("49000", "0.1");
    expect(await screen.findByText(/takes the same order only once/, {})).toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Buy BTC" }));
    await screen.findByRole("button", { name: "Cancel order 42" });
    expect(ids).toHaveLength(4);
    expect(new Set(ids).size).toBe(1);
  });

  test("an order is cancelled from the list", async () => {
    server.use(
      http.get(at("/orders"), ({ request }) => {
        const status = new URL(request.url).searchParams.get("status");
        return HttpResponse.json({ items: status === "open" ? [orderAnswer()] : [], next_cursor: null });
      }),
      http.put(at("/orders/42/cancel"), () => HttpResponse.json(orderAnswer({ status: "Cancelled", end_reason: "CANCELLED_BY_OWNER" }))),
    );
    await ticket();
    await user.click(await screen.findByRole("button", { name: "Cancel order 42" }));
    expect(await screen.findByText("No open orders.")).toBeInTheDocument();
  });

  test("what the private stream tells is on the page: orders and balances", async () => {
    await ticket();
    const socket = FakeSocket.latest();
    socket.open();
    await waitFor(() => expect(socket.ops("authenticate")).toHaveLength(1));
    socket.say({ type: "snapshot", channel: "orders", sequence: 5, orders: [orderAnswer()], balances: [{ asset: "USD", available: "5100.00", held: "4900.00", total: "10000.00" }] });
    expect(await screen.findByRole("button", { name: "Cancel order 42" })).toBeInTheDocument();
    expect(screen.getByText("5,100.00 USD")).toBeInTheDocument();
    socket.say({ type: "update", channel: "orders", sequence: 6, prev_sequence: 5, orders: [orderAnswer({ status: "Filled", filled_quantity: "0.1" })], fills: [], balances: [] });
    expect(await screen.findByText("No open orders.")).toBeInTheDocument();
  });

  test("demo money comes at a click", async () => {
    const asked: unknown[] = [];
    server.use(
      http.post(at("/faucet"), async ({ request }) => {
        asked.push(await request.json());
        return HttpResponse.json({ asset: "USD", available: "20000.00", held: "0.00", total: "20000.00" }, { status: 201 });
      }),
    );
    await ticket();
    await user.click(screen.getByRole("button", { name: "Get demo money" }));
    await waitFor(() => expect(asked).toEqual([{ asset: "USD", amount: "10000" }]));
    expect(await screen.findByText("10,000 USD of demo money added")).toBeInTheDocument();
  });

  test("a session that cannot be renewed signs out", async () => {
    server.use(http.post(at("/auth/refresh"), () => problem(401, "UNAUTHENTICATED")));
    rememberSession();
    open("/trade/BTC-USD");
    expect(await screen.findByRole("link", { name: "Sign in to trade" })).toBeInTheDocument();
  });
});
