import { useState, type SyntheticEvent } from "react";
import { toast } from "sonner";

import type { Adjustment, Direction } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import { useAdjustments, useAdminAction, useAdminAssets, type Decision } from "@/state/admin";
import { useUser } from "@/state/exchange";
import { Alert } from "@/ui/Alert";
import { Button } from "@/ui/Button";
import { DataTable, type Column } from "@/ui/DataTable";
import { Field } from "@/ui/Field";
import { Loaded, More } from "@/ui/Loaded";
import { Select } from "@/ui/Select";
import { displayDateTime, t } from "@/ui/text";

import { ActionDialog, type Pending } from "./ActionDialog";
import { Badge, type Tone } from "@/ui/Badge";
import { detailText } from "./detail";

const TONES: Record<Adjustment["status"], Tone> = {
  Proposed: "warn",
  Approved: "warn",
  Executed: "good",
  Refused: "bad",
  Rejected: "plain",
  Withdrawn: "plain",
  Expired: "plain",
};

const EMPTY = { username: "", direction: "Credit" as Direction, amount: "", asset: "USD", reason: "" };

function ProposalForm() {
  const [draft, setDraft] = useState(EMPTY);
  const { data: assets = [] } = useAdminAssets();
  const action = useAdminAction();
  const set = (change: Partial<typeof EMPTY>): void => setDraft({ ...draft, ...change });
  const ready = draft.username && draft.amount && draft.reason.trim().length >= 3;
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (!ready) return;
    action.mutate(
      { kind: "propose", adjustment: draft },
      {
        onSuccess: () => {
          toast.success(t("admin.proposed"));
          setDraft({ ...EMPTY, asset: draft.asset });
        },
      },
    );
  };
  return (
    <form onSubmit={submit} aria-label={t("admin.propose")} className="flex shrink-0 flex-col gap-2 border-b p-3">
      <div className="grid grid-cols-2 items-end gap-2 md:grid-cols-[1fr_7rem_9rem_6rem_2fr_auto]">
        <Field label={t("session.username")} value={draft.username} onChange={(username) => set({ username })} autoCapitalize="none" autoComplete="off" spellCheck={false} />
        <Select
          label={t("admin.direction")}
          value={draft.direction}
          options={(["Credit", "Debit"] as const).map((value) => ({ value, label: t(`admin.${value}`) }))}
          onChange={(direction) => set({ direction })}
        />
        <Field label={t("admin.amount")} value={draft.amount} onChange={(amount) => set({ amount })} inputMode="decimal" autoComplete="off" />
        <Select label={t("balances.asset")} value={draft.asset} options={assets.map(({ name }) => ({ value: name, label: name }))} onChange={(asset) => set({ asset })} />
        <Field label={t("admin.reason")} value={draft.reason} onChange={(reason) => set({ reason })} maxLength={500} autoComplete="off" className="max-md:col-span-2" />
        <Button type="submit" kind="primary" disabled={!ready || action.isPending} className="max-md:col-span-2">
          {t("admin.propose")}
        </Button>
      </div>
      {action.isError && <Alert>{detailText(action.error)}</Alert>}
    </form>
  );
}

function Decisions({ adjustment, decide }: { readonly adjustment: Adjustment; readonly decide: (decision: Decision) => void }) {
  const own = useUser()?.username === adjustment.proposed_by;
  if (adjustment.status !== "Proposed") return adjustment.decided_by ?? "–";
  const possible: readonly Decision[] = own ? ["withdraw"] : ["approve", "reject"];
  return (
    <span className="flex justify-end gap-1">
      {possible.map((decision) => (
        <Button key={decision} size="small" kind={decision === "approve" ? "primary" : "plain"} onClick={() => decide(decision)}>
          {t(`admin.decision.${decision}`)}
        </Button>
      ))}
    </span>
  );
}

/** Corrections of balances: proposing one, and deciding about what others proposed. */
export function Adjustments() {
  const query = useAdjustments();
  const [pending, setPending] = useState<Pending | null>(null);
  const ask = (adjustment: Adjustment, kind: Decision): void => {
    const { direction, amount, asset, username } = adjustment;
    const what = t(`admin.what.${direction}`, { amount: displayDecimal(amount, 0), asset, username });
    setPending({
      title: `${t(`admin.decision.${kind}`)}: ${what}`,
      reason: kind === "reject" ? "required" : "none",
      action: (reason) => ({ kind, adjustment, reason }),
    });
  };
  const columns: readonly Column<Adjustment>[] = [
    { id: "id", title: "#", cell: (adjustment) => adjustment.adjustment_id, secondary: true },
    { id: "user", title: t("session.username"), cell: (adjustment) => <span className="font-medium">{adjustment.username}</span> },
    {
      id: "amount",
      title: t("admin.amount"),
      align: "right",
      cell: ({ direction, amount, asset }) => (
        <span className={direction === "Credit" ? "text-buy" : "text-sell"}>{`${direction === "Credit" ? "+" : "−"}${displayDecimal(amount, 0)} ${asset}`}</span>
      ),
    },
    { id: "status", title: t("admin.state"), cell: ({ status }) => <Badge tone={TONES[status]}>{t(`admin.${status}`)}</Badge> },
    { id: "reason", title: t("admin.reason"), cell: ({ reason, refusal }) => <span className="block max-w-80 truncate" title={refusal ?? reason}>{refusal ?? reason}</span>, secondary: true },
    { id: "by", title: t("admin.proposedBy"), cell: (adjustment) => adjustment.proposed_by, secondary: true },
    { id: "at", title: t("orders.time"), cell: (adjustment) => displayDateTime(adjustment.proposed_at), secondary: true },
    { id: "decide", title: t("admin.decidedBy"), align: "right", cell: (adjustment) => <Decisions adjustment={adjustment} decide={(decision) => ask(adjustment, decision)} /> },
  ];
  return (
    <>
      <ProposalForm />
      <Loaded query={query}>
        {({ pages }) => (
          <DataTable
            label={t("admin.adjustments")}
            columns={columns}
            rows={pages.flatMap((page) => page.items)}
            keyOf={(adjustment) => adjustment.adjustment_id}
            empty={t("admin.noAdjustments")}
            after={<More query={query} />}
          />
        )}
      </Loaded>
      {pending && <ActionDialog pending={pending} onClose={() => setPending(null)} />}
    </>
  );
}
