import { create } from "zustand";
import { persist } from "zustand/middleware";

import type { Interval } from "@/market/candles";

interface Preferences {
  readonly interval: Interval;
  /** The market looked at last: where the application opens. */
  readonly symbol: string | null;
  readonly set: (changed: Partial<Pick<Preferences, "interval" | "symbol">>) => void;
}

/** What this browser remembers of how a person likes the page. */
export const usePreferences = create<Preferences>()(
  persist((set) => ({ interval: "1m", symbol: null, set: (changed) => set(changed) }), { name: "exchange.preferences" }),
);
