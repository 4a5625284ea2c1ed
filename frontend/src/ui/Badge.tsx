import type { ReactNode } from "react";

const TONES = { good: "bg-buy-soft text-buy", bad: "bg-sell-soft text-sell", warn: "bg-raised text-warn", plain: "bg-raised text-muted" };

export type Tone = keyof typeof TONES;

/** A state in one word. */
export function Badge({ tone, children }: { readonly tone: Tone; readonly children: ReactNode }) {
  return <span className={`rounded px-1.5 py-0.5 text-xs ${TONES[tone]}`}>{children}</span>;
}
