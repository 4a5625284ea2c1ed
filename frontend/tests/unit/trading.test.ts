import { describe, expect, test, vi } from "vitest";

import { makeApi } from "@/api/client";
import { NoAnswerError, ProblemError } from "@/api/problems";
import type { NewOrder } from "@/api/types";
import { newClientOrderId, placeOrder } from "@/state/trading";

const ORDER: NewOrder = { symbol: "BTC/USD", side: "Buy", quantity: "1", price: "1.00", order_type: "Limit", client_order_id: "abc" };
const accepted = (): Response => Response.json({ order_id: "7", status: "Open" }, { status: 201 });
const refused = (status: number, reason: string, headers: Record<string, string> = {}): Response =>
  Response.json({ status, reason, title: reason, detail: reason, type: "", code: 1 }, { status, headers });

/** Place through a network that gives these answers in turn; null is silence. */
async function placedWith(...answers: (Response | null)[]): Promise<{ outcome: unknown; bodies: string[] }> {
  const bodies: string[] = [];
  const api = makeApi("http://exchange", async (request) => {
    bodies.push(await request.text());
    const answer = answers.shift();
    if (!answer) throw new TypeError("network");
    return answer;
  });
  const outcome = await placeOrder(api, ORDER, 1).catch((error: unknown) => error);
  return { outcome, bodies };
}

describe("placing an order", () => {
  test("a lost answer is asked for again with the very same order", async () => {
    const { outcome, bodies } = await placedWith(null, accepted());
    expect(outcome).toMatchObject({ order_id: "7" });
    expect(bodies).toHaveLength(2);
    expect(bodies[0]).toBe(bodies[1]);
    expect(JSON.parse(bodies[0]!)).toMatchObject({ client_order_id: "abc" });
  });

  test("an unknown outcome and an answer that is not the exchange's are asked for again too", async () => {
    const page = new Response("<html>bad gateway</html>", { status: 502 });
    const { outcome, bodies } = await placedWith(refused(503, "OUTCOME_UNKNOWN"), page, accepted());
    expect(outcome).toMatchObject({ order_id: "7" });
    expect(bodies).toHaveLength(3);
  });

  test("a refusal is final", async () => {
    const { outcome, bodies } = await placedWith(refused(422, "PRICE_OFF_TICK"), accepted());
    expect(outcome).toBeInstanceOf(ProblemError);
    expect(bodies).toHaveLength(1);
  });

  test("after three silences the failure is told", async () => {
    const { outcome, bodies } = await placedWith(null, null, null, accepted());
    expect(outcome).toBeInstanceOf(NoAnswerError);
    expect(bodies).toHaveLength(3);
  });

  test("the exchange's own waiting time is kept", async () => {
    vi.useFakeTimers();
    const placing = placedWith(refused(503, "UNAVAILABLE", { "Retry-After": "2" }), accepted());
    let done = false;
    void placing.then(() => (done = true));
    await vi.advanceTimersByTimeAsync(1900);
    expect(done).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    expect((await placing).outcome).toMatchObject({ order_id: "7" });
    vi.useRealTimers();
  });

  test("client order ids are valid and never repeat", () => {
    const ids = Array.from({ length: 1000 }, newClientOrderId);
    expect(new Set(ids).size).toBe(1000);
    expect(ids.every((id) => /^[A-Za-z0-9_.:-]{1,36}$/.test(id))).toBe(true);
  });
});
