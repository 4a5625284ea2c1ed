import { ProblemError } from "@/api/problems";
import { NoSuchUser } from "@/state/admin";
import { errorText } from "@/state/errors";
import { t } from "@/ui/text";

/** What went wrong, in the exchange's own words: an admin wants the detail. */
export function detailText(error: unknown): string {
  if (error instanceof NoSuchUser) return t("admin.noSuchUser", { username: error.message });
  if (!(error instanceof ProblemError) || error.problem.status >= 500) return errorText(error);
  const { detail, nearest } = error.problem;
  return nearest ? `${detail} (${t("ticket.use", { value: nearest })})` : detail;
}
