import { useMutation, useQuery } from "@tanstack/react-query";

import { answerOf } from "@/api/client";
import type { NewApiKey } from "@/api/types";

import { rereader, rereadOpenOrders } from "./account";
import { useExchange, useUser } from "./exchange";
import { throughLostAnswers } from "./trading";

/** Forgotten with everything else of the account when it signs out. */
const SECURITY = ["account", "security"];

/** One thing of the account's access, read again after every change of it. */
function useRead<T>(name: string, read: () => Promise<T>) {
  const user = useUser();
  return useQuery({ queryKey: [...SECURITY, name], enabled: user !== null, queryFn: read });
}

/** A change of the account's access: one may change the others, so all are read again. That is not waited for: whoever
 *  made the change may be gone from the page by then, and would not hear of it. */
function useChange<Body, Answer>(send: (body: Body) => Promise<Answer>) {
  const { queries } = useExchange();
  return useMutation({ mutationFn: send, onSettled: () => void queries.invalidateQueries({ queryKey: SECURITY }) });
}

/** Where the account is signed in. */
export function useSessions() {
  const { api } = useExchange();
  return useRead("sessions", async () => (await answerOf(api.GET("/api/v1/auth/sessions"))).items);
}

export function useEndSession() {
  const { api } = useExchange();
  return useChange((session_id: string) => answerOf(api.DELETE("/api/v1/auth/sessions/{session_id}", { params: { path: { session_id } } })));
}

export function useEndOtherSessions() {
  const { api } = useExchange();
  return useChange(() => answerOf(api.DELETE("/api/v1/auth/sessions")));
}

/** Whether a sign-in asks for a code. */
export function useSecondFactor() {
  const { api } = useExchange();
  return useRead("second-factor", () => answerOf(api.GET("/api/v1/auth/second-factor")));
}

/** Ask for a secret for an authenticator. */
export function useEnrol() {
  const { api } = useExchange();
  return useChange((password: string) => answerOf(api.POST("/api/v1/auth/second-factor", { body: { password } })));
}

/** Turn the second factor on with a code; the answer has the recovery codes. */
export function useConfirm() {
  const { api } = useExchange();
  return useChange((code: string) => answerOf(api.POST("/api/v1/auth/second-factor/confirm", { body: { code } })));
}

/** Turn the second factor off. */
export function useDisable() {
  const { api } = useExchange();
  return useChange((body: { password: string; code: string }) => answerOf(api.POST("/api/v1/auth/second-factor/disable", { body })));
}

export function useApiKeys() {
  const { api } = useExchange();
  return useRead("api-keys", async () => (await answerOf(api.GET("/api/v1/api-keys"))).items);
}

/** Make a key; only this answer has its secret. */
export function useCreateApiKey() {
  const { api } = useExchange();
  return useChange((body: NewApiKey) => answerOf(api.POST("/api/v1/api-keys", { body })));
}

export function useRevokeApiKey() {
  const { api } = useExchange();
  return useChange((key_id: string) => answerOf(api.DELETE("/api/v1/api-keys/{key_id}", { params: { path: { key_id } } })));
}

/** Revoke all keys, end all other sessions, then cancel all orders: sent until it is answered, since doing it twice does no harm. */
export function useKillSwitch() {
  const { api, queries } = useExchange();
  return useMutation({
    mutationFn: () => throughLostAnswers(() => answerOf(api.POST("/api/v1/account/kill-switch", { body: {} }))),
    onSettled: () => {
      rereadOpenOrders(queries);
      rereader(queries)();
      void queries.invalidateQueries({ queryKey: SECURITY });
    },
  });
}
