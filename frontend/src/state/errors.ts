import { ProblemError } from "@/api/problems";
import type { Refusal } from "@/market/ticket";
import { refusalText } from "@/ui/reasons";
import { t } from "@/ui/text";

/** What went wrong, in plain words. */
export function errorText(error: unknown): string {
  if (!(error instanceof ProblemError)) return t("refusal.noAnswer");
  const { problem, retryAfterSeconds } = error;
  const text = refusalText(problem);
  return retryAfterSeconds === null ? text : `${text} ${t("refusal.retryIn", { seconds: retryAfterSeconds })}`;
}

/** A refusal by the exchange in the shape of the ticket's own checks. */
export function refusalOf(error: unknown): (Omit<Refusal, "field"> & { field: string | null }) | null {
  if (!(error instanceof ProblemError)) return null;
  const { reason, field, limit, nearest } = error.problem;
  return { reason, field: field ?? null, limit: limit ?? null, nearest: nearest ?? null };
}
