import type { Balance } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import { useBalances } from "@/state/account";
import { DataTable, type Column } from "@/ui/DataTable";
import { Loaded } from "@/ui/Loaded";
import { t } from "@/ui/text";

const COLUMNS: readonly Column<Balance>[] = [
  { id: "asset", title: t("balances.asset"), cell: (balance) => <span className="font-semibold">{balance.asset}</span> },
  { id: "available", title: t("balances.available"), cell: (balance) => displayDecimal(balance.available), align: "right" },
  { id: "held", title: t("balances.held"), cell: (balance) => displayDecimal(balance.held), align: "right" },
  { id: "total", title: t("balances.total"), cell: (balance) => displayDecimal(balance.total), align: "right" },
];

/** What the account owns: free, and held by open orders. */
export function Balances() {
  const query = useBalances();
  return (
    <Loaded query={query}>
      {(balances) => (
        <DataTable
          label={t("balances.title")}
          columns={COLUMNS}
          rows={balances}
          keyOf={(balance) => balance.asset}
          empty={t("balances.none")}
        />
      )}
    </Loaded>
  );
}
