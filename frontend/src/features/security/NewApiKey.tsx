import { useState, type SyntheticEvent } from "react";

import { ProblemError } from "@/api/problems";
import type { CreatedApiKey, NewApiKey as Body } from "@/api/types";
import { errorText } from "@/state/errors";
import { useMarkets } from "@/state/markets";
import { useCreateApiKey } from "@/state/security";
import { Alert } from "@/ui/Alert";
import { Button } from "@/ui/Button";
import { Checkbox } from "@/ui/Checkbox";
import { Choice } from "@/ui/Choice";
import { Dialog } from "@/ui/Dialog";
import { Field } from "@/ui/Field";
import { Secret } from "@/ui/Secret";
import { t } from "@/ui/text";
import { TextArea } from "@/ui/TextArea";

type Scope = Body["scopes"][number];

const SCOPES: readonly Scope[] = ["read", "trade", "transfer"];
const KINDS = (["hmac", "ed25519"] as const).map((value) => ({ value, label: t(`security.keys.${value}`) }));

/** What has been entered so far. */
interface Draft {
  readonly label: string;
  readonly kind: Body["kind"];
  readonly publicKey: string;
  readonly scopes: readonly Scope[];
  /** Empty for all. */
  readonly symbols: readonly string[];
  /** By quote asset. */
  readonly caps: Readonly<Record<string, string>>;
  readonly addresses: string;
  /** "2027-12-31", or "" for never. */
  readonly lastDay: string;
}

const EMPTY: Draft = { label: "", kind: "hmac", publicKey: "", scopes: ["read", "trade"], symbols: [], caps: {}, addresses: "", lastDay: "" };

function bodyOf(draft: Draft): Body {
  const addresses = draft.addresses.split(/[\s,]+/).filter(Boolean);
  const caps = Object.entries(draft.caps).map(([asset, amount]) => [asset, amount.trim()] as const);
  return {
    label: draft.label.trim(),
    kind: draft.kind,
    public_key: draft.kind === "ed25519" ? draft.publicKey : null,
    scopes: [...draft.scopes],
    symbols: draft.symbols.length > 0 ? [...draft.symbols] : null,
    notional_max: Object.fromEntries(caps.filter(([, amount]) => amount !== "")),
    addresses: addresses.length > 0 ? addresses : null,
    expires_at: draft.lastDay ? new Date(`${draft.lastDay}T23:59:59`).toISOString() : null, // where the trader is
  };
}

const toggled = <T,>(list: readonly T[], item: T, on: boolean): readonly T[] => (on ? [...list, item] : list.filter((other) => other !== item));

/** The terms of a new key, and then its secret. */
export function NewApiKey({ onClose }: { readonly onClose: () => void }) {
  const create = useCreateApiKey();
  return create.data ? <Made made={create.data} onClose={onClose} /> : <Terms create={create} onClose={onClose} />;
}

