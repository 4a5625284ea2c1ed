import createClient, { type Client } from "openapi-fetch";

import { errorOf, NoAnswerError } from "./problems";
import type { paths } from "./schema";
import type { Problem } from "./types";

export type Api = Client<paths>;
export type Fetch = (request: Request) => Promise<Response>;

const TIMEOUT_MS = 15_000;

/** Where access tokens come from: the session. */
export interface TokenSource {
  /** A token that is still good for a while, or null where nobody is signed in. */
  accessToken(): Promise<string | null>;
  /** A token other than the one that the exchange has just turned down, or null where the session has ended. */
  renew(rejected: string): Promise<string | null>;
}

const timed: Fetch = (request) => fetch(request, { signal: AbortSignal.timeout(TIMEOUT_MS) });

/** The API without a session. */
export function makeApi(baseUrl: string, send: Fetch = timed): Api {
  return createClient<paths>({ baseUrl, fetch: send });
}

const TOKEN_REASONS: ReadonlySet<unknown> = new Set(["UNAUTHENTICATED", "TOKEN_EXPIRED"]);

/** Whether it is the token that was turned down, and not a password or a code, of which only so many may be tried. */
async function turnsTokenDown(response: Response): Promise<boolean> {
  if (response.status !== 401) return false;
  const body: unknown = await response.clone().json().catch(() => null);
  return TOKEN_REASONS.has((body as Partial<Problem> | null)?.reason);
}

/** The API in the name of whoever is signed in: a token that is turned down is renewed, and the request sent once more. */
export function makeSessionApi(baseUrl: string, tokens: TokenSource, send: Fetch = timed): Api {
  const withToken = (request: Request, token: string): Promise<Response> => {
    const authorized = new Request(request);
    authorized.headers.set("Authorization", `Bearer ${token}`);
    return send(authorized);
  };
  return makeApi(baseUrl, async (request) => {
    const token = await tokens.accessToken();
    if (token === null) return send(request);
    const again = request.clone();
    const response = await withToken(request, token);
    if (!(await turnsTokenDown(response))) return response;
    const renewed = await tokens.renew(token);
    return renewed === null ? response : withToken(again, renewed);
  });
}

/** The answer's body. Throws ProblemError for a refusal and NoAnswerError where none came. */
export async function answerOf<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call.catch((cause: unknown) => {
    if (cause instanceof Error && cause.name !== "TypeError" && cause.name !== "TimeoutError" && cause.name !== "SyntaxError") throw cause;
    throw new NoAnswerError(cause);
  });
  if (!response.ok) throw errorOf(response, error);
  return data as T;
}
