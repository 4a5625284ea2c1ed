import type { Order } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import { t } from "@/ui/text";

/** What became of an order that was taken, in one sentence. */
export function outcomeText(order: Order, asset: string): string {
  const quantity = displayDecimal(order.quantity, 0);
  const filled = displayDecimal(order.filled_quantity, 0);
  switch (order.status) {
    case "Filled": {
      const side = order.side === "Buy" ? t("ticket.bought") : t("ticket.sold");
      return t("ticket.filled", { side, quantity, asset, price: displayDecimal(order.average_price) });
    }
    case "PartiallyFilled":
      return t("ticket.partly", { filled, quantity, asset });
    case "Open":
      return t("ticket.resting", { side: t(`ticket.${order.side}`), quantity, asset });
    case "Waiting":
      return t("ticket.waiting", { side: t(`ticket.${order.side}`), quantity, asset });
    case "Cancelled":
    case "Expired":
    case "Rejected":
      return t("ticket.ended", { filled, quantity, asset });
  }
}