function Terms({ create, onClose }: { readonly create: ReturnType<typeof useCreateApiKey>; readonly onClose: () => void }) {
  const [draft, setDraft] = useState(EMPTY);
  const { data: markets = [] } = useMarkets();
  const set = (change: Partial<Draft>): void => setDraft({ ...draft, ...change });
  const ready = draft.label.trim() !== "" && draft.scopes.length > 0 && (draft.kind === "hmac" || draft.publicKey.trim() !== "");
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (ready) create.mutate(bodyOf(draft));
  };
  const quotes = [...new Set(markets.map(({ quote }) => quote))];
  const refused = refusedField(create.error);
  const errorOf = (field: NamedField): string | null => (refused?.field === field ? refused.detail : null);
  return (
    <Dialog title={t("security.keys.create")} onClose={onClose} kept={create.isPending}>
      <form aria-label={t("security.keys.create")} onSubmit={submit} noValidate className="flex flex-col gap-4">
        <Field
          label={t("security.keys.label")}
          value={draft.label}
          onChange={(label) => set({ label })}
          maxLength={64}
          autoComplete="off"
          hint={t("security.keys.labelHint")}
          error={errorOf("label")}
        />
        <Choice label={t("security.keys.kind")} options={KINDS} value={draft.kind} onChange={(kind) => set({ kind })} />
        {draft.kind === "ed25519" && (
          <TextArea
            label={t("security.keys.publicKey")}
            value={draft.publicKey}
            onChange={(publicKey) => set({ publicKey })}
            placeholder="-----BEGIN PUBLIC KEY-----"
            hint={t("security.keys.publicKeyHint")}
            error={errorOf("public_key")}
          />
        )}
        <Boxes
          legend={t("security.keys.scopes")}
          boxes={SCOPES.map((scope) => ({ id: scope, label: t(`security.keys.${scope}`) }))}
          chosen={draft.scopes}
          onChange={(scopes) => set({ scopes })}
        />
        <Boxes
          legend={t("security.keys.markets")}
          all={t("security.keys.allMarkets")}
          boxes={markets.map(({ symbol }) => ({ id: symbol, label: symbol }))}
          chosen={draft.symbols}
          onChange={(symbols) => set({ symbols })}
        />
        {quotes.map((asset) => (
          <Field
            key={asset}
            label={t("security.keys.cap", { asset })}
            value={draft.caps[asset] ?? ""}
            onChange={(amount) => set({ caps: { ...draft.caps, [asset]: amount } })}
            inputMode="decimal"
            autoComplete="off"
            hint={t("security.keys.capHint")}
            error={refused?.field === `notional_max.${asset}` && refused.detail}
          />
        ))}
        <Field
          label={t("security.keys.addresses")}
          value={draft.addresses}
          onChange={(addresses) => set({ addresses })}
          autoComplete="off"
          spellCheck={false}
          hint={t("security.keys.addressesHint")}
          error={errorOf("addresses")}
        />
        <Field label={t("security.keys.expires")} type="date" value={draft.lastDay} onChange={(lastDay) => set({ lastDay })} error={errorOf("expires_at")} />
        {create.isError && refused === null && <Alert>{errorText(create.error)}</Alert>}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{t("security.cancel")}</Button>
          <Button type="submit" kind="primary" disabled={!ready || create.isPending}>
            {t("security.keys.make")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** A few boxes under one heading. `all`: the name of a first box that stands for none of the others. */
function Boxes<T extends string>({ legend, all, boxes, chosen, onChange }: {
  readonly legend: string;
  readonly all?: string;
  readonly boxes: readonly { readonly id: T; readonly label: string }[];
  readonly chosen: readonly T[];
  readonly onChange: (chosen: readonly T[]) => void;
}) {
  return (
    <fieldset>
      <legend className="text-xs text-muted">{legend}</legend>
      <div className="flex max-h-32 flex-wrap gap-x-4 overflow-y-auto">
        {all && (
          <Checkbox checked={chosen.length === 0} disabled={chosen.length === 0} onChange={() => onChange([])}>
            {all}
          </Checkbox>
        )}
        {boxes.map(({ id, label }) => (
          <Checkbox key={id} checked={chosen.includes(id)} onChange={(on) => onChange(toggled(chosen, id, on))}>
            {label}
          </Checkbox>
        ))}
      </div>
    </fieldset>
  );
}

function Made({ made, onClose }: { readonly made: CreatedApiKey; readonly onClose: () => void }) {
  return (
    <Dialog title={t("security.keys.made")} onClose={onClose} kept>
      <p>{made.secret === null ? t("security.keys.madeOwn") : t("security.keys.madeText")}</p>
      <Secret label={t("security.keys.keyId")} text={made.key_id} />
      {made.secret !== null && <Secret label={t("security.keys.secret")} text={made.secret} />}
      <Button kind="primary" className="self-end" onClick={onClose}>
        {t("security.keys.done")}
      </Button>
    </Dialog>
  );
}

const FIELDS = ["label", "public_key", "addresses", "expires_at"] as const;
type NamedField = (typeof FIELDS)[number];

/** The field that the exchange refused and why, in its own words: it knows which rule it was. */
function refusedField(error: unknown): { readonly field: string; readonly detail: string } | null {
  if (!(error instanceof ProblemError) || error.problem.reason !== "FIELD_INVALID") return null;
  const { field, detail } = error.problem;
  return field && (field.startsWith("notional_max.") || FIELDS.some((known) => known === field)) ? { field, detail } : null;
}
