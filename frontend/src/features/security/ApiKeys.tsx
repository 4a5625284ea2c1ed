import { useState, type ReactNode } from "react";
import { toast } from "sonner";

import type { ApiKey } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import { errorText } from "@/state/errors";
import { useApiKeys, useRevokeApiKey } from "@/state/security";
import { Alert } from "@/ui/Alert";
import { Badge, type Tone } from "@/ui/Badge";
import { Button } from "@/ui/Button";
import { DataTable, type Column } from "@/ui/DataTable";
import { Dialog } from "@/ui/Dialog";
import { Icon } from "@/ui/Icon";
import { Loaded } from "@/ui/Loaded";
import { Panel } from "@/ui/Panel";
import { displayDateTime, t } from "@/ui/text";

import { Labelled } from "./Labelled";
import { NewApiKey } from "./NewApiKey";

const TONES: Record<ApiKey["status"], Tone> = { active: "good", expired: "warn", revoked: "plain" };

/** Keys for programs: those that there are, a new one, and the end of one. */
export function ApiKeys() {
  const query = useApiKeys();
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  const columns: readonly Column<ApiKey>[] = [
    { id: "label", title: t("security.keys.label"), cell: (key) => <Labelled text={key.label} under={key.key_id} /> },
    { id: "may", title: t("security.keys.mayDo"), cell: (key) => <Labelled text={scopesOf(key)} under={limitsOf(key)} />, secondary: true },
    { id: "from", title: t("security.keys.from"), cell: (key) => <Lines>{key.addresses ?? [t("security.keys.anywhere")]}</Lines>, secondary: true },
    { id: "used", title: t("security.keys.used"), cell: (key) => (key.last_used_at ? displayDateTime(key.last_used_at) : t("security.keys.never")), secondary: true },
    { id: "until", title: t("security.keys.until"), cell: (key) => (key.expires_at ? displayDateTime(key.expires_at) : t("security.keys.forEver")), secondary: true },
    { id: "state", title: t("security.keys.state"), cell: (key) => <Badge tone={TONES[key.status]}>{t(`security.keys.${key.status}`)}</Badge> },
    {
      id: "revoke",
      title: t("security.keys.revoke"),
      align: "right",
      cell: (key) =>
        key.status !== "revoked" && (
          <Button size="small" aria-label={t("security.keys.revokeOne", { label: key.label })} onClick={() => setRevoking(key)}>
            {t("security.keys.revoke")}
          </Button>
        ),
    },
  ];
  const create = (
    <Button size="small" onClick={() => setMaking(true)}>
      <Icon name="plus" size={14} />
      {t("security.keys.create")}
    </Button>
  );
  return (
    <Panel title={t("security.keys.title")} end={create} className="max-h-128 min-h-32 shrink-0 rounded-lg border">
      <Loaded query={query}>
        {(keys) => <DataTable label={t("security.keys.list")} columns={columns} rows={keys} keyOf={(key) => key.key_id} empty={t("security.keys.none")} />}
      </Loaded>
      {making && <NewApiKey onClose={() => setMaking(false)} />}
      {revoking && <Revoke apiKey={revoking} onClose={() => setRevoking(null)} />}
    </Panel>
  );
}

const scopesOf = (key: ApiKey): string => key.scopes.map((scope) => t(`security.keys.${scope}`)).join(", ");

/** Where and for how much, such as "BTC/USD · 10,000 USD an order". */
function limitsOf(key: ApiKey): string {
  const markets = key.symbols ?? [t("security.keys.allMarkets")];
  const caps = Object.entries(key.notional_max ?? {}).map(([name, amount]) => t("security.keys.capped", { amount: displayDecimal(amount, 0), name }));
  return [markets.join(", "), ...caps].join(" · ");
}

function Lines({ children }: { readonly children: readonly string[] }): ReactNode {
  return children.map((line) => (
    <span key={line} className="block">
      {line}
    </span>
  ));
}

function Revoke({ apiKey: { key_id: id, label }, onClose }: { readonly apiKey: ApiKey; readonly onClose: () => void }) {
  const revoke = useRevokeApiKey();
  const press = (): void =>
    revoke.mutate(id, {
      onSuccess: () => {
        toast.success(t("security.keys.isRevoked", { label }));
        onClose();
      },
    });
  return (
    <Dialog title={t("security.keys.revokeOne", { label })} onClose={onClose}>
      <p>{t("security.keys.revokeText")}</p>
      {revoke.isError && <Alert>{errorText(revoke.error)}</Alert>}
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{t("security.cancel")}</Button>
        <Button kind="sell" disabled={revoke.isPending} onClick={press}>
          {t("security.keys.revoke")}
        </Button>
      </div>
    </Dialog>
  );
}
