import { Link } from "@tanstack/react-router";
import { useState } from "react";

import { Balances } from "@/features/balances/Balances";
import { Faucet } from "@/features/balances/Faucet";
import { Fills } from "@/features/open-orders/Fills";
import { OpenOrders } from "@/features/open-orders/OpenOrders";
import { OrderHistory } from "@/features/open-orders/OrderHistory";
import { useOpenOrders } from "@/state/account";
import { useUser } from "@/state/exchange";
import { Empty } from "@/ui/DataTable";
import { Panel } from "@/ui/Panel";
import { Tabs } from "@/ui/Tabs";
import { t } from "@/ui/text";

/** The account's orders, fills and balances under tabs. */
export function AccountPanel() {
  const [tab, setTab] = useState("open");
  const user = useUser();
  const { data: open } = useOpenOrders();
  if (!user) {
    return (
      <Panel title={t("orders.open")} titleHidden className="flex-1">
        <Empty>
          <p>{t("orders.signIn")}</p>
          <Link to="/login" className="rounded-md border bg-raised px-4 py-2 text-text">
            {t("session.signIn")}
          </Link>
        </Empty>
      </Panel>
    );
  }
  const tabs = [
    { id: "open", label: t("orders.open"), count: open?.length, content: <OpenOrders /> },
    { id: "history", label: t("orders.history"), content: <OrderHistory /> },
    { id: "fills", label: t("orders.fills"), content: <Fills /> },
    { id: "balances", label: t("balances.title"), content: <Balances /> },
  ];
  return (
    <Panel title={t("app.account")} titleHidden className="flex-1">
      <Tabs label={t("app.account")} tabs={tabs} value={tab} onChange={setTab} end={<Faucet />} />
    </Panel>
  );
}
