import { createMemoryHistory } from "@tanstack/react-router";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";

import type { NewDeposit, NewWithdrawal, Withdrawal } from "@/api/types";
import { App } from "@/app/App";
import { makeExchange } from "@/state/exchange";

import { at, BASE, commissionAnswer, exchangeServer, http, HttpResponse, problem, rememberSession, transferTerms } from "./support/server";
import { FakeSocket } from "./support/sockets";

const server = exchangeServer();
beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
beforeEach(() => {
  FakeSocket.made = [];
  vi.stubGlobal("WebSocket", FakeSocket);
  rememberSession();
});
afterEach(() => server.resetHandlers());
afterAll(() => server.close());

const open = (path: string) => render(<App exchange={makeExchange(BASE)} history={createMemoryHistory({ initialEntries: [path] })} />);
const user = userEvent.setup();

const withdrawal = (changed: Partial<Withdrawal> = {}): Withdrawal => ({
  withdrawal_id: "1",
  reference: "r",
  asset: "USD",
  amount: "40",
  destination: "home",
  status: "Requested",
  outside_id: null,
  refusal: null,
  sequence: 7,
  refund_sequence: null,
  created_at: "2026-01-01T12:00:00Z",
  updated_at: "2026-01-01T12:00:00Z",
  ...changed,
});

describe("fees", () => {
  test("the tier, the way to the next one and the fees of each market are told", async () => {
    open("/portfolio");
    const fees = await screen.findByRole("region", { name: "Fees" });
    expect(await within(fees).findByText("25,000.00 USD")).toBeInTheDocument();
    expect(within(fees).getByRole("progressbar", { name: "Way to the next tier" })).toHaveValue(25);
    expect(within(fees).getByText(/75,000.00 USD more and you pay 90 % of the maker and 95 % of the taker fees/)).toBeInTheDocument();
    const row = within(fees).getByRole("row", { name: /BTC\/USD/ });
    expect(row).toHaveTextContent("BTC/USD0.1 %0.2 %");
  });

  test("the highest tier has no next one", async () => {
    server.use(http.get(at("/account/commission"), () => HttpResponse.json(commissionAnswer({ tier: 4, next_tier: null }))));
    open("/portfolio");
    expect(await screen.findByText("You are in the highest tier.")).toBeInTheDocument();
  });

  test("the ticket shows the account's own fees", async () => {
    const markets = [{ symbol: "BTC/USD", maker: "0.0005", taker: "0.0016" }];
    server.use(http.get(at("/account/commission"), () => HttpResponse.json(commissionAnswer({ markets }))));
    open("/trade/BTC-USD");
    expect(await screen.findByText("Fee: maker 0.05 %, taker 0.16 %")).toBeInTheDocument();
  });
});

describe("transfers", () => {
  const openTransfers = async () => {
    open("/portfolio");
    await user.click(await screen.findByRole("tab", { name: "Transfers" }));
  };

  test("a withdrawal whose answer is lost is sent again under the same reference", async () => {
    const asked: NewWithdrawal[] = [];
    let list: Withdrawal[] = [];
    server.use(
      http.post(at("/withdrawals"), async ({ request }) => {
        asked.push((await request.json()) as NewWithdrawal);
        if (asked.length === 1) return problem(503, "OUTCOME_UNKNOWN");
        list = [withdrawal()];
        return HttpResponse.json(list[0], { status: 201 });
      }),
      http.get(at("/withdrawals"), () => HttpResponse.json({ items: list, next_cursor: null })),
    );
    await openTransfers();
    const form = await screen.findByRole("form", { name: "Withdraw" });
    await user.type(within(form).getByLabelText("Amount"), "40");
    await user.type(within(form).getByLabelText("Destination"), "home");
    await user.click(within(form).getByRole("button", { name: "Withdraw" }));
    expect(await screen.findByRole("cell", { name: "Requested" })).toBeInTheDocument();
    expect(asked).toHaveLength(2);
    expect(asked[0]).toEqual(asked[1]);
    expect(asked[0]).toMatchObject({ asset: "USD", amount: "40", destination: "home" });
    expect(asked[0]?.reference).toMatch(/^[0-9a-f]{32}$/);
    list = [withdrawal({ status: "Refused", refusal: "no such account" })];
    expect(await screen.findByRole("cell", { name: "Refused, given back" }, { timeout: 5000 })).toBeInTheDocument();
  });

  test("a refusal says why and offers the nearest amount", async () => {
    const members = { field: "amount", limit: "10000", nearest: "10000" };
    server.use(http.post(at("/withdrawals"), () => problem(422, "INSUFFICIENT_FUNDS", members)));
    await openTransfers();
    const form = await screen.findByRole("form", { name: "Withdraw" });
    await user.type(within(form).getByLabelText("Amount"), "20000");
    await user.type(within(form).getByLabelText("Destination"), "home");
    await user.click(within(form).getByRole("button", { name: "Withdraw" }));
    expect(await within(form).findByRole("alert")).toHaveTextContent("Your available balance is too low for this. Available: 10000.");
    await user.click(within(form).getByRole("button", { name: "Use 10,000" }));
    expect(within(form).getByLabelText("Amount")).toHaveValue("10000");
  });

  test("a deposit is asked for in the sandbox, each with a reference of its own", async () => {
    const asked: NewDeposit[] = [];
    server.use(
      http.post(at("/deposits"), async ({ request }) => {
        asked.push((await request.json()) as NewDeposit);
        return HttpResponse.json({}, { status: 201 });
      }),
    );
    await openTransfers();
    const form = await screen.findByRole("form", { name: "Deposit" });
    expect(within(form).getByText("sandbox-usd-2-abc")).toBeInTheDocument();
    for (const number of [1, 2]) {
      await user.type(within(form).getByLabelText("Amount"), "250");
      await user.click(within(form).getByRole("button", { name: "Deposit" }));
      await waitFor(() => expect(asked).toHaveLength(number));
      await waitFor(() => expect(within(form).getByLabelText("Amount")).toHaveValue(""));
    }
    expect(asked[0]?.reference).not.toBe(asked[1]?.reference);
  });

  test("where transfers are closed nothing is offered", async () => {
    server.use(http.get(at("/transfers/terms"), () => HttpResponse.json({ ...transferTerms(), custody: null })));
    await openTransfers();
    expect(await screen.findByText("Deposits and withdrawals are closed on this exchange.")).toBeInTheDocument();
    expect(screen.queryByRole("form", { name: "Withdraw" })).toBeNull();
  });
});
