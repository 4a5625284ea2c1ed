import { useEffect, useState } from "react";

import { Adjustments } from "@/features/admin/Adjustments";
import { AdminMarkets } from "@/features/admin/AdminMarkets";
import { AdminUsers } from "@/features/admin/AdminUsers";
import { AuditLog } from "@/features/admin/AuditLog";
import { useMe } from "@/state/admin";
import { useUser } from "@/state/exchange";
import { Empty } from "@/ui/DataTable";
import { Loaded } from "@/ui/Loaded";
import { Tabs } from "@/ui/Tabs";
import { t } from "@/ui/text";

import { SignedOut } from "./SignedOut";

/** Running the exchange, for its admins. */
export function AdminPage() {
  const user = useUser();
  const me = useMe();
  useEffect(() => {
    document.title = `${t("admin.title")} · ${t("app.name")}`;
  }, []);
  if (!user) return <SignedOut>{t("admin.signIn")}</SignedOut>;
  return <Loaded query={me}>{({ role }) => (role === "admin" ? <Desk /> : <Empty>{t("reason.ADMIN_ONLY")}</Empty>)}</Loaded>;
}

function Desk() {
  const [tab, setTab] = useState("markets");
  const tabs = [
    { id: "markets", label: t("admin.markets"), content: <AdminMarkets /> },
    { id: "users", label: t("admin.users"), content: <AdminUsers /> },
    { id: "adjustments", label: t("admin.adjustments"), content: <Adjustments /> },
    { id: "audit-log", label: t("admin.auditLog"), content: <AuditLog /> },
  ];
  return (
    <div className="mx-auto flex min-h-0 w-full max-w-6xl flex-1 flex-col p-2 sm:p-4">
      <h1 className="sr-only">{t("admin.title")}</h1>
      <section className="flex min-h-0 flex-1 flex-col overflow-hidden rounded-lg border bg-panel">
        <Tabs label={t("admin.title")} tabs={tabs} value={tab} onChange={setTab} />
      </section>
    </div>
  );
}
