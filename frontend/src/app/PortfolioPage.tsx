import { Link } from "@tanstack/react-router";
import { useEffect } from "react";

import { Balances } from "@/features/balances/Balances";
import { Faucet } from "@/features/balances/Faucet";
import { Ledger } from "@/features/balances/Ledger";
import { useUser } from "@/state/exchange";
import { Empty } from "@/ui/DataTable";
import { Panel } from "@/ui/Panel";
import { t } from "@/ui/text";

/** What the account owns and how it came to it. */
export function PortfolioPage() {
  const user = useUser();
  useEffect(() => {
    document.title = `${t("app.portfolio")} · ${t("app.name")}`;
  }, []);
  if (!user) {
    return (
      <Empty>
        <p>{t("orders.signIn")}</p>
        <Link to="/login" className="rounded-md bg-accent px-4 py-2 font-semibold text-on-accent">
          {t("session.signIn")}
        </Link>
      </Empty>
    );
  }
  return (
    <div className="mx-auto flex min-h-0 w-full max-w-5xl flex-1 flex-col gap-3 p-2 sm:p-4">
      <h1 className="sr-only">{t("app.portfolio")}</h1>
      <Panel title={t("balances.title")} end={<Faucet />} className="max-h-[45%] min-h-40 shrink-0 rounded-lg border">
        <Balances />
      </Panel>
      <Panel title={t("balances.ledger")} className="flex-1 rounded-lg border" end={<span className="hidden text-xs text-muted sm:inline">{t("balances.ledgerText")}</span>}>
        <Ledger />
      </Panel>
    </div>
  );
}
