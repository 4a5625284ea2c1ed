import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { makeApi, makeSessionApi, type Fetch } from "@/api/client";
import { leaseLock, type Exclusive } from "@/api/lock";
import { NoAnswerError, ProblemError } from "@/api/problems";
import { SessionKeeper, type TabChannel } from "@/api/session";

/** The exchange's side of sessions: each refresh token works once, and a second use ends the session. */
class FakeSessions {
  refreshes = 0;
  reused = 0;
  ended = false;
  lifetimeSeconds = 600;
  down = false;
  #valid = "";
  #issued = 0;

  readonly fetch: Fetch = async (request) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (this.down) throw new TypeError("network");
    const path = new URL(request.url).pathname;
    if (path.endsWith("/login")) return this.#issue();
    if (path.endsWith("/logout")) return new Response(null, { status: 204 });
    if (path.endsWith("/refresh")) {
      this.refreshes += 1;
      const { refresh_token: token } = (await request.json()) as { refresh_token: string };
      if (token === this.#valid && !this.ended) return this.#issue();
      this.reused += 1;
      this.ended = true;
      return problem(401, "UNAUTHENTICATED");
    }
    const authorized = request.headers.get("Authorization") === `Bearer access-${this.#issued}`;
    return authorized ? Response.json({ items: [], sequence: 1 }) : problem(401, "TOKEN_EXPIRED");
  };

  #issue(): Response {
    this.#issued += 1;
    this.#valid = `refresh-${this.#issued}`;
    return Response.json({
      account_id: "2",
      username: "ann",
      access_token: `access-${this.#issued}`,
      refresh_token: this.#valid,
      expires_in: this.lifetimeSeconds,
      token_type: "Bearer",
    });
  }
}

const problem = (status: number, reason: string): Response =>
  new Response(JSON.stringify({ type: "", title: reason, status, detail: reason, code: 1, reason }), {
    status,
    headers: { "Content-Type": "application/problem+json" },
  });

/** Tabs of one browser: shared storage and lock, messages to all others. */
class Browser {
  readonly #channels: TabChannel[] = [];
  #queue: Promise<unknown> = Promise.resolve();

  readonly lock: Exclusive = (work) => {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined);
    return turn;
  };

  tab(sessions: FakeSessions, lock: Exclusive = this.lock): SessionKeeper {
    const channel: TabChannel = {
      onmessage: null,
      postMessage: (message) => {
        for (const other of this.#channels) if (other !== channel) setTimeout(() => other.onmessage?.({ data: message } as MessageEvent), 1);
      },
    };
    this.#channels.push(channel);
    return new SessionKeeper(makeApi("http://exchange", sessions.fetch), localStorage, lock, channel);
  }
}

let sessions: FakeSessions;
let browser: Browser;
beforeEach(() => {
  vi.useFakeTimers();
  sessions = new FakeSessions();
  browser = new Browser();
});
afterEach(() => vi.useRealTimers());

const everythingStored = (): string => Array.from({ length: localStorage.length }, (_, index) => localStorage.getItem(localStorage.key(index) ?? "")).join();

/** Let timers run until the promise has settled. */
async function settled<T>(promise: Promise<T>): Promise<T> {
  const state = { done: false };
  const finish = (): void => void (state.done = true);
  promise.then(finish, finish);
  while (!state.done) await vi.advanceTimersByTimeAsync(5);
  return promise;
}

