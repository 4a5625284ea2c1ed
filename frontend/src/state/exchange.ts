import { QueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useSyncExternalStore } from "react";

import { makeApi, makeSessionApi, type Api } from "@/api/client";
import { browserLock } from "@/api/lock";
import { ProblemError } from "@/api/problems";
import { SessionKeeper, type TabChannel, type User } from "@/api/session";
import { Stream, type StreamStatus } from "@/api/stream";

import { Feeds } from "./feeds";

/** Everything that one page needs of one exchange. */
export interface Exchange {
  readonly keeper: SessionKeeper;
  readonly api: Api;
  readonly stream: Stream;
  readonly feeds: Feeds;
  readonly queries: QueryClient;
}

const tabChannel = (): TabChannel | null =>
  typeof BroadcastChannel === "undefined" ? null : (new BroadcastChannel("exchange.session"));

/** Connect to the exchange at `baseUrl`, such as "https://exchange.example". */
export function makeExchange(baseUrl: string): Exchange {
  const keeper = new SessionKeeper(makeApi(baseUrl), localStorage, browserLock(localStorage), tabChannel());
  const stream = new Stream({ url: `${baseUrl.replace(/^http/, "ws")}/ws/v1`, tokens: keeper });
  const queries = new QueryClient({
    defaultOptions: {
      queries: {
        // A refusal will be the same refusal next time; only silence is worth another try.
        retry: (failures, error) => !(error instanceof ProblemError && error.problem.status < 500) && failures < 3,
        refetchOnWindowFocus: false,
      },
    },
  });
  keeper.onChange(() => {
    if (keeper.user) void stream.authenticate();
    else queries.removeQueries({ queryKey: ["account"] });
  });
  window.addEventListener("online", () => stream.reconnectNow());
  return { keeper, api: makeSessionApi(baseUrl, keeper), stream, feeds: new Feeds(stream), queries };
}

const ExchangeContext = createContext<Exchange | null>(null);
export const ExchangeProvider = ExchangeContext.Provider;

export function useExchange(): Exchange {
  const exchange = useContext(ExchangeContext);
  if (!exchange) throw new Error("useExchange needs an ExchangeProvider above it");
  return exchange;
}

/** Who is signed in, or null. */
export function useUser(): User | null {
  const { keeper } = useExchange();
  return useSyncExternalStore(
    (listener) => keeper.onChange(listener),
    () => keeper.user,
  );
}

/** How the stream is doing. */
export function useStreamStatus(): StreamStatus {
  const { stream } = useExchange();
  return useSyncExternalStore(
    (listener) => stream.onStatus(listener),
    () => stream.status,
  );
}

/** Keep a feed's subscription up while the component is on the page. */
export function useHeld(feed: { hold(): () => void }): void {
  useEffect(() => feed.hold(), [feed]);
}
