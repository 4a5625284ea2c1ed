import { Link } from "@tanstack/react-router";

import type { Market } from "@/api/types";
import { display, formatPercent } from "@/market/decimal";
import type { Draft, OrderType, Side } from "@/market/ticket";
import { useCommission } from "@/state/account";
import { useUser } from "@/state/exchange";
import { useTicket } from "@/state/ticket";
import { Alert } from "@/ui/Alert";
import { Button } from "@/ui/Button";
import { Choice } from "@/ui/Choice";
import { Field } from "@/ui/Field";
import { Panel } from "@/ui/Panel";
import { t } from "@/ui/text";

import { Execution } from "./Execution";
import { OrderValue } from "./OrderValue";
import { Percentages } from "./Percentages";
import { RefusalNotice } from "./RefusalNotice";
import { useTicketForm } from "./useTicketForm";

/** Where an order is written, checked and sent. */
export function OrderTicket({ market, titleHidden = false }: { readonly market: Market; readonly titleHidden?: boolean }) {
  const { draft, edit } = useTicket();
  const user = useUser();
  const form = useTicketForm(market);

  return (
    <Panel title={t("ticket.title")} titleHidden={titleHidden} className="flex-1">
      <form onSubmit={form.submit} noValidate className="flex flex-1 flex-col gap-3 overflow-y-auto p-3">
        <SideChoice draft={draft} onChange={(side) => edit({ side })} />
        <TypeChoice draft={draft} onChange={(orderType) => edit({ orderType })} />
        <div className="flex justify-between text-xs">
          <span className="text-muted">{t("ticket.available")}</span>
          <span data-testid="available">
            {form.available ? display(form.available) : "–"} {form.paidAsset}
          </span>
        </div>
        <PriceField market={market} draft={draft} form={form} />
        <Field
          label={t("ticket.quantity")}
          value={draft.quantity}
          onChange={(quantity) => form.type({ quantity })}
          inputMode="decimal"
          autoComplete="off"
          placeholder="0.00"
          suffix={market.base}
          error={form.refusal?.field === "quantity" && <RefusalNotice refusal={form.refusal} onUse={form.use} />}
        />
        <Percentages market={market} available={form.available} />
        <Execution draft={draft} onChange={edit} />
        <OrderValue market={market} draft={draft} />
        {form.refusal && form.refusal.field !== "price" && form.refusal.field !== "quantity" && (
          <Alert>
            <RefusalNotice refusal={form.refusal} onUse={form.use} />
          </Alert>
        )}
        {form.fault && <Alert>{form.fault}</Alert>}
        {user ? (
          <Button type="submit" kind={draft.side === "Buy" ? "buy" : "sell"} size="large" disabled={form.busy}>
            {form.busy ? t("ticket.sending") : t("ticket.submit", { side: t(`ticket.${draft.side}`), asset: market.base })}
          </Button>
        ) : (
          <Link to="/login" className="flex h-11 items-center justify-center rounded-md bg-accent font-semibold text-on-accent">
            {t("ticket.signIn")}
          </Link>
        )}
        <Fees market={market} />
      </form>
    </Panel>
  );
}

/** What the account pays here; to others, what the market asks. */
function Fees({ market }: { readonly market: Market }) {
  const { data } = useCommission();
  const own = data?.markets.find(({ symbol }) => symbol === market.symbol);
  const { maker, taker } = own ?? { maker: market.maker_fee, taker: market.taker_fee };
  return (
    <p className="text-xs text-muted">
      {t("ticket.fee")}: {t("ticket.feeText", { maker: formatPercent(maker), taker: formatPercent(taker) })}
    </p>
  );
}

function SideChoice({ draft, onChange }: { readonly draft: Draft; readonly onChange: (side: Side) => void }) {
  return (
    <Choice
      label={t("ticket.side")}
      value={draft.side}
      onChange={onChange}
      options={[
        { value: "Buy", label: t("ticket.Buy"), chosen: "bg-buy text-page font-semibold" },
        { value: "Sell", label: t("ticket.Sell"), chosen: "bg-sell text-page font-semibold" },
      ]}
    />
  );
}

function TypeChoice({ draft, onChange }: { readonly draft: Draft; readonly onChange: (orderType: OrderType) => void }) {
  return (
    <Choice
      label={t("ticket.type")}
      value={draft.orderType}
      onChange={onChange}
      options={[
        { value: "Limit", label: t("ticket.Limit") },
        { value: "Market", label: t("ticket.Market") },
      ]}
    />
  );
}

function PriceField({ market, draft, form }: {
  readonly market: Market;
  readonly draft: Draft;
  readonly form: ReturnType<typeof useTicketForm>;
}) {
  const limit = draft.orderType === "Limit";
  return (
    <Field
      label={limit ? t("ticket.price") : t("ticket.protection")}
      value={draft.price}
      onChange={(price) => form.type({ price })}
      inputMode="decimal"
      autoComplete="off"
      placeholder={limit ? (market.last_price ?? market.tick_size) : ""}
      suffix={market.quote}
      hint={limit ? undefined : t("ticket.protectionHint")}
      error={form.refusal?.field === "price" && <RefusalNotice refusal={form.refusal} onUse={form.use} />}
    />
  );
}
