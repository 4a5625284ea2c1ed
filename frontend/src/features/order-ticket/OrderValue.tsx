import type { Market } from "@/api/types";
import { display } from "@/market/decimal";
import { estimateOf, notionalOf, type Draft } from "@/market/ticket";
import { useExchange, useHeld } from "@/state/exchange";
import type { DepthFeed } from "@/state/feeds";
import { LiveText } from "@/ui/LiveText";
import { t } from "@/ui/text";

/** What the order is worth: exactly for a limit order, as the book stands for a market order. */
export function OrderValue({ market, draft }: { readonly market: Market; readonly draft: Draft }) {
  const feed = useExchange().feeds.depth(market);
  useHeld(feed);
  const notional = notionalOf(draft);
  return (
    <div className="border-t pt-3">
      <div className="flex justify-between">
        <span className="text-muted">{draft.orderType === "Limit" ? t("ticket.total") : t("ticket.estimate")}</span>
        <span data-testid="order-value" className="font-semibold">
          {draft.orderType === "Limit" ? (
            notional ? display(notional) : "–"
          ) : (
            <LiveText key={draft.side + draft.quantity} source={feed} read={(live) => estimate(draft, live)} />
          )}{" "}
          {market.quote}
        </span>
      </div>
      {draft.orderType === "Market" && (
        <LiveText key={draft.side + draft.quantity} source={feed} read={(live) => warning(draft, live)} className="text-xs text-warn" />
      )}
    </div>
  );
}

function estimate(draft: Draft, feed: DepthFeed): { text: string } {
  const value = estimateOf(draft, feed.book);
  return { text: value ? display(value.notional) : "–" };
}

function warning(draft: Draft, feed: DepthFeed): { text: string } {
  const value = estimateOf(draft, feed.book);
  return { text: value && !value.complete ? t("ticket.estimateThin") : "" };
}
