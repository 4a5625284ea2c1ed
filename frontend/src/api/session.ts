import { answerOf, type Api, type TokenSource } from "./client";
import type { Exclusive } from "./lock";
import { isTransient, ProblemError } from "./problems";
import type { SessionAnswer, TokenPair } from "./types";

export interface User {
  readonly accountId: string;
  readonly username: string;
}

interface AccessToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

/** What tabs of one browser tell each other. */
type TabMessage = { kind: "renewed"; user: User; access: AccessToken } | { kind: "ended" };

export interface TabChannel {
  postMessage(message: TabMessage): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

/**
 * The refresh token lives in localStorage: it is used up by every renewal, so all tabs must share the one that is left, and a
 * reload must find it. Script that is not ours could read it; the page's policy (script-src 'self') keeps such script out, and a
 * stolen copy ends the whole session as soon as either copy is used a second time. The access token stays in memory.
 */
const STORAGE_KEY = "exchange.session";
const FRESH_MS = 15_000;
const RENEW_EARLY_MS = 60_000;
/** How long a renewal keeps the lock, so that storage and message have reached the tab that waits for it. */
const PROPAGATION_MS = 50;

interface Stored {
  readonly user: User;
  readonly refreshToken: string;
}

export class SessionKeeper implements TokenSource {
  #access: AccessToken | null = null;
  #user: User | null = null;
  #renewing: Promise<string | null> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(
    private readonly api: Api,
    private readonly storage: Storage,
    private readonly exclusive: Exclusive,
    private readonly tabs: TabChannel | null,
    private readonly now: () => number = Date.now,
  ) {
    this.#user = this.#stored()?.user ?? null;
    if (tabs) tabs.onmessage = (event: MessageEvent) => this.#hear(event.data as TabMessage);
  }

  get user(): User | null {
    return this.#user;
  }

  /** Call `listener` whenever the user or the access token has changed. Returns the function that stops it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async register(username: string, password: string): Promise<void> {
    this.#begin(await answerOf(this.api.POST("/api/v1/auth/register", { body: { username, password } })));
  }

  /** `code`: of the second factor, where the exchange has asked for one. */
  async login(username: string, password: string, code?: string): Promise<void> {
    const body = { username, password, ...(code ? { code } : {}) };
    this.#begin(await answerOf(this.api.POST("/api/v1/auth/login", { body })));
  }

  /** End the session here and in every tab; the exchange is told, but not waited for. */
  logout(): void {
    const stored = this.#stored();
    if (stored) {
      const body = { refresh_token: stored.refreshToken };
      // Without an answer the refresh token ends by its own age.
      answerOf(this.api.POST("/api/v1/auth/logout", { body })).catch(() => undefined);
    }
    this.#end();
    this.tabs?.postMessage({ kind: "ended" });
  }

  async accessToken(): Promise<string | null> {
    if (this.#user === null) return null;
    return this.#fresh()?.token ?? this.renew(null);
  }

  /** One renewal at a time, in this tab by the promise, among tabs by the lock. */
  renew(rejected: string | null): Promise<string | null> {
    this.#renewing ??= this.exclusive(() => this.#renewInTurn(rejected)).finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  async #renewInTurn(rejected: string | null): Promise<string | null> {
    const handed = this.#fresh();
    if (handed && handed.token !== rejected) return handed.token;
    const stored = this.#stored();
    if (!stored) {
      this.#end();
      return null;
    }
    try {
      const body = { refresh_token: stored.refreshToken };
      const token = this.#take(stored.user, await answerOf(this.api.POST("/api/v1/auth/refresh", { body })));
      await new Promise((resolve) => setTimeout(resolve, PROPAGATION_MS));
      return token;
    } catch (error) {
      const endured = isTransient(error) || (error instanceof ProblemError && error.problem.status === 429);
      if (endured || !(error instanceof ProblemError)) throw error;
      this.#end();
      this.tabs?.postMessage({ kind: "ended" });
      return null;
    }
  }

  #begin(answer: SessionAnswer): void {
    this.#take({ accountId: answer.account_id, username: answer.username }, answer);
  }

  #take(user: User, answer: TokenPair): string {
    const access = { token: answer.access_token, expiresAtMs: this.now() + answer.expires_in * 1000 };
    this.storage.setItem(STORAGE_KEY, JSON.stringify({ user, refreshToken: answer.refresh_token } satisfies Stored));
    this.#hold(user, access);
    this.tabs?.postMessage({ kind: "renewed", user, access });
    return access.token;
  }

  #hear(message: TabMessage): void {
    if (message.kind === "renewed") this.#hold(message.user, message.access);
    else this.#end();
  }

  #hold(user: User, access: AccessToken): void {
    if (user.accountId !== this.#user?.accountId) this.#user = user;
    this.#access = access;
    clearTimeout(this.#timer);
    const lifetimeMs = access.expiresAtMs - this.now();
    const delayMs = Math.max(lifetimeMs / 2, lifetimeMs - RENEW_EARLY_MS) * (0.95 + 0.05 * Math.random());
    // A renewal that fails here is tried again by whoever needs a token next.
    this.#timer = setTimeout(() => void this.renew(access.token).catch(() => undefined), delayMs);
    this.#changed();
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#access = null;
    this.#user = null;
    this.storage.removeItem(STORAGE_KEY);
    this.#changed();
  }

  #fresh(): AccessToken | null {
    return this.#access && this.#access.expiresAtMs - this.now() > FRESH_MS ? this.#access : null;
  }

  #stored(): Stored | null {
    const text = this.storage.getItem(STORAGE_KEY);
    return text ? (JSON.parse(text) as Stored) : null;
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
