import { useState, type ReactNode, type SubmitEvent } from "react";
import { toast } from "sonner";

import { isTransient } from "@/api/problems";
import type { Withdrawal } from "@/api/types";
import { display, displayDecimal } from "@/market/decimal";
import { useAvailable } from "@/state/account";
import { errorText, refusalOf } from "@/state/errors";
import { newClientOrderId } from "@/state/trading";
import { useDeposit, useTransferTerms, useWithdraw, useWithdrawals } from "@/state/transfers";
import { Button } from "@/ui/Button";
import { DataTable, Empty, type Column } from "@/ui/DataTable";
import { Field } from "@/ui/Field";
import { Loaded, More } from "@/ui/Loaded";
import { Select } from "@/ui/Select";
import { displayDateTime, t } from "@/ui/text";

/** Money in and out: what can be sent, and what is on its way. */
export function Transfers() {
  const query = useTransferTerms();
  return (
    <Loaded query={query}>
      {(terms) =>
        terms.custody === null ? (
          <Empty>{t("transfers.closed")}</Empty>
        ) : (
          <div className="flex min-h-0 flex-1 flex-col overflow-y-auto">
            <p className="px-3 pt-3 text-xs text-muted">{t("transfers.sandbox")}</p>
            <div className="grid gap-4 p-3 md:grid-cols-2">
              {terms.deposits_on_request && <DepositForm assets={terms.items} />}
              <WithdrawForm assets={terms.items} />
            </div>
            <Withdrawals />
          </div>
        )
      }
    </Loaded>
  );
}

interface AssetTerms {
  readonly asset: string;
  readonly deposit_min: string;
  readonly withdrawal_min: string;
  readonly deposit_address: string | null;
}

/** An amount of an asset that is being asked for. Its name is kept while it is not known what became of it, so that it
 *  happens once; `asked` is told what did. */
function useRequest(assets: readonly AssetTerms[], done: "transfers.credited" | "transfers.requested") {
  const [asset, setAsset] = useState(assets[0]?.asset ?? "");
  const [text, setText] = useState("");
  const [reference, setReference] = useState(newClientOrderId);
  const amount = text.trim();
  const asked = {
    onSuccess: (): void => {
      toast.success(t(done, { amount: displayDecimal(amount, 0), asset }));
      setText("");
      setReference(newClientOrderId());
    },
    onError: (error: unknown): void => {
      if (!isTransient(error)) setReference(newClientOrderId());
    },
  };
  const fields = { assets, asset, onAsset: setAsset, amount: text, onAmount: setText };
  return { body: { asset, amount, reference }, asked, fields };
}

function DepositForm({ assets }: { readonly assets: readonly AssetTerms[] }) {
  const { body, asked, fields } = useRequest(assets, "transfers.credited");
  const deposit = useDeposit();
  const terms = assets.find((known) => known.asset === body.asset);
  return (
    <Form title={t("transfers.deposit")} onSubmit={() => deposit.mutate(body, asked)}>
      <AssetAndAmount
        {...fields}
        hint={terms && t("transfers.least", { amount: displayDecimal(terms.deposit_min, 0), asset: body.asset })}
        error={deposit.error}
      />
      {terms?.deposit_address && (
        <p className="text-xs text-muted">
          {t("transfers.address")}: <code className="break-all text-text">{terms.deposit_address}</code>
        </p>
      )}
      <Button type="submit" kind="primary" disabled={deposit.isPending || body.amount === ""}>
        {t("transfers.deposit")}
      </Button>
    </Form>
  );
}

function WithdrawForm({ assets }: { readonly assets: readonly AssetTerms[] }) {
  const { body, asked, fields } = useRequest(assets, "transfers.requested");
  const [text, setText] = useState("");
  const destination = text.trim();
  const withdraw = useWithdraw();
  const available = useAvailable(body.asset);
  const refusal = withdraw.error ? refusalOf(withdraw.error) : null;
  return (
    <Form title={t("transfers.withdraw")} onSubmit={() => withdraw.mutate({ ...body, destination }, asked)}>
      <AssetAndAmount
        {...fields}
        hint={available ? `${t("ticket.available")}: ${display(available)} ${body.asset}` : undefined}
        error={refusal?.field === "destination" ? null : withdraw.error}
      />
      <Field
        label={t("transfers.destination")}
        value={text}
        onChange={setText}
        hint={t("transfers.destinationHint")}
        error={refusal?.field === "destination" && errorText(withdraw.error)}
      />
      <Button type="submit" kind="primary" disabled={withdraw.isPending || body.amount === "" || destination === ""}>
        {t("transfers.withdraw")}
      </Button>
    </Form>
  );
}

function Form({ title, onSubmit, children }: { readonly title: string; readonly onSubmit: () => void; readonly children: ReactNode }) {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    onSubmit();
  };
  return (
    <form aria-label={title} onSubmit={submit} noValidate className="flex flex-col gap-3 rounded-md border p-3">
      <h3 className="font-semibold">{title}</h3>
      {children}
    </form>
  );
}

function AssetAndAmount({ assets, asset, onAsset, amount, onAmount, hint, error }: {
  readonly assets: readonly AssetTerms[];
  readonly asset: string;
  readonly onAsset: (asset: string) => void;
  readonly amount: string;
  readonly onAmount: (amount: string) => void;
  readonly hint: string | undefined;
  readonly error: unknown;
}) {
  const nearest = error ? refusalOf(error)?.nearest : null;
  return (
    <div className="grid grid-cols-[7rem_1fr] gap-3">
      <Select label={t("transfers.asset")} options={assets.map(({ asset: value }) => ({ value, label: value }))} value={asset} onChange={onAsset} />
      <Field
        label={t("transfers.amount")}
        value={amount}
        onChange={onAmount}
        inputMode="decimal"
        autoComplete="off"
        placeholder="0.00"
        suffix={asset}
        hint={hint}
        error={
          error ? (
            <span className="flex flex-wrap items-center gap-2">
              <span>{errorText(error)}</span>
              {nearest && (
                <button type="button" onClick={() => onAmount(nearest)} className="rounded border border-current px-1.5 py-0.5 font-semibold hover:bg-sell-soft">
                  {t("ticket.use", { value: displayDecimal(nearest, 0) })}
                </button>
              )}
            </span>
          ) : null
        }
      />
    </div>
  );
}

const COLUMNS: readonly Column<Withdrawal>[] = [
  { id: "time", title: t("transfers.time"), cell: (withdrawal) => displayDateTime(withdrawal.created_at), secondary: true },
  { id: "asset", title: t("transfers.asset"), cell: (withdrawal) => withdrawal.asset },
  { id: "amount", title: t("transfers.amount"), cell: (withdrawal) => displayDecimal(withdrawal.amount), align: "right" },
  {
    id: "destination",
    title: t("transfers.destination"),
    cell: (withdrawal) => <span className="block max-w-40 truncate" title={withdrawal.destination}>{withdrawal.destination}</span>,
  },
  { id: "status", title: t("transfers.status"), cell: (withdrawal) => <span title={withdrawal.refusal ?? undefined}>{t(`transfers.${withdrawal.status}`)}</span> },
];

function Withdrawals() {
  const query = useWithdrawals();
  return (
    <Loaded query={query}>
      {({ pages }) => (
        <DataTable
          label={t("transfers.list")}
          columns={COLUMNS}
          rows={pages.flatMap((page) => page.items)}
          keyOf={(withdrawal) => withdrawal.withdrawal_id}
          empty={t("transfers.none")}
          after={<More query={query} />}
        />
      )}
    </Loaded>
  );
}
