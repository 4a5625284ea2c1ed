import { en } from "./en";
import { t } from "./text";

/** What was refused, as far as a person needs it. */
export interface RefusalParts {
  readonly reason: string;
  readonly detail?: string | undefined;
  readonly limit?: string | null | undefined;
}

type ReasonKey = keyof typeof en.reason;

const hasText = (reason: string): reason is ReasonKey => Object.hasOwn(en.reason, reason);

/** The reason in plain words, with the limit it names; the exchange's own detail where we have no words for it. */
export function refusalText({ reason, detail = "", limit }: RefusalParts): string {
  if (!hasText(reason)) return t("refusal.unknown", { detail: detail || reason });
  const text = t(`reason.${reason}`);
  if (!limit) return text;
  const label = reason in en.refusal.limit ? (reason as keyof typeof en.refusal.limit) : "other";
  return `${text} ${t(`refusal.limit.${label}`, { limit })}`;
}
