import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { answerOf, type Api } from "@/api/client";
import type { Adjustment, AdminUser, Direction, MarketMode } from "@/api/types";

import { useExchange, useUser } from "./exchange";
import { pathOf } from "./markets";

const PAGE = 50;
/** Forgotten with everything else of the account when it signs out. */
const ADMIN = ["account", "admin"];

/** Who is signed in, as the exchange knows them: whether they are an admin, above all. */
export function useMe() {
  const { api } = useExchange();
  const user = useUser();
  return useQuery({
    queryKey: ["account", "me", user?.accountId],
    enabled: user !== null,
    staleTime: 60_000,
    queryFn: () => answerOf(api.GET("/api/v1/auth/me")),
  });
}

export const useIsAdmin = (): boolean => useMe().data?.role === "admin";

export function useAdminMarkets() {
  const { api } = useExchange();
  return useQuery({ queryKey: [...ADMIN, "markets"], queryFn: async () => (await answerOf(api.GET("/api/v1/admin/markets"))).items });
}

export function useAdminAssets() {
  const { api } = useExchange();
  return useQuery({ queryKey: [...ADMIN, "assets"], queryFn: async () => (await answerOf(api.GET("/api/v1/admin/assets"))).items });
}

const paged = { initialPageParam: undefined as string | undefined, getNextPageParam: (page: { next_cursor: string | null }) => page.next_cursor };
const pageQuery = (cursor: string | undefined): { limit: number; cursor?: string } => (cursor ? { limit: PAGE, cursor } : { limit: PAGE });

/** Users whose name has `search` in it, or whose account it is. */
export function useAdminUsers(search: string) {
  const { api } = useExchange();
  return useInfiniteQuery({
    queryKey: [...ADMIN, "users", search],
    ...paged,
    queryFn: ({ pageParam }) =>
      answerOf(api.GET("/api/v1/admin/users", { params: { query: { ...pageQuery(pageParam), ...(search ? { search } : {}) } } })),
  });
}

export function useAdjustments() {
  const { api } = useExchange();
  return useInfiniteQuery({
    queryKey: [...ADMIN, "adjustments"],
    ...paged,
    queryFn: ({ pageParam }) => answerOf(api.GET("/api/v1/admin/adjustments", { params: { query: pageQuery(pageParam) } })),
  });
}

export function useAuditLog() {
  const { api } = useExchange();
  return useInfiniteQuery({
    queryKey: [...ADMIN, "audit-log"],
    ...paged,
    queryFn: ({ pageParam }) => answerOf(api.GET("/api/v1/admin/audit-log", { params: { query: pageQuery(pageParam) } })),
  });
}

export interface NewAdjustment {
  readonly username: string;
  readonly asset: string;
  readonly direction: Direction;
  readonly amount: string;
  readonly reason: string;
}

export type UserAction = "freeze" | "thaw" | "end-sessions" | "cancel-orders";
export type Decision = "approve" | "reject" | "withdraw";

/** Something that an admin does. */
export type AdminAction =
  | { readonly kind: "mode"; readonly symbol: string; readonly mode: MarketMode; readonly reason: string }
  | { readonly kind: UserAction; readonly user: AdminUser; readonly reason: string }
  | { readonly kind: "propose"; readonly adjustment: NewAdjustment }
  | { readonly kind: Decision; readonly adjustment: Adjustment; readonly reason: string };

/** Do it, and read again whatever an admin sees: it may all have changed. */
export function useAdminAction() {
  const { api } = useExchange();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (action: AdminAction) => act(api, action),
    onSettled: () => Promise.all([queries.invalidateQueries({ queryKey: ADMIN }), queries.invalidateQueries({ queryKey: ["markets"] })]),
  });
}

async function act(api: Api, action: AdminAction): Promise<unknown> {
  switch (action.kind) {
    case "mode": {
      const path = { symbol: pathOf(action.symbol) };
      const body = { mode: action.mode, ...(action.reason ? { reason: action.reason } : {}) };
      return answerOf(api.PUT("/api/v1/admin/markets/{symbol}/mode", { params: { path }, body }));
    }
    case "propose":
      return propose(api, action.adjustment);
    case "approve":
    case "withdraw": {
      const path = { adjustment_id: Number(action.adjustment.adjustment_id) };
      return answerOf(api.POST(`/api/v1/admin/adjustments/{adjustment_id}/${action.kind}`, { params: { path } }));
    }
    case "reject": {
      const path = { adjustment_id: Number(action.adjustment.adjustment_id) };
      return answerOf(api.POST("/api/v1/admin/adjustments/{adjustment_id}/reject", { params: { path }, body: { reason: action.reason } }));
    }
    default: {
      const path = { account_id: Number(action.user.account_id) };
      return answerOf(api.POST(`/api/v1/admin/users/{account_id}/${action.kind}`, { params: { path }, body: { reason: action.reason } }));
    }
  }
}

/** There is no user of that name. */
export class NoSuchUser extends Error {}

async function propose(api: Api, { username, ...rest }: NewAdjustment): Promise<unknown> {
  const found = await answerOf(api.GET("/api/v1/admin/users", { params: { query: { username } } }));
  const user = found.items[0];
  if (!user) throw new NoSuchUser(username);
  return answerOf(api.POST("/api/v1/admin/adjustments", { body: { account_id: user.account_id, ...rest } }));
}
