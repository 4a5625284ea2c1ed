import { toast } from "sonner";

import type { Order } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import { useOpenOrders } from "@/state/account";
import { errorText } from "@/state/errors";
import { useCancelOrder } from "@/state/trading";
import { Button } from "@/ui/Button";
import { DataTable, type Column } from "@/ui/DataTable";
import { Loaded } from "@/ui/Loaded";
import { t } from "@/ui/text";

import { filled, market, price, quantity, side, status, time, type } from "./columns";

/** Orders that may still trade, each with its cancel button. */
export function OpenOrders() {
  const query = useOpenOrders();
  const cancel = useCancelOrder();
  const ask = (order: Order): void =>
    cancel.mutate(order.order_id, {
      onSuccess: (ended) =>
        toast.success(
          t("orders.cancelled", {
            filled: displayDecimal(ended.filled_quantity, 0),
            quantity: displayDecimal(ended.quantity, 0),
            asset: ended.symbol.split("/")[0] ?? "",
          }),
        ),
      onError: (error) => toast.error(errorText(error)),
    });
  const actions: Column<Order> = {
    id: "cancel",
    title: "",
    align: "right",
    cell: (order) => (
      <Button
        size="small"
        aria-label={t("orders.cancelOne", { id: order.order_id })}
        disabled={cancel.isPending && cancel.variables === order.order_id}
        onClick={() => ask(order)}
      >
        {t("orders.cancel")}
      </Button>
    ),
  };
  return (
    <Loaded query={query}>
      {(orders) => (
        <DataTable
          label={t("orders.open")}
          columns={[time, market, side, type, price, quantity, filled, { ...status, secondary: true }, actions]}
          rows={orders}
          keyOf={(order) => order.order_id}
          empty={t("orders.noOpen")}
        />
      )}
    </Loaded>
  );
}
