import { useEffect, useState } from "react";

import { Balances } from "@/features/balances/Balances";
import { Faucet } from "@/features/balances/Faucet";
import { Ledger } from "@/features/balances/Ledger";
import { Commission } from "@/features/fees/Commission";
import { Transfers } from "@/features/transfers/Transfers";
import { useUser } from "@/state/exchange";
import { Panel } from "@/ui/Panel";
import { Tabs } from "@/ui/Tabs";
import { t } from "@/ui/text";

import { SignedOut } from "./SignedOut";

const TABS = [
  { id: "ledger", label: t("balances.ledger"), content: <Ledger /> },
  { id: "transfers", label: t("transfers.title"), content: <Transfers /> },
];

/** What the account owns and how it came to it. */
export function PortfolioPage() {
  const user = useUser();
  const [tab, setTab] = useState("ledger");
  useEffect(() => {
    document.title = `${t("app.portfolio")} · ${t("app.name")}`;
  }, []);
  if (!user) return <SignedOut>{t("orders.signIn")}</SignedOut>;
  return (
    <div className="mx-auto flex min-h-0 w-full max-w-5xl flex-1 flex-col gap-3 overflow-y-auto p-2 sm:p-4">
      <h1 className="sr-only">{t("app.portfolio")}</h1>
      <div className="grid shrink-0 gap-3 md:grid-cols-[3fr_2fr]">
        <Panel title={t("balances.title")} end={<Faucet />} className="min-h-40 rounded-lg border">
          <Balances />
        </Panel>
        <Panel title={t("fees.title")} className="rounded-lg border">
          <Commission />
        </Panel>
      </div>
      <Panel title={t("app.account")} titleHidden className="min-h-80 flex-1 rounded-lg border max-md:min-h-160">
        <Tabs label={t("app.account")} tabs={TABS} value={tab} onChange={setTab} />
      </Panel>
    </div>
  );
}
