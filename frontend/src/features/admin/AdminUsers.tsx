import { useDeferredValue, useState } from "react";

import type { AdminUser } from "@/api/types";
import { useAdminUsers, type UserAction } from "@/state/admin";
import { DataTable, type Column } from "@/ui/DataTable";
import { Field } from "@/ui/Field";
import { Loaded, More } from "@/ui/Loaded";
import { Select } from "@/ui/Select";
import { displayDateTime, t } from "@/ui/text";

import { ActionDialog, type Pending } from "./ActionDialog";
import { Badge } from "@/ui/Badge";

/** What usernames are made of: the exchange refuses to look for anything else. */
const searchable = (text: string): string => text.replace(/[^A-Za-z0-9_.-]/g, "").slice(0, 32);

const actionsFor = (user: AdminUser): readonly UserAction[] => [user.frozen_at ? "thaw" : "freeze", "end-sessions", "cancel-orders"];

/** Users, found by name, and what an admin may do to their access and their orders. */
export function AdminUsers() {
  const [search, setSearch] = useState("");
  const query = useAdminUsers(useDeferredValue(search));
  const [pending, setPending] = useState<Pending | null>(null);
  const ask = (user: AdminUser, kind: UserAction): void =>
    setPending({ title: t(`admin.user.${kind}`, { username: user.username }), reason: "required", action: (reason) => ({ kind, user, reason }) });
  const columns: readonly Column<AdminUser>[] = [
    { id: "username", title: t("session.username"), cell: (user) => <span className="font-medium">{user.username}</span> },
    { id: "account", title: t("app.account"), cell: (user) => user.account_id, secondary: true },
    {
      id: "state",
      title: t("admin.state"),
      cell: (user) => (
        <span className="flex gap-1">
          {user.frozen_at ? <Badge tone="bad">{t("admin.frozen")}</Badge> : <Badge tone="plain">{t("admin.active")}</Badge>}
          {user.role === "admin" && <Badge tone="warn">{t("admin.admin")}</Badge>}
        </span>
      ),
    },
    { id: "created", title: t("admin.since"), cell: (user) => displayDateTime(user.created_at), secondary: true },
    { id: "factor", title: t("admin.secondFactor"), cell: (user) => (user.second_factor ? t("admin.on") : t("admin.off")), secondary: true },
    { id: "sessions", title: t("admin.sessions"), cell: (user) => user.sessions, align: "right", secondary: true },
    { id: "orders", title: t("admin.liveOrders"), cell: (user) => user.live_orders, align: "right", secondary: true },
    {
      id: "actions",
      title: t("admin.change"),
      align: "right",
      cell: (user) => (
        <Select
          label={t("admin.actionsOf", { username: user.username })}
          labelHidden
          value="none"
          options={[
            { value: "none" as const, label: t("admin.choose") },
            ...actionsFor(user).map((action) => ({ value: action, label: t(`admin.action.${action}`) })),
          ]}
          onChange={(action) => action !== "none" && ask(user, action)}
        />
      ),
    },
  ];
  return (
    <>
      <div className="shrink-0 border-b p-3">
        <Field label={t("admin.search")} value={search} onChange={(text) => setSearch(searchable(text))} type="search" autoComplete="off" className="max-w-sm" />
      </div>
      <Loaded query={query}>
        {({ pages }) => (
          <DataTable
            label={t("admin.users")}
            columns={columns}
            rows={pages.flatMap((page) => page.items)}
            keyOf={(user) => user.account_id}
            empty={t("admin.noUsers")}
            after={<More query={query} />}
          />
        )}
      </Loaded>
      {pending && <ActionDialog pending={pending} onClose={() => setPending(null)} />}
    </>
  );
}
