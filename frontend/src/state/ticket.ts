import { create } from "zustand";

import type { Draft } from "@/market/ticket";

const EMPTY: Draft = { side: "Buy", orderType: "Limit", price: "", quantity: "", timeInForce: "GTC", postOnly: false };

interface TicketState {
  readonly draft: Draft;
  /** How often a price was picked elsewhere: a page that hides the ticket shows it then. */
  readonly picks: number;
  readonly edit: (changed: Partial<Draft>) => void;
  /** Use a price that stands in another panel. */
  readonly pick: (price: string) => void;
  /** Forget price and quantity: they belong to another market. */
  readonly clear: () => void;
}

/** The order being written. */
export const useTicket = create<TicketState>()((set) => ({
  draft: EMPTY,
  picks: 0,
  edit: (changed) => set(({ draft }) => ({ draft: consistent({ ...draft, ...changed }, draft) })),
  pick: (price) => set(({ draft, picks }) => ({ draft: consistent({ ...draft, orderType: "Limit", price }, draft), picks: picks + 1 })),
  clear: () => set(({ draft }) => ({ draft: { ...draft, price: "", quantity: "" } })),
}));

/** Post-only is for good-till-cancelled limit orders, and a market order is never good till cancelled. */
function consistent(draft: Draft, before: Draft): Draft {
  const turned = draft.orderType !== before.orderType;
  if (draft.orderType === "Market") {
    const timeInForce = draft.timeInForce === "GTC" ? "IOC" : draft.timeInForce;
    return { ...draft, timeInForce, postOnly: false, price: turned ? "" : draft.price };
  }
  if (turned) return { ...draft, timeInForce: "GTC" };
  return draft.timeInForce === "GTC" ? draft : { ...draft, postOnly: false };
}
