import { describe, expect, test } from "vitest";

import { add, compare, decimal, displayDecimal, divide, formatDecimal, formatPercent, formatRatio, groupThousands, multiply, parseDecimal } from "@/market/decimal";

describe("decimals", () => {
  test.each([
    ["50000.00", 5000000n, 2],
    [".5", 5n, 1],
    ["1.", 1n, 0],
    ["-0.0123", -123n, 4],
    ["  7 ", 7n, 0],
    ["9007199254740993.1", 90071992547409931n, 1],
  ])("%s is read exactly", (text, units, scale) => {
    expect(parseDecimal(text)).toEqual({ units, scale });
  });

  test.each(["", ".", "-", "1e5", "1,000", "0x10", "NaN", "Infinity", "1.2.3", "--1", "١"])("%j is no decimal", (text) => {
    expect(parseDecimal(text)).toBeNull();
    expect(() => decimal(text)).toThrow(RangeError);
  });

  test("what binary fractions cannot hold is added and multiplied exactly", () => {
    expect(formatDecimal(add(decimal("0.1"), decimal("0.2")))).toBe("0.3");
    expect(formatDecimal(multiply(decimal("1.1"), decimal("1.1")))).toBe("1.21");
    expect(formatDecimal(multiply(decimal("99999999.99999999"), decimal("42949672.95")), 0)).toBe("4294967294999999.5705032705");
  });

  test("values of different scales compare by value", () => {
    expect(compare(decimal("1.0"), decimal("1"))).toBe(0);
    expect(compare(decimal("-0.01"), decimal("0"))).toBe(-1);
    expect(compare(decimal("0.10000000000000000001"), decimal("0.1"))).toBe(1);
  });

  test("division says whether anything is left over", () => {
    expect(divide(decimal("0.3"), decimal("0.1"))).toEqual({ quotient: 3n, exact: true });
    expect(divide(decimal("0.35"), decimal("0.1"))).toEqual({ quotient: 3n, exact: false });
  });

  test("formatting keeps the sign, the leading zero and as many decimals as asked for", () => {
    expect(formatDecimal({ units: -5n, scale: 3 })).toBe("-0.005");
    expect(formatDecimal({ units: 1500n, scale: 3 }, 0)).toBe("1.5");
    expect(formatDecimal({ units: 1000n, scale: 3 }, 2)).toBe("1.00");
    expect(groupThousands("-1234567.8901")).toBe("-1,234,567.8901");
    expect(displayDecimal("10000")).toBe("10,000.00");
    expect(displayDecimal("0.50000000", 0)).toBe("0.5");
    expect(displayDecimal(null)).toBe("–");
  });

  test("ratios become percentages without floating point", () => {
    expect(formatRatio("-0.0123")).toBe("−1.23 %");
    expect(formatRatio("0.00005")).toBe("+0.01 %");
    expect(formatRatio("0.00004")).toBe("0.00 %");
    expect(formatRatio(null)).toBe("–");
    expect(formatPercent("0.0025")).toBe("0.25 %");
  });
});
