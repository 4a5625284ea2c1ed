import { useRef, useState, type SyntheticEvent } from "react";
import { toast } from "sonner";

import { isTransient, ProblemError } from "@/api/problems";
import type { Market, NewOrder } from "@/api/types";
import { decimal, formatDecimal, type Decimal } from "@/market/decimal";
import { checkDraft, type Draft } from "@/market/ticket";
import { gridOf } from "@/market/ticks";
import { useAvailable } from "@/state/account";
import { errorText, refusalOf } from "@/state/errors";
import { useTicket } from "@/state/ticket";
import { newClientOrderId, usePlaceOrder } from "@/state/trading";
import { t } from "@/ui/text";

import { outcomeText } from "./outcome";
import type { TicketRefusal } from "./RefusalNotice";

export interface TicketForm {
  readonly available: Decimal | null;
  /** The asset that the order pays with. */
  readonly paidAsset: string;
  readonly refusal: TicketRefusal | null;
  /** What went wrong that is no refusal. */
  readonly fault: string | null;
  readonly busy: boolean;
  readonly type: (changed: Partial<Draft>) => void;
  readonly use: (nearest: string) => void;
  readonly submit: (event: SyntheticEvent) => void;
}

/** The ticket's behaviour: check, send, tell the outcome. */
export function useTicketForm(market: Market): TicketForm {
  const { draft, edit } = useTicket();
  const place = usePlaceOrder();
  const paidAsset = draft.side === "Buy" ? market.quote : market.base;
  const available = useAvailable(paidAsset);
  const [refused, setRefused] = useState<{ draft: Draft; refusal: TicketRefusal } | null>(null);
  const [fault, setFault] = useState<string | null>(null);
  const attempt = useRef<NewOrder | null>(null);
  // A refusal belongs to the draft that was refused: any change takes it away.
  const refusal = refused?.draft === draft ? refused.refusal : null;

  const type = (changed: Partial<Draft>): void => {
    setFault(null);
    edit(changed);
  };
  const fail = (error: unknown): void => {
    const answer = refusalOf(error);
    if (!isTransient(error)) attempt.current = null;
    if (answer && error instanceof ProblemError && !isTransient(error)) setRefused({ draft, refusal: { ...answer, detail: error.problem.detail } });
    else setFault(`${errorText(error)} ${t("ticket.unknownOutcome")}`);
  };
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (place.isPending) return;
    const found = checkDraft(draft, market, gridOf(market), available);
    if (found) {
      setRefused({ draft, refusal: found });
      return;
    }
    setRefused(null);
    setFault(null);
    attempt.current = sameOrder(attempt.current, orderOf(draft, market));
    place.mutate(attempt.current, {
      onSuccess: (order) => {
        attempt.current = null;
        toast.success(outcomeText(order, market.base));
        edit({ quantity: "" });
      },
      onError: fail,
    });
  };
  const use = (nearest: string): void => {
    if (refusal) type(refusal.field === "price" ? { price: nearest } : { quantity: nearest });
  };
  return { available, paidAsset, refusal, fault, busy: place.isPending, type, use, submit };
}

/** The order that a draft without faults stands for, its numbers in plain form: ".5" is "0.5". */
function orderOf(draft: Draft, market: Market): NewOrder {
  return {
    symbol: market.symbol,
    side: draft.side,
    order_type: draft.orderType,
    quantity: formatDecimal(decimal(draft.quantity)),
    ...(draft.price.trim() ? { price: formatDecimal(decimal(draft.price)) } : {}),
    time_in_force: draft.timeInForce,
    post_only: draft.postOnly,
  };
}

/** The order whose answer was lost, where this is the same again: it keeps its id, so that it can never become two. */
function sameOrder(lost: NewOrder | null, order: NewOrder): NewOrder {
  if (lost && JSON.stringify({ ...order, client_order_id: lost.client_order_id }) === JSON.stringify(lost)) return lost;
  return { ...order, client_order_id: newClientOrderId() };
}
