import { Link } from "@tanstack/react-router";
import { useState, type SyntheticEvent } from "react";

import { ProblemError } from "@/api/problems";
import { errorText } from "@/state/errors";
import { useExchange } from "@/state/exchange";
import { Alert } from "@/ui/Alert";
import { Button } from "@/ui/Button";
import { Field } from "@/ui/Field";
import { t } from "@/ui/text";

import { passwordFault, usernameFault } from "./credentials";

/** Sign in, or create an account: the two differ by one word and by the rules that are checked. `onDone` runs once signed in. */
export function SessionForm({ mode, onDone }: { readonly mode: "login" | "register"; readonly onDone: () => void }) {
  const { keeper } = useExchange();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState<string | null>(null); // null: not asked for
  const [shown, setShown] = useState(false);
  const [submitted, setSubmitted] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);

  const registering = mode === "register";
  const faults = registering ? { username: usernameFault(username), password: passwordFault(password) } : { username: null, password: null };
  const field = error instanceof ProblemError ? fieldOf(error) : null;

  const submit = async (event: SyntheticEvent): Promise<void> => {
    event.preventDefault();
    setSubmitted(true);
    if (faults.username ?? faults.password) return;
    setBusy(true);
    setError(null);
    try {
      await (registering ? keeper.register(username, password) : keeper.login(username, password, code?.trim()));
      onDone();
    } catch (refused) {
      if (code === null && asksForCode(refused)) setCode("");
      else setError(refused);
    } finally {
      setBusy(false);
    }
  };
  const faultOf = (name: NamedField): string | null => (field === name ? detailOf(error) : submitted && name !== "code" ? faults[name] : null);
  return (
    <form onSubmit={(event) => void submit(event)} noValidate className="flex flex-col gap-4">
      <h1 className="text-xl font-semibold">{registering ? t("session.registerTitle") : t("session.signInTitle")}</h1>
      <Field
        label={t("session.username")}
        value={username}
        onChange={(name) => {
          setUsername(name);
          setCode(null); // another account may have no second factor
        }}
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        required
        hint={registering ? t("session.usernameHint") : undefined}
        error={faultOf("username")}
      />
      <Field
        label={t("session.password")}
        type={shown ? "text" : "password"}
        value={password}
        onChange={setPassword}
        autoComplete={registering ? "new-password" : "current-password"}
        required
        hint={registering ? t("session.passwordHint") : undefined}
        error={faultOf("password")}
        suffix={
          <button type="button" aria-pressed={shown} onClick={() => setShown(!shown)}>
            {shown ? t("session.hide") : t("session.show")}
          </button>
        }
      />
      {code !== null && (
        <Field
          label={t("session.code")}
          value={code}
          onChange={setCode}
          autoComplete="one-time-code"
          autoCapitalize="none"
          spellCheck={false}
          autoFocus
          required
          maxLength={32}
          hint={t("session.codeHint")}
          error={faultOf("code")}
        />
      )}
      {error !== null && field === null && <Alert>{errorText(error)}</Alert>}
      <Button type="submit" kind="primary" size="large" disabled={busy}>
        {registering ? t("session.createAccount") : t("session.signIn")}
      </Button>
      <p className="text-center text-muted">
        {registering ? t("session.haveAccount") : t("session.newHere")}{" "}
        <Link to={registering ? "/login" : "/register"} className="text-accent hover:underline">
          {registering ? t("session.signIn") : t("session.createAccount")}
        </Link>
      </p>
    </form>
  );
}

type NamedField = "username" | "password" | "code";

/** The password was right, and the account has a second factor. */
const asksForCode = (error: unknown): boolean => error instanceof ProblemError && error.problem.reason === "SECOND_FACTOR_REQUIRED";

function fieldOf({ problem }: ProblemError): NamedField | null {
  if (problem.reason === "USERNAME_TAKEN") return "username";
  return problem.field === "username" || problem.field === "password" || problem.field === "code" ? problem.field : null;
}

/** A refused field is explained by the exchange's own detail: it knows which rule it was. */
function detailOf(error: unknown): string {
  return error instanceof ProblemError && error.problem.reason === "FIELD_INVALID" ? error.problem.detail : errorText(error);
}
