import { toast } from "sonner";

import type { SessionInfo } from "@/api/types";
import { errorText } from "@/state/errors";
import { useEndOtherSessions, useEndSession, useSessions } from "@/state/security";
import { Badge } from "@/ui/Badge";
import { Button } from "@/ui/Button";
import { DataTable, type Column } from "@/ui/DataTable";
import { Loaded } from "@/ui/Loaded";
import { Panel } from "@/ui/Panel";
import { displayDateTime, t } from "@/ui/text";

import { deviceName } from "./device";
import { Labelled } from "./Labelled";

const deviceOf = (session: SessionInfo): string => deviceName(session.user_agent) || t("security.sessions.unknown");

const COLUMNS: readonly Column<SessionInfo>[] = [
  {
    id: "device",
    title: t("security.sessions.device"),
    cell: (session) => (
      <Labelled
        text={deviceOf(session)}
        under={session.address || t("security.sessions.unknown")}
        badge={session.current && <Badge tone="good">{t("security.sessions.here")}</Badge>}
      />
    ),
  },
  { id: "used", title: t("security.sessions.used"), cell: (session) => displayDateTime(session.last_used_at) },
  { id: "begun", title: t("security.sessions.begun"), cell: (session) => displayDateTime(session.created_at), secondary: true },
  { id: "end", title: t("security.sessions.end"), align: "right", cell: (session) => !session.current && <EndSession session={session} /> },
];

function EndSession({ session }: { readonly session: SessionInfo }) {
  const end = useEndSession();
  const press = (): void =>
    end.mutate(session.session_id, {
      onSuccess: () => toast.success(t("security.sessions.ended")),
      onError: (error) => toast.error(errorText(error)),
    });
  return (
    <Button size="small" aria-label={t("security.sessions.endOne", { device: deviceOf(session) })} disabled={end.isPending} onClick={press}>
      {t("security.sessions.end")}
    </Button>
  );
}

/** Where the account is signed in, and the end of it. */
export function Sessions() {
  const query = useSessions();
  const endOthers = useEndOtherSessions();
  const press = (): void =>
    endOthers.mutate(undefined, {
      onSuccess: ({ sessions_ended: count }) => toast.success(t("security.sessions.endedOthers", { count })),
      onError: (error) => toast.error(errorText(error)),
    });
  const alone = !query.data?.some((session) => !session.current);
  const end = (
    <Button size="small" disabled={alone || endOthers.isPending} onClick={press}>
      {t("security.sessions.endOthers")}
    </Button>
  );
  return (
    <Panel title={t("security.sessions.title")} end={end} className="max-h-96 min-h-32 shrink-0 rounded-lg border">
      <Loaded query={query}>
        {(sessions) => <DataTable label={t("security.sessions.list")} columns={COLUMNS} rows={sessions} keyOf={(session) => session.session_id} empty="" />}
      </Loaded>
    </Panel>
  );
}
