import { describe, expect, test } from "vitest";

import { isOpen, mergeOrders, OPEN_MAX } from "@/market/orders";

const order = (id: number, status = "Open", filled = "0", sequence = id) => ({ order_id: String(id), status, filled_quantity: filled, sequence });

describe("merging orders", () => {
  test("newest comes first, by number and not by letter", () => {
    expect(mergeOrders([order(9)], [order(10), order(100)]).map(({ order_id }) => order_id)).toEqual(["100", "10", "9"]);
  });

  test("an order that has ended does not open again when an older answer arrives late", () => {
    const held = mergeOrders([], [order(1, "Filled", "1")]);
    expect(mergeOrders(held, [order(1, "Open")])[0]?.status).toBe("Filled");
  });

  test("what was filled stays filled", () => {
    const held = mergeOrders([], [order(1, "PartiallyFilled", "0.50")]);
    expect(mergeOrders(held, [order(1, "Open", "0")])[0]?.filled_quantity).toBe("0.50");
    expect(mergeOrders(held, [order(1, "PartiallyFilled", "0.6")])[0]?.filled_quantity).toBe("0.6");
  });

  test("an amendment is newer than what was known before it, though nothing was filled", () => {
    const amended = { ...order(1, "Open", "0", 7), quantity: "2" };
    const known = { ...order(1, "Open", "0", 5), quantity: "1" };
    expect(mergeOrders([known], [amended])[0]?.quantity).toBe("2");
    expect(mergeOrders([amended], [known])[0]?.quantity).toBe("2");
  });

  test("an order that waits is open", () => {
    expect(isOpen(order(1, "Waiting"))).toBe(true);
    expect(isOpen(order(1, "Expired"))).toBe(false);
  });

  test("the list is bounded, and ended orders never push open ones out", () => {
    const open = Array.from({ length: OPEN_MAX }, (_, index) => order(index + 1));
    const ended = Array.from({ length: 1000 }, (_, index) => order(10_000 + index, "Cancelled"));
    const merged = mergeOrders(open, ended);
    expect(merged.filter(isOpen)).toHaveLength(OPEN_MAX);
    expect(merged.length).toBeLessThan(OPEN_MAX + 200);
  });
});