describe("the session", () => {
  test("the refresh token is kept for a reload, the access token is not", async () => {
    const keeper = browser.tab(sessions);
    await settled(keeper.login("ann", "a long password"));
    expect(keeper.user).toEqual({ accountId: "2", username: "ann" });
    expect(everythingStored()).toContain("refresh-1");
    expect(everythingStored()).not.toContain("access-1");
    const reloaded = browser.tab(sessions);
    expect(reloaded.user?.username).toBe("ann");
    expect(await settled(reloaded.accessToken())).toBe("access-2");
  });

  test("many requests at once cause one refresh", async () => {
    const keeper = browser.tab(sessions);
    await settled(keeper.login("ann", "a long password"));
    const reloaded = browser.tab(sessions);
    const tokens = await settled(Promise.all(Array.from({ length: 20 }, () => reloaded.accessToken())));
    expect(new Set(tokens)).toEqual(new Set(["access-2"]));
    expect(sessions.refreshes).toBe(1);
  });

  test("two tabs that need a token at the same moment refresh once between them", async () => {
    await settled(browser.tab(sessions).login("ann", "a long password"));
    const [one, two] = [browser.tab(sessions), browser.tab(sessions)];
    const tokens = await settled(Promise.all([one.accessToken(), two.accessToken()]));
    expect(tokens).toEqual(["access-2", "access-2"]);
    expect(sessions.refreshes).toBe(1);
    expect(sessions.reused).toBe(0);
  });

  test("without the browser's lock the lease keeps tabs apart", async () => {
    await settled(browser.tab(sessions).login("ann", "a long password"));
    const tabs = Array.from({ length: 4 }, () => browser.tab(sessions, leaseLock(localStorage)));
    const tokens = await settled(Promise.all(tabs.map((tab) => tab.accessToken())));
    expect(tokens.every((token) => token?.startsWith("access-"))).toBe(true);
    expect(sessions.reused).toBe(0);
  });

  test("a lease of a tab that died runs out", async () => {
    localStorage.setItem("exchange.session.lease", JSON.stringify({ owner: "dead", until: Date.now() + 1000 }));
    const started = Date.now();
    expect(await settled(leaseLock(localStorage)(() => Promise.resolve("done")))).toBe("done");
    expect(Date.now() - started).toBeGreaterThanOrEqual(1000);
  });

  test("a token is renewed before it expires", async () => {
    const keeper = browser.tab(sessions);
    await settled(keeper.login("ann", "a long password"));
    await vi.advanceTimersByTimeAsync(545_000);
    expect(sessions.refreshes).toBe(1);
    expect(await settled(keeper.accessToken())).toBe("access-2");
  });

  test("a refused refresh signs out, here and in the other tabs", async () => {
    const [one, two] = [browser.tab(sessions), browser.tab(sessions)];
    await settled(one.login("ann", "a long password"));
    await vi.advanceTimersByTimeAsync(10);
    expect(two.user?.username).toBe("ann");
    sessions.ended = true;
    expect(await settled(one.renew("access-1"))).toBeNull();
    await vi.advanceTimersByTimeAsync(10);
    expect([one.user, two.user]).toEqual([null, null]);
    expect(localStorage.getItem("exchange.session")).toBeNull();
  });

  test("silence is no refusal: the session is kept", async () => {
    const keeper = browser.tab(sessions);
    await settled(keeper.login("ann", "a long password"));
    sessions.down = true;
    await expect(settled(keeper.renew("access-1"))).rejects.toBeInstanceOf(NoAnswerError);
    expect(keeper.user?.username).toBe("ann");
    sessions.down = false;
    expect(await settled(keeper.renew("access-1"))).toBe("access-2");
  });

  test("signing out ends it everywhere at once", async () => {
    const [one, two] = [browser.tab(sessions), browser.tab(sessions)];
    await settled(one.login("ann", "a long password"));
    await vi.advanceTimersByTimeAsync(10);
    one.logout();
    expect(one.user).toBeNull();
    await vi.advanceTimersByTimeAsync(20);
    expect(two.user).toBeNull();
    expect(await settled(two.accessToken())).toBeNull();
  });

  test("a wrong password is told as the exchange's refusal", async () => {
    const refusing: Fetch = () => Promise.resolve(problem(401, "CREDENTIALS_INVALID"));
    const keeper = new SessionKeeper(makeApi("http://exchange", refusing), localStorage, browser.lock, null);
    await expect(settled(keeper.login("ann", "wrong"))).rejects.toMatchObject({ problem: { reason: "CREDENTIALS_INVALID" } });
    expect(keeper.user).toBeNull();
  });
});

describe("requests in the name of the session", () => {
  test("a token that is turned down is renewed and the request sent again, body included", async () => {
    const keeper = browser.tab(sessions);
    await settled(keeper.login("ann", "a long password"));
    const bodies: string[] = [];
    let refused = false;
    const api = makeSessionApi("http://exchange", keeper, async (request) => {
      bodies.push(await request.clone().text());
      if (refused) return sessions.fetch(request);
      refused = true;
      return problem(401, "TOKEN_EXPIRED");
    });
    const { response } = await settled(api.POST("/api/v1/faucet", { body: { asset: "USD", amount: "1" } }));
    expect(response.status).toBe(200);
    expect(bodies).toEqual(['{"asset":"USD","amount":"1"}', '{"asset":"USD","amount":"1"}']);
    expect(sessions.refreshes).toBe(1);
  });

  test("an ended session leaves the refusal as it is", async () => {
    const keeper = browser.tab(sessions);
    await settled(keeper.login("ann", "a long password"));
    sessions.ended = true;
    const api = makeSessionApi("http://exchange", keeper, () => Promise.resolve(problem(401, "TOKEN_EXPIRED")));
    const { response, error } = await settled(api.GET("/api/v1/balances"));
    expect(response.status).toBe(401);
    expect(new ProblemError(error!).problem.reason).toBe("TOKEN_EXPIRED");
    expect(keeper.user).toBeNull();
  });
});
