import { useState, type SyntheticEvent } from "react";
import { toast } from "sonner";

import { useAdminAction, type AdminAction } from "@/state/admin";
import { Alert } from "@/ui/Alert";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Field } from "@/ui/Field";
import { t } from "@/ui/text";

import { detailText } from "./detail";

/** What is about to be done; `reason`: whether the exchange wants to know why, or takes it, or does not ask. */
export interface Pending {
  readonly title: string;
  readonly reason: "required" | "optional" | "none";
  readonly action: (reason: string) => AdminAction;
}

/** Asks once more, and why, before an admin's action is sent. */
export function ActionDialog({ pending, onClose }: { readonly pending: Pending; readonly onClose: () => void }) {
  const [reason, setReason] = useState("");
  const action = useAdminAction();
  const given = reason.trim();
  const missing = pending.reason === "required" && given.length < 3;
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (missing) return;
    action.mutate(pending.action(given), {
      onSuccess: () => {
        toast.success(t("admin.done", { what: pending.title }));
        onClose();
      },
    });
  };
  return (
    <Dialog title={pending.title} onClose={onClose}>
      <form onSubmit={submit} className="flex flex-col gap-4">
        {pending.reason !== "none" && (
          <Field
            label={pending.reason === "required" ? t("admin.reason") : t("admin.reasonOptional")}
            value={reason}
            onChange={setReason}
            maxLength={500}
            hint={t("admin.reasonHint")}
            autoComplete="off"
          />
        )}
        {action.isError && <Alert>{detailText(action.error)}</Alert>}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{t("admin.cancel")}</Button>
          <Button type="submit" kind="primary" disabled={missing || action.isPending}>
            {t("admin.confirm")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
