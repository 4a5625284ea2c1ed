import type { Fill } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import { useFills } from "@/state/account";
import { DataTable, type Column } from "@/ui/DataTable";
import { Loaded, More } from "@/ui/Loaded";
import { displayDateTime, t } from "@/ui/text";

import { SideText } from "./columns";

const COLUMNS: readonly Column<Fill>[] = [
  { id: "time", title: t("orders.time"), cell: (fill) => displayDateTime(fill.executed_at), secondary: true },
  { id: "market", title: t("orders.market"), cell: (fill) => fill.symbol },
  { id: "side", title: t("orders.side"), cell: (fill) => <SideText side={fill.side} /> },
  { id: "price", title: t("orders.price"), cell: (fill) => displayDecimal(fill.price), align: "right" },
  { id: "quantity", title: t("orders.quantity"), cell: (fill) => displayDecimal(fill.quantity, 0), align: "right" },
  { id: "fee", title: t("orders.fee"), cell: (fill) => `${displayDecimal(fill.fee, 0)} ${fill.fee_asset}`, align: "right", secondary: true },
  { id: "liquidity", title: t("orders.liquidity"), cell: (fill) => t(`orders.${fill.liquidity}`), align: "right" },
];

/** What the account has traded, newest first. */
export function Fills() {
  const query = useFills();
  return (
    <Loaded query={query}>
      {({ pages }) => (
        <DataTable
          label={t("orders.fills")}
          columns={COLUMNS}
          rows={pages.flatMap((page) => page.items)}
          keyOf={(fill) => `${fill.trade_id} ${fill.order_id}`}
          empty={t("orders.noFills")}
          after={<More query={query} />}
        />
      )}
    </Loaded>
  );
}
