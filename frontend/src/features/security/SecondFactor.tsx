import { QRCodeSVG } from "qrcode.react";
import { useState, type ReactNode, type SyntheticEvent } from "react";
import { toast } from "sonner";

import type { SecondFactor as State } from "@/api/types";
import { errorText, refusalOf } from "@/state/errors";
import { useConfirm, useDisable, useEnrol, useSecondFactor } from "@/state/security";
import { Alert } from "@/ui/Alert";
import { Badge } from "@/ui/Badge";
import { Button } from "@/ui/Button";
import { Field } from "@/ui/Field";
import { Loaded } from "@/ui/Loaded";
import { Panel } from "@/ui/Panel";
import { Secret } from "@/ui/Secret";
import { displayDateTime, t } from "@/ui/text";

/** Whether signing in asks for a code, and the way there and back. */
export function SecondFactor() {
  const query = useSecondFactor();
  const confirm = useConfirm(); // here, since its answer is shown when what asked is gone
  const enabled = query.data?.enabled;
  const end = enabled !== undefined && (enabled ? <Badge tone="good">{t("security.factor.on")}</Badge> : <Badge tone="warn">{t("security.factor.off")}</Badge>);
  return (
    <Panel title={t("security.factor.title")} end={end} className="shrink-0 rounded-lg border">
      <div className="flex flex-1 flex-col gap-3 p-3">
        {confirm.data ? (
          <Recovery codes={confirm.data.recovery_codes} onKept={confirm.reset} />
        ) : (
          <Loaded query={query}>{(state) => (state.enabled ? <TurnOff state={state} /> : <SetUp confirm={confirm} />)}</Loaded>
        )}
      </div>
    </Panel>
  );
}

function SetUp({ confirm }: { readonly confirm: ReturnType<typeof useConfirm> }) {
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const enrol = useEnrol();
  if (!enrol.data) {
    return (
      <>
        <p className="text-muted">{t("security.factor.offText")}</p>
        <Form label={t("security.factor.setUp")} ready={password !== ""} busy={enrol.isPending} error={enrol.error} onSubmit={() => enrol.mutate(password)}>
          <Password value={password} onChange={setPassword} error={enrol.error} />
        </Form>
      </>
    );
  }
  const { secret, otpauth_uri: uri } = enrol.data;
  const turnOn = (): void => confirm.mutate(code.trim(), { onSuccess: () => void toast.success(t("security.factor.isOn")) });
  return (
    <>
      <p className="text-muted">{t("security.factor.scan")}</p>
      <div className="flex flex-wrap items-start gap-4">
        <QRCodeSVG value={uri} size={160} marginSize={4} title={t("security.factor.qrCode")} className="shrink-0 rounded-md" />
        <div className="flex min-w-48 flex-1 flex-col gap-3">
          <Secret label={t("security.factor.secret")} text={secret} />
          <Form label={t("security.factor.turnOn")} ready={code.trim() !== ""} busy={confirm.isPending} error={confirm.error} onSubmit={turnOn}>
            <Code label={t("security.factor.code")} value={code} onChange={setCode} error={confirm.error} />
          </Form>
        </div>
      </div>
    </>
  );
}

function TurnOff({ state }: { readonly state: State }) {
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const disable = useDisable();
  const turnOff = (): void =>
    disable.mutate({ password, code: code.trim() }, { onSuccess: () => void toast.success(t("security.factor.isOff")) });
  return (
    <>
      <p className="text-muted">
        {t("security.factor.onText", { since: displayDateTime(state.enabled_at ?? "") })} {t("security.factor.left", { count: state.recovery_codes_left })}
      </p>
      <Form
        label={t("security.factor.turnOff")}
        ready={password !== "" && code.trim() !== ""}
        busy={disable.isPending}
        error={disable.error}
        onSubmit={turnOff}
      >
        <Password value={password} onChange={setPassword} error={disable.error} />
        <Code label={t("session.code")} hint={t("session.codeHint")} value={code} onChange={setCode} error={disable.error} />
      </Form>
    </>
  );
}

function Recovery({ codes, onKept }: { readonly codes: readonly string[]; readonly onKept: () => void }) {
  return (
    <>
      <p className="text-muted">{t("security.factor.recoveryText")}</p>
      <Secret label={t("security.factor.recovery")} text={codes.join("\n")} />
      <Button kind="primary" className="self-start" onClick={onKept}>
        {t("security.factor.kept")}
      </Button>
    </>
  );
}

/** Refusals that a field explains; others stand under the form. */
const PASSWORD_REASON = "CREDENTIALS_INVALID";
const CODE_REASON = "SECOND_FACTOR_INVALID";

const isAbout = (error: unknown, reason: string, field: string): boolean => {
  const refusal = refusalOf(error);
  return refusal?.reason === reason || (refusal?.reason === "FIELD_INVALID" && refusal.field === field);
};
const isAboutCode = (error: unknown): boolean => isAbout(error, CODE_REASON, "code");
const isAboutPassword = (error: unknown): boolean => isAbout(error, PASSWORD_REASON, "password");

function Form({ label, ready, busy, error, onSubmit, children }: {
  readonly label: string;
  readonly ready: boolean;
  readonly busy: boolean;
  readonly error: unknown;
  readonly onSubmit: () => void;
  readonly children: ReactNode;
}) {
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (ready) onSubmit();
  };
  const explained = isAboutCode(error) || isAboutPassword(error);
  return (
    <form aria-label={label} onSubmit={submit} noValidate className="flex max-w-sm flex-col gap-3">
      {children}
      {error !== null && !explained && <Alert>{errorText(error)}</Alert>}
      <Button type="submit" kind="primary" className="self-start" disabled={!ready || busy}>
        {label}
      </Button>
    </form>
  );
}

interface InputProps {
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly error: unknown;
}

function Password({ error, ...rest }: InputProps) {
  return (
    <Field
      label={t("session.password")}
      type="password"
      autoComplete="current-password"
      error={isAboutPassword(error) && t("security.passwordWrong")}
      {...rest}
    />
  );
}

function Code({ label, hint, error, ...rest }: InputProps & { readonly label: string; readonly hint?: string }) {
  return (
    <Field
      label={label}
      hint={hint}
      autoComplete="one-time-code"
      autoCapitalize="none"
      spellCheck={false}
      maxLength={32}
      error={isAboutCode(error) && errorText(error)}
      {...rest}
    />
  );
}
