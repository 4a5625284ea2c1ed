import { createMemoryHistory } from "@tanstack/react-router";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";

import { App } from "@/app/App";
import { makeExchange } from "@/state/exchange";

import { at, BASE, exchangeServer, http, HttpResponse, meAnswer, problem, rememberSession } from "./support/server";
import { FakeSocket } from "./support/sockets";

const MARKET = {
  symbol: "BTC/USD", base: "BTC", quote: "USD", mode: "Open", auction_ends_at: null, tick_size: "0.01", lot_size: "0.00000001",
  price_max: "10000000.00", quantity_min: "0.00000001", quantity_max: "100000", notional_min: "0.01", maker_fee: "0.001", taker_fee: "0.002",
  open_orders_max: 5000, position_max: null, price_band: null, reference_price: null, last_price: "50000.00",
};
const BOB = { account_id: "7", username: "bob", role: "user", created_at: "2026-01-01T12:00:00Z", frozen_at: null, second_factor: false, sessions: 1, live_orders: 2 };
const adjustment = (id: string, by: string, status = "Proposed") => ({
  adjustment_id: id, account_id: "7", username: "bob", asset: "USD", direction: "Credit", amount: "12.5", reason: "fee charged twice", status,
  proposed_by: by, proposed_at: "2026-01-01T12:00:00Z", expires_at: "2026-01-02T12:00:00Z", decided_by: null, decided_at: null, sequence: null, refusal: null,
});
const ROW = {
  sequence: 3, recorded_at: "2026-01-01T12:00:00Z", account_id: "2", actor: "ann", address: "203.0.113.7", action: "market.set_mode",
  parameters: { symbol: "BTC/USD", mode: "Halted" }, outcome: "Done", reason: null, intent: 2, journal_sequence: 17, hash: "ab".repeat(32),
};
const page = (...items: unknown[]) => HttpResponse.json({ items, next_cursor: null });

const server = exchangeServer();
const user = userEvent.setup();
/** Requests that change something: method and path with the body. */
let sent: [string, unknown][] = [];

beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
beforeEach(() => {
  sent = [];
  FakeSocket.made = [];
  vi.stubGlobal("WebSocket", FakeSocket);
  const take = async ({ request }: { request: Request }) => {
    const text = await request.text();
    sent.push([`${request.method} ${new URL(request.url).pathname.replace("/api/v1/admin", "")}`, text ? JSON.parse(text) : null]);
    return HttpResponse.json({});
  };
  server.use(
    http.get(at("/auth/me"), () => HttpResponse.json(meAnswer("admin"))),
    http.get(at("/admin/markets"), () => page(MARKET)),
    http.get(at("/admin/assets"), () => page({ name: "USD", scale: 10 }, { name: "BTC", scale: 8 })),
    http.get(at("/admin/users"), ({ request }) => (/nobody/.test(request.url) ? page() : page(BOB))),
    http.get(at("/admin/adjustments"), () => page(adjustment("2", "carol"), adjustment("1", "ann"))),
    http.get(at("/admin/audit-log"), () => page(ROW)),
    http.put(at("/admin/markets/:symbol/mode"), take),
    http.post(at("/admin/users/:account/:action"), take),
    http.post(at("/admin/adjustments"), take),
    http.post(at("/admin/adjustments/:id/:decision"), take),
  );
});
afterEach(() => server.resetHandlers());
afterAll(() => server.close());

async function open(tab?: string): Promise<void> {
  rememberSession();
  render(<App exchange={makeExchange(BASE)} history={createMemoryHistory({ initialEntries: ["/admin"] })} />);
  if (tab) await user.click(await screen.findByRole("tab", { name: tab }));
}
const rowOf = async (table: string, text: string): Promise<HTMLElement> => {
  const cell = await within(await screen.findByRole("table", { name: table })).findByText(text);
  const row = cell.closest("tr");
  if (!row) throw new Error(`${text} is in no row`);
  return row;
};

