import { useState } from "react";
import { toast } from "sonner";

import { errorText } from "@/state/errors";
import { useKillSwitch } from "@/state/security";
import { Alert } from "@/ui/Alert";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Panel } from "@/ui/Panel";
import { t } from "@/ui/text";

/** Everything that could trade for the account is stopped, once it was asked twice. */
export function KillSwitch() {
  const [asking, setAsking] = useState(false);
  return (
    <Panel title={t("security.kill.title")} className="shrink-0 rounded-lg border">
      <div className="flex flex-1 flex-col items-start gap-3 p-3">
        <p className="text-muted">{t("security.kill.text")}</p>
        <Button kind="sell" onClick={() => setAsking(true)}>
          {t("security.kill.pull")}
        </Button>
      </div>
      {asking && <Question onClose={() => setAsking(false)} />}
    </Panel>
  );
}

function Question({ onClose }: { readonly onClose: () => void }) {
  const kill = useKillSwitch();
  const press = (): void =>
    kill.mutate(undefined, {
      onSuccess: ({ keys_revoked: keys, sessions_ended: sessions, orders_cancelled: orders }) => {
        toast.success(t("security.kill.done", { keys, sessions, orders }));
        onClose();
      },
    });
  return (
    <Dialog title={t("security.kill.ask")} onClose={onClose} kept={kill.isPending}>
      <p>{t("security.kill.askText")}</p>
      {kill.isError && <Alert>{errorText(kill.error)}</Alert>}
      <div className="flex justify-end gap-2">
        <Button disabled={kill.isPending} onClick={onClose}>
          {t("security.cancel")}
        </Button>
        <Button kind="sell" disabled={kill.isPending} onClick={press}>
          {t("security.kill.pull")}
        </Button>
      </div>
    </Dialog>
  );
}
