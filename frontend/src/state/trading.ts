import { useMutation } from "@tanstack/react-query";

import { answerOf, type Api } from "@/api/client";
import { isTransient, ProblemError } from "@/api/problems";
import type { NewOrder, Order } from "@/api/types";

import { rereadBalances, rereader, rereadOpenOrders, takeOrders } from "./account";
import { useExchange } from "./exchange";

const ATTEMPTS = 3;
const PAUSE_MS = 400;

/** An id that no order ever had: 128 random bits. */
export function newClientOrderId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Ask again while answers are lost, for what happens once however often it is asked for.
 * Throws ProblemError for a refusal, and the last failure where no answer came at all.
 */
export async function throughLostAnswers<T>(ask: () => Promise<T>, pauseMs = PAUSE_MS): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!isTransient(error) || attempt === ATTEMPTS) throw error;
      const seconds = error instanceof ProblemError ? error.retryAfterSeconds : null;
      await new Promise((resolve) => setTimeout(resolve, seconds === null ? pauseMs * attempt : Math.min(seconds * 1000, 5000)));
    }
  }
}

/** Place an order: the same order under the same client id is the same order, however often it is sent. */
export const placeOrder = (api: Api, order: NewOrder, pauseMs = PAUSE_MS): Promise<Order> =>
  throughLostAnswers(() => answerOf(api.POST("/api/v1/orders", { body: order })), pauseMs);

export function usePlaceOrder() {
  const { api, queries } = useExchange();
  return useMutation({
    mutationFn: (order: NewOrder) => placeOrder(api, order),
    onSuccess: (order) => {
      takeOrders(queries, [order]);
      rereadBalances(queries);
      rereader(queries)();
    },
  });
}

export function useCancelOrder() {
  const { api, queries } = useExchange();
  return useMutation({
    mutationFn: (orderId: string) => answerOf(api.PUT("/api/v1/orders/{order_id}/cancel", { params: { path: { order_id: orderId } } })),
    onSuccess: (order) => {
      takeOrders(queries, [order]);
      rereadBalances(queries);
      rereader(queries)();
    },
    onError: () => rereadOpenOrders(queries),
  });
}

/** Demo money, where the exchange gives it. */
export function useFaucet() {
  const { api, queries } = useExchange();
  return useMutation({
    mutationFn: (body: { asset: string; amount: string }) => answerOf(api.POST("/api/v1/faucet", { body })),
    onSuccess: () => {
      rereadBalances(queries);
      rereader(queries)();
    },
  });
}