describe("the page for admins", () => {
  test("is for admins: others find neither the page nor the way to it", async () => {
    server.use(http.get(at("/auth/me"), () => HttpResponse.json(meAnswer("user"))));
    await open();
    expect(await screen.findByText("Only an admin of this exchange may do that.")).toBeInTheDocument();
    expect(screen.queryByRole("link", { name: "Admin" })).not.toBeInTheDocument();
  });

  test("a market's mode is set once it was confirmed, with the reason that was given", async () => {
    await open();
    expect(await screen.findByRole("link", { name: "Admin" })).toBeInTheDocument();
    await user.selectOptions(await screen.findByLabelText("Mode of BTC/USD"), "Halted");
    const dialog = await screen.findByRole("dialog", { name: "BTC/USD: Halted" });
    expect(sent).toEqual([]);
    await user.type(within(dialog).getByLabelText("Reason (optional)"), "odd prices");
    await user.click(within(dialog).getByRole("button", { name: "Confirm" }));
    await waitFor(() => expect(sent).toEqual([["PUT /markets/BTC-USD/mode", { mode: "Halted", reason: "odd prices" }]]));
    await waitFor(() => expect(screen.queryByRole("dialog")).not.toBeInTheDocument());
  });

  test("a user is frozen for a reason, and not without", async () => {
    await open("Users");
    await user.selectOptions(await screen.findByLabelText("Action for bob"), "Freeze");
    const dialog = await screen.findByRole("dialog", { name: "Freeze bob" });
    const confirm = within(dialog).getByRole("button", { name: "Confirm" });
    expect(confirm).toBeDisabled();
    await user.type(within(dialog).getByLabelText("Reason"), "asked for by phone");
    await user.click(confirm);
    await waitFor(() => expect(sent).toEqual([["POST /users/7/freeze", { reason: "asked for by phone" }]]));
  });

  test("what the exchange refuses is told in its own words, and the dialog stays", async () => {
    server.use(http.post(at("/admin/users/:account/:action"), () => problem(404, "NOT_FOUND", { detail: "there is no user with account 7" })));
    await open("Users");
    await user.selectOptions(await screen.findByLabelText("Action for bob"), "Cancel orders");
    const dialog = await screen.findByRole("dialog");
    await user.type(within(dialog).getByLabelText("Reason"), "drill");
    await user.click(within(dialog).getByRole("button", { name: "Confirm" }));
    expect(await within(dialog).findByRole("alert")).toHaveTextContent("there is no user with account 7");
  });

  test("an adjustment is proposed for a user by name", async () => {
    await open("Adjustments");
    const form = await screen.findByRole("form", { name: "Propose" });
    await user.type(within(form).getByLabelText("Username"), "nobody");
    await user.type(within(form).getByLabelText("Amount"), "12.50");
    await user.type(within(form).getByLabelText("Reason"), "fee charged twice");
    await user.click(within(form).getByRole("button", { name: "Propose" }));
    expect(await within(form).findByRole("alert")).toHaveTextContent("There is no user nobody.");
    await user.clear(within(form).getByLabelText("Username"));
    await user.type(within(form).getByLabelText("Username"), "bob");
    await user.click(within(form).getByRole("button", { name: "Propose" }));
    const body = { account_id: "7", asset: "USD", direction: "Credit", amount: "12.50", reason: "fee charged twice" };
    await waitFor(() => expect(sent).toEqual([["POST /adjustments", body]]));
  });

  test("others' proposals can be approved or rejected, one's own withdrawn", async () => {
    await open("Adjustments");
    const own = within(await rowOf("Adjustments", "1"));
    expect(own.getAllByRole("button").map((button) => button.textContent)).toEqual(["Withdraw"]);
    const others = within(await rowOf("Adjustments", "2"));
    expect(others.getAllByRole("button").map((button) => button.textContent)).toEqual(["Approve", "Reject"]);
    await user.click(others.getByRole("button", { name: "Approve" }));
    const dialog = await screen.findByRole("dialog", { name: "Approve: 12.5 USD to bob" });
    await user.click(within(dialog).getByRole("button", { name: "Confirm" }));
    await waitFor(() => expect(sent).toEqual([["POST /adjustments/2/approve", null]]));
  });

  test("the audit log tells who did what", async () => {
    await open("Audit log");
    const row = await rowOf("Audit log", "market.set_mode");
    for (const text of ["3", "ann", "Done", "203.0.113.7", "symbol BTC/USD, mode Halted"]) expect(row).toHaveTextContent(text);
  });
});
