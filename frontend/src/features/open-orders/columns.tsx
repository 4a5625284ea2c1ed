import type { Order } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import type { Column } from "@/ui/DataTable";
import { refusalText } from "@/ui/reasons";
import { displayDateTime, t } from "@/ui/text";

const sideClass = (side: "Buy" | "Sell"): string => (side === "Buy" ? "text-buy" : "text-sell");

/** "Buy" in green, "Sell" in red. */
export function SideText({ side }: { readonly side: "Buy" | "Sell" }) {
  return <span className={sideClass(side)}>{t(`ticket.${side}`)}</span>;
}

export const time: Column<Order> = { id: "time", title: t("orders.time"), cell: (order) => displayDateTime(order.created_at), secondary: true };
export const market: Column<Order> = { id: "market", title: t("orders.market"), cell: (order) => order.symbol };
export const side: Column<Order> = { id: "side", title: t("orders.side"), cell: (order) => <SideText side={order.side} /> };
export const type: Column<Order> = {
  id: "type",
  title: t("orders.type"),
  cell: (order) => `${t(`ticket.${order.order_type}`)} ${order.post_only ? t("ticket.postOnly") : order.time_in_force}`,
  secondary: true,
};
export const price: Column<Order> = { id: "price", title: t("orders.price"), cell: (order) => displayDecimal(order.price), align: "right" };
export const average: Column<Order> = {
  id: "average",
  title: t("orders.average"),
  cell: (order) => displayDecimal(order.average_price),
  align: "right",
  secondary: true,
};
export const quantity: Column<Order> = {
  id: "quantity",
  title: t("orders.quantity"),
  cell: (order) => displayDecimal(order.quantity, 0),
  align: "right",
};
export const filled: Column<Order> = {
  id: "filled",
  title: t("orders.filled"),
  cell: (order) => displayDecimal(order.filled_quantity, 0),
  align: "right",
};
export const status: Column<Order> = {
  id: "status",
  title: t("orders.status"),
  cell: (order) => (
    <span title={order.end_reason ? refusalText({ reason: order.end_reason }) : undefined}>{t(`orders.${order.status}`)}</span>
  ),
  align: "right",
};
