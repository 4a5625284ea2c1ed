import type { AuditLogRow } from "@/api/types";
import { useAuditLog } from "@/state/admin";
import { DataTable, type Column } from "@/ui/DataTable";
import { Loaded, More } from "@/ui/Loaded";
import { displayDateTime, t } from "@/ui/text";

import { Badge } from "@/ui/Badge";

const TONES = { Intended: "plain", Done: "good", Refused: "bad", Unknown: "warn" } as const;

/** {"symbol":"BTC/USD","mode":"Halted"} -> "symbol BTC/USD, mode Halted". */
function parametersText(parameters: Readonly<Record<string, unknown>>): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");
}

const COLUMNS: readonly Column<AuditLogRow>[] = [
  { id: "sequence", title: "#", cell: (row) => row.sequence },
  { id: "time", title: t("orders.time"), cell: (row) => displayDateTime(row.recorded_at), secondary: true },
  { id: "actor", title: t("admin.actor"), cell: (row) => <span className="font-medium">{row.actor}</span> },
  { id: "action", title: t("admin.what.title"), cell: (row) => row.action },
  { id: "outcome", title: t("admin.outcome"), cell: (row) => <Badge tone={TONES[row.outcome]}>{t(`admin.outcomes.${row.outcome}`)}</Badge> },
  {
    id: "parameters",
    title: t("admin.parameters"),
    cell: (row) => {
      const text = [parametersText(row.parameters), row.reason].filter(Boolean).join(" · ");
      return (
        <span className="block max-w-96 truncate" title={text}>
          {text}
        </span>
      );
    },
    secondary: true,
  },
  { id: "address", title: t("admin.address"), cell: (row) => row.address, secondary: true },
  { id: "hash", title: t("admin.hash"), cell: (row) => <code title={row.hash}>{row.hash.slice(0, 8)}</code>, secondary: true },
];

/** What was done with an operator's power, newest first. */
export function AuditLog() {
  const query = useAuditLog();
  return (
    <Loaded query={query}>
      {({ pages }) => (
        <DataTable
          label={t("admin.auditLog")}
          columns={COLUMNS}
          rows={pages.flatMap((page) => page.items)}
          keyOf={(row) => String(row.sequence)}
          empty={t("admin.noRows")}
          after={<More query={query} />}
        />
      )}
    </Loaded>
  );
}
