import { useOrderHistory } from "@/state/account";
import { DataTable } from "@/ui/DataTable";
import { Loaded, More } from "@/ui/Loaded";
import { t } from "@/ui/text";

import { average, filled, market, price, quantity, side, status, time, type } from "./columns";

/** Orders that have ended, newest first. */
export function OrderHistory() {
  const query = useOrderHistory();
  return (
    <Loaded query={query}>
      {({ pages }) => (
        <DataTable
          label={t("orders.history")}
          columns={[time, market, side, type, price, average, quantity, filled, status]}
          rows={pages.flatMap((page) => page.items)}
          keyOf={(order) => order.order_id}
          empty={t("orders.noHistory")}
          after={<More query={query} />}
        />
      )}
    </Loaded>
  );
}
