import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { REASONS } from "@/api/reasons";
import { en } from "@/ui/en";
import { refusalText } from "@/ui/reasons";

const ROOT = join(import.meta.dirname, "../../..");

/** The members of an IntEnum as they stand in a Python file, without NONE. */
function membersOf(path: string, name: string): Record<string, number> {
  const source = readFileSync(join(ROOT, path), "utf8");
  const body = source.split(`class ${name}(IntEnum):`)[1]?.split(/^\S/m)[0] ?? "";
  const members = [...body.matchAll(/^ {4}([A-Z_]+) = (\d+)$/gm)].map(([, member, code]): [string, number] => [member!, Number(code)]);
  return Object.fromEntries(members.filter(([member]) => member !== "NONE"));
}

describe("reasons", () => {
  test("the frontend knows exactly the reasons that the engine and the edge give", () => {
    const engine = membersOf("engine/records.py", "Reason");
    const edge = membersOf("backend/exchange/contracts/refusals.py", "EdgeReason");
    expect(Object.keys(engine).length).toBeGreaterThan(20);
    expect({ ...engine, ...edge }).toEqual(REASONS);
  });

  test.each(Object.keys(REASONS))("%s has a text", (reason) => {
    expect(en.reason[reason as keyof typeof REASONS]).toMatch(/^[A-Z].{10,}$/);
    expect(refusalText({ reason })).toBe(en.reason[reason as keyof typeof REASONS]);
  });

  test("no text stands for a reason that nobody gives", () => {
    expect(Object.keys(en.reason).sort()).toEqual(Object.keys(REASONS).sort());
  });

  test("the limit is named", () => {
    expect(refusalText({ reason: "PRICE_OFF_TICK", limit: "0.01" })).toBe("The price must be a multiple of the tick size. Tick size: 0.01.");
    expect(refusalText({ reason: "PRICE_OUT_OF_RANGE", limit: "5" })).toMatch(/Limit: 5\.$/);
  });

  test("a reason of a later version is told in the exchange's own words", () => {
    expect(refusalText({ reason: "BRAND_NEW", detail: "the moon is full" })).toBe("The exchange refused this: the moon is full");
  });
});
