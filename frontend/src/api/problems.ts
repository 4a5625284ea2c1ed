import type { Problem } from "./types";

/** A refusal by the exchange, as problem+json states it. */
export class ProblemError extends Error {
  constructor(
    readonly problem: Problem,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(problem.detail || problem.title);
    this.name = "ProblemError";
  }
}

/** No answer came: the network failed, or something between us and the exchange answered in its place. */
export class NoAnswerError extends Error {
  constructor(cause?: unknown) {
    super("The exchange did not answer", { cause });
    this.name = "NoAnswerError";
  }
}

/** Whether the same request may do better later: nothing answered, or the exchange said so. */
export function isTransient(error: unknown): boolean {
  return error instanceof NoAnswerError || (error instanceof ProblemError && error.problem.status === 503);
}

const isProblem = (body: unknown): body is Problem =>
  typeof body === "object" && body !== null && "reason" in body && typeof body.reason === "string" && "status" in body;

/** The error that an answer outside 2xx stands for. */
export function errorOf(response: Response, body: unknown): ProblemError | NoAnswerError {
  if (!isProblem(body)) return new NoAnswerError(`HTTP ${response.status}`);
  const retryAfter = Number(response.headers.get("retry-after") ?? "");
  return new ProblemError(body, Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : null);
}
