import { describe, expect, test } from "vitest";

import { decimal } from "@/market/decimal";
import { displayLots, displayTicks, gridOf, lotsOf, onGrid, ticksOf, TICKS_MAX } from "@/market/ticks";

const grid = gridOf({ tick_size: "0.05", lot_size: "0.00000001" });

describe("ticks and lots", () => {
  test("prices and quantities become whole numbers of ticks and lots", () => {
    expect(ticksOf("50000.00", grid)).toBe(1_000_000);
    expect(lotsOf("1.5", grid)).toBe(150_000_000n);
    expect(lotsOf("46116860184.27387903", grid)).toBe(4_611_686_018_427_387_903n);
  });

  test("what is not on the grid is never rounded silently", () => {
    expect(() => ticksOf("50000.01", grid)).toThrow(RangeError);
    expect(() => lotsOf("0.000000001", grid)).toThrow(RangeError);
    expect(() => ticksOf("-1", grid)).toThrow(RangeError);
  });

  test("the largest price of the engine fits, the next one does not", () => {
    const unit = gridOf({ tick_size: "1", lot_size: "1" });
    expect(ticksOf(String(TICKS_MAX), unit)).toBe(4_294_967_295);
    expect(() => ticksOf(String(TICKS_MAX + 1), unit)).toThrow(RangeError);
  });

  test("they are shown with the decimals of their step", () => {
    expect(displayTicks(1_000_001, grid)).toBe("50,000.05");
    expect(displayLots(150_000_000n, grid)).toBe("1.5000");
    expect(displayLots(1n, grid)).toBe("0.00000001");
  });

  test.each([
    ["50000.05", true, "50000.05"],
    ["50000.07", false, "50000.05"],
    ["50000.08", false, "50000.10"],
    ["0.01", false, "0.05"],
    ["50000.050", true, "50000.050"],
  ])("%s: on the grid %s, nearest %s", (text, exact, nearest) => {
    expect(onGrid(text, decimal("0.05"))).toMatchObject({ exact, nearest });
  });

  test("what is no number has no nearest value", () => {
    expect(onGrid("abc", decimal("0.05"))).toEqual({ value: null, exact: false, nearest: null });
    expect(onGrid("-5", decimal("0.05"))).toEqual({ value: null, exact: false, nearest: null });
  });
});
