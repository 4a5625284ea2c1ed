import { describe, expect, test } from "vitest";

import { Book } from "@/market/book";
import { decimal, formatDecimal } from "@/market/decimal";
import { gridOf } from "@/market/ticks";
import { checkDraft, estimateOf, notionalOf, quantityForPercent, type Draft } from "@/market/ticket";
import { useTicket } from "@/state/ticket";

import { BTC_USD } from "./support/markets";

const grid = gridOf(BTC_USD);
const draftOf = (changed: Partial<Draft> = {}): Draft => ({
  side: "Buy",
  orderType: "Limit",
  price: "50000.00",
  quantity: "0.1",
  timeInForce: "GTC",
  postOnly: false,
  ...changed,
});
const check = (changed: Partial<Draft>, available: string | null = null) => checkDraft(draftOf(changed), BTC_USD, grid, available === null ? null : decimal(available));

describe("the ticket's checks", () => {
  test("a good order has no refusal", () => {
    expect(check({}, "5000")).toBeNull();
    expect(check({ orderType: "Market", price: "", timeInForce: "IOC" }, "0")).toBeNull();
  });

  test.each([
    [{ price: "50000.005" }, { reason: "PRICE_OFF_TICK", field: "price", limit: "0.01", nearest: "50000.01" }],
    [{ price: "50000.004" }, { reason: "PRICE_OFF_TICK", field: "price", limit: "0.01", nearest: "50000.00" }],
    [{ price: "0" }, { reason: "PRICE_OUT_OF_RANGE", field: "price", nearest: "0.01" }],
    [{ price: "10000000.01" }, { reason: "PRICE_OUT_OF_RANGE", field: "price", limit: "10000000", nearest: "10000000" }],
    [{ price: "abc" }, { reason: "MALFORMED", field: "price", nearest: null }],
    [{ price: "" }, { reason: "MALFORMED", field: "price" }],
    [{ quantity: "0.123456789" }, { reason: "QUANTITY_OFF_LOT", field: "quantity", nearest: "0.12345679" }],
    [{ quantity: "0.00001" }, { reason: "QUANTITY_OUT_OF_RANGE", field: "quantity", limit: "0.0001", nearest: "0.0001" }],
    [{ quantity: "1000.1" }, { reason: "QUANTITY_OUT_OF_RANGE", field: "quantity", limit: "1000", nearest: "1000" }],
    [{ quantity: "-1" }, { reason: "MALFORMED", field: "quantity" }],
    [{ price: "3.00", quantity: "0.1" }, { reason: "NOTIONAL_TOO_SMALL", field: "quantity", limit: "1", nearest: "0.33333334" }],
  ])("%j is refused as %j", (changed, refusal) => {
    expect(check(changed)).toMatchObject(refusal);
  });

  test("a market order's protection price is checked only where there is one", () => {
    expect(check({ orderType: "Market", price: "1.001", timeInForce: "IOC" })).toMatchObject({ reason: "PRICE_OFF_TICK" });
  });

  test("too little money names what is available and what it would pay for", () => {
    expect(check({}, "4999.99")).toEqual({ reason: "INSUFFICIENT_FUNDS", field: "quantity", limit: "4999.99", nearest: "0.09999980" });
    expect(check({ side: "Sell" }, "0.05")).toMatchObject({ reason: "INSUFFICIENT_FUNDS", nearest: "0.05000000" });
    expect(check({}, "1")).toMatchObject({ reason: "INSUFFICIENT_FUNDS", nearest: null });
  });

  test("what is suggested passes the check that suggested it", () => {
    for (const changed of [{ price: "50000.005" }, { quantity: "0.123456789" }, { price: "3.00" }, { quantity: "5000" }]) {
      const refusal = check(changed);
      expect(check({ ...changed, [refusal!.field]: refusal!.nearest! })?.reason).not.toBe(refusal!.reason);
    }
  });

  test("the total is exact", () => {
    expect(formatDecimal(notionalOf(draftOf({ price: "0.1", quantity: "0.2" }))!)).toBe("0.02");
    expect(notionalOf(draftOf({ price: "" }))).toBeNull();
  });
});

describe("percentages of the balance", () => {
  const book = new Book(grid);
  book.load({ bids: [], asks: [["100.00", "1"], ["200.00", "1"]] });
  const quantityFor = (percent: number, changed: Partial<Draft>, available: string): string =>
    quantityForPercent(percent, draftOf(changed), decimal(available), BTC_USD, grid, book);

  test("a limit buy spends quote at its limit, rounded down to a lot", () => {
    expect(quantityFor(100, { price: "30000.00" }, "10000.00")).toBe("0.33333333");
    expect(quantityFor(25, { price: "50000.00" }, "10000.00")).toBe("0.0500");
  });

  test("a sell gives base", () => {
    expect(quantityFor(50, { side: "Sell", price: "" }, "0.12345679")).toBe("0.06172839");
  });

  test("a market buy spends quote at the prices of the book", () => {
    expect(quantityFor(100, { orderType: "Market", price: "" }, "200.00")).toBe("1.5000");
  });

  test("nothing is affordable without money or without a price", () => {
    expect(quantityFor(100, {}, "0")).toBe("");
    expect(quantityFor(100, { price: "" }, "100")).toBe("");
  });

  test("the market's maximum is not exceeded", () => {
    expect(quantityFor(100, { price: "0.01" }, "1000000")).toBe("1000.0000");
  });

  test("the estimate of a market order says when the book is too thin", () => {
    const estimate = estimateOf(draftOf({ orderType: "Market", quantity: "1.5" }), book)!;
    expect(formatDecimal(estimate.notional, 2)).toBe("200.00");
    expect(estimate.complete).toBe(true);
    expect(estimateOf(draftOf({ orderType: "Market", quantity: "2.1" }), book)!.complete).toBe(false);
  });
});

describe("the ticket's state", () => {
  test("turning to market and back keeps combinations that the exchange takes", () => {
    const { edit } = useTicket.getState();
    edit({ price: "1.00", postOnly: true });
    edit({ orderType: "Market" });
    expect(useTicket.getState().draft).toMatchObject({ timeInForce: "IOC", postOnly: false, price: "" });
    edit({ orderType: "Limit" });
    expect(useTicket.getState().draft).toMatchObject({ timeInForce: "GTC", postOnly: false });
    edit({ postOnly: true });
    edit({ timeInForce: "FOK" });
    expect(useTicket.getState().draft.postOnly).toBe(false);
  });

  test("a price picked elsewhere makes the ticket a limit order at that price", () => {
    useTicket.getState().edit({ orderType: "Market" });
    useTicket.getState().pick("49999.00");
    expect(useTicket.getState().draft).toMatchObject({ orderType: "Limit", price: "49999.00", timeInForce: "GTC" });
  });
});
