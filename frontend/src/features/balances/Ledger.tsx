import type { LedgerEntry } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import { useLedger } from "@/state/account";
import { DataTable, type Column } from "@/ui/DataTable";
import { Loaded, More } from "@/ui/Loaded";
import { displayDateTime, t } from "@/ui/text";

/** A change with its sign, coloured; nothing for zero. */
function Change({ text }: { readonly text: string }) {
  if (/^-?0*(\.0*)?$/.test(text)) return <span className="text-muted">–</span>;
  const falling = text.startsWith("-");
  return <span className={falling ? "text-sell" : "text-buy"}>{falling ? displayDecimal(text) : `+${displayDecimal(text)}`}</span>;
}

const COLUMNS: readonly Column<LedgerEntry>[] = [
  { id: "time", title: t("orders.time"), cell: (entry) => displayDateTime(entry.created_at), secondary: true },
  { id: "kind", title: t("balances.entry"), cell: (entry) => t(`balances.${entry.kind}`) },
  { id: "asset", title: t("balances.asset"), cell: (entry) => entry.asset },
  { id: "change", title: t("balances.change"), cell: (entry) => <Change text={entry.available_change} />, align: "right" },
  { id: "held-change", title: t("balances.heldChange"), cell: (entry) => <Change text={entry.held_change} />, align: "right" },
  { id: "available", title: t("balances.available"), cell: (entry) => displayDecimal(entry.available), align: "right", secondary: true },
  { id: "held", title: t("balances.held"), cell: (entry) => displayDecimal(entry.held), align: "right", secondary: true },
  { id: "order", title: t("balances.order"), cell: (entry) => entry.order_id ?? "–", align: "right", secondary: true },
];

/** Every change of the account's balances, newest first. */
export function Ledger() {
  const query = useLedger();
  return (
    <Loaded query={query}>
      {({ pages }) => (
        <DataTable
          label={t("balances.ledger")}
          columns={COLUMNS}
          rows={pages.flatMap((page) => page.items)}
          keyOf={(entry) => entry.entry_id}
          empty={t("balances.noLedger")}
          after={<More query={query} />}
        />
      )}
    </Loaded>
  );
}
