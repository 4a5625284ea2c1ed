import { useInfiniteQuery, useQuery, type QueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import { answerOf } from "@/api/client";
import type { OrdersMessage } from "@/api/messages";
import type { Balance, Fill, Order } from "@/api/types";
import { decimal, ZERO, type Decimal } from "@/market/decimal";
import { isOpen, mergeOrders } from "@/market/orders";

import { useExchange, useUser } from "./exchange";

const OPEN_ORDERS = ["account", "orders", "open"];
const BALANCES = ["account", "balances"];
const COMMISSION = ["account", "commission"];
/** What is read again after something has changed. */
const PAGED = [
  ["account", "orders", "history"],
  ["account", "fills"],
  ["account", "ledger"],
  COMMISSION,
];
const REREAD_MS = 1000;
const PAGE = 50;

export function useOpenOrders() {
  const { api } = useExchange();
  const user = useUser();
  return useQuery({
    queryKey: OPEN_ORDERS,
    enabled: user !== null,
    staleTime: Infinity, // the stream keeps it up to date
    select: (orders) => orders.filter(isOpen),
    queryFn: async () => (await answerOf(api.GET("/api/v1/orders", { params: { query: { status: "open", limit: 500 } } }))).items,
  });
}

export function useBalances() {
  const { api } = useExchange();
  const user = useUser();
  return useQuery({
    queryKey: BALANCES,
    enabled: user !== null,
    staleTime: Infinity,
    queryFn: async () => (await answerOf(api.GET("/api/v1/balances"))).items,
  });
}

/** What the account can spend of an asset; null while that is not known. */
export function useAvailable(asset: string): Decimal | null {
  const { data } = useBalances();
  if (!data) return null;
  const balance = data.find((item) => item.asset === asset);
  return balance ? decimal(balance.available) : ZERO;
}

export const paged = { initialPageParam: undefined as string | undefined, getNextPageParam: (page: { next_cursor: string | null }) => page.next_cursor };

/** `limit` and, after the first page, `cursor`. */
export const pageQuery = (cursor: string | undefined): { limit: number; cursor?: string } => (cursor ? { limit: PAGE, cursor } : { limit: PAGE });

export function useOrderHistory() {
  const { api } = useExchange();
  const user = useUser();
  return useInfiniteQuery({
    queryKey: ["account", "orders", "history"],
    enabled: user !== null,
    ...paged,
    queryFn: ({ pageParam }) => answerOf(api.GET("/api/v1/orders", { params: { query: { status: "closed", ...pageQuery(pageParam) } } })),
  });
}

export function useFills() {
  const { api } = useExchange();
  const user = useUser();
  return useInfiniteQuery({
    queryKey: ["account", "fills"],
    enabled: user !== null,
    ...paged,
    queryFn: ({ pageParam }) => answerOf(api.GET("/api/v1/fills", { params: { query: pageQuery(pageParam) } })),
  });
}

export function useLedger() {
  const { api } = useExchange();
  const user = useUser();
  return useInfiniteQuery({
    queryKey: ["account", "ledger"],
    enabled: user !== null,
    ...paged,
    queryFn: ({ pageParam }) => answerOf(api.GET("/api/v1/ledger", { params: { query: pageQuery(pageParam) } })),
  });
}

/** What the account pays, by what it has traded. */
export function useCommission() {
  const { api } = useExchange();
  const user = useUser();
  return useQuery({
    queryKey: COMMISSION,
    enabled: user !== null,
    queryFn: () => answerOf(api.GET("/api/v1/account/commission")),
  });
}

/** Replace what a query holds by what the stream says. A read under way is older than that, so it is given up. */
function tell<T>(queries: QueryClient, queryKey: string[], change: (held: T | undefined) => T | undefined): void {
  const told = change(queries.getQueryData<T>(queryKey));
  if (told === undefined) return;
  void queries.cancelQueries({ queryKey });
  queries.setQueryData(queryKey, told);
}

/** Take changed orders into the list of open ones, once there is one. */
export function takeOrders(queries: QueryClient, changed: readonly Order[]): void {
  tell<Order[]>(queries, OPEN_ORDERS, (held) => held && mergeOrders(held, changed));
}

/** Take changed balances in, once they are known; an asset that is new goes to the end. */
export function takeBalances(queries: QueryClient, changed: readonly Balance[]): void {
  tell<Balance[]>(queries, BALANCES, (held) => {
    if (!held) return undefined;
    const byAsset = new Map(held.map((balance) => [balance.asset, balance]));
    for (const balance of changed) byAsset.set(balance.asset, balance);
    return [...byAsset.values()];
  });
}

/** Read balances again: something has changed them, and the stream may be down. */
export const rereadBalances = (queries: QueryClient): void => void queries.invalidateQueries({ queryKey: BALANCES });

/** Read the open orders again: one that we hold is not what the exchange says. */
export const rereadOpenOrders = (queries: QueryClient): void => void queries.invalidateQueries({ queryKey: OPEN_ORDERS });

/** Read the paged lists again, at once and then at most once a second: those on the page now, the others when they are opened. */
export function rereader(queries: QueryClient): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let lastMs = 0;
  return () => {
    clearTimeout(timer);
    const reread = (): void => {
      lastMs = Date.now();
      for (const queryKey of PAGED) void queries.invalidateQueries({ queryKey });
    };
    timer = setTimeout(reread, Math.max(0, lastMs + REREAD_MS - Date.now()));
  };
}

/** Follow the account's private channel while somebody is signed in. `onFill` hears of every fill once. */
export function useAccountStream(onFill: (fill: Fill) => void): void {
  const { stream, queries } = useExchange();
  const accountId = useUser()?.accountId;
  useEffect(() => {
    if (accountId === undefined) return undefined;
    const reread = rereader(queries);
    return stream.subscribeOrders((message: OrdersMessage) => {
      if (message.type === "snapshot") {
        tell(queries, OPEN_ORDERS, () => mergeOrders([], message.orders));
        tell(queries, BALANCES, () => [...message.balances]);
      } else {
        takeOrders(queries, message.orders);
        takeBalances(queries, message.balances);
        for (const fill of message.fills ?? []) onFill(fill);
      }
      reread();
    });
  }, [accountId, stream, queries, onFill]);
}
