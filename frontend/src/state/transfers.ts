import { useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";

import { useEffect } from "react";

import { answerOf } from "@/api/client";
import type { NewDeposit, NewWithdrawal, Withdrawal } from "@/api/types";

import { paged, pageQuery, rereadBalances, rereader } from "./account";
import { useExchange, useUser } from "./exchange";
import { throughLostAnswers } from "./trading";

const WITHDRAWALS = ["account", "withdrawals"];
const UNDERWAY_MS = 1500;

/** How money comes in and goes out here. */
export function useTransferTerms() {
  const { api } = useExchange();
  const user = useUser();
  return useQuery({
    queryKey: ["account", "transfer-terms"],
    enabled: user !== null,
    staleTime: Infinity,
    queryFn: () => answerOf(api.GET("/api/v1/transfers/terms")),
  });
}

const isUnderway = ({ status }: Withdrawal): boolean => status === "Requested" || status === "Sent";

/** The account's withdrawals; read again while one is on its way. */
export function useWithdrawals() {
  const { api, queries } = useExchange();
  const user = useUser();
  const query = useInfiniteQuery({
    queryKey: WITHDRAWALS,
    enabled: user !== null,
    ...paged,
    queryFn: ({ pageParam }) => answerOf(api.GET("/api/v1/withdrawals", { params: { query: pageQuery(pageParam) } })),
  });
  const underway = query.data?.pages.some((page) => page.items.some(isUnderway)) ?? false;
  useEffect(() => {
    if (!underway) return undefined;
    const timer = setInterval(() => void queries.invalidateQueries({ queryKey: WITHDRAWALS }), UNDERWAY_MS);
    return () => clearInterval(timer);
  }, [underway, queries]);
  return query;
}

/** Send money out, through lost answers: one withdrawal however often it is sent. */
export function useWithdraw() {
  const { api, queries } = useExchange();
  return useMutation({
    mutationFn: (body: NewWithdrawal) => throughLostAnswers(() => answerOf(api.POST("/api/v1/withdrawals", { body }))),
    onSettled: () => {
      void queries.invalidateQueries({ queryKey: WITHDRAWALS });
      rereadBalances(queries);
      rereader(queries)();
    },
  });
}

/** Credit the account, where no real money moves. */
export function useDeposit() {
  const { api, queries } = useExchange();
  return useMutation({
    mutationFn: (body: NewDeposit) => throughLostAnswers(() => answerOf(api.POST("/api/v1/deposits", { body }))),
    onSettled: () => {
      rereadBalances(queries);
      rereader(queries)();
    },
  });
}
