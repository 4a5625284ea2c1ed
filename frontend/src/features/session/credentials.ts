import { t } from "@/ui/text";

const USERNAME = /^[a-z0-9_.-]{3,32}$/;
const PASSWORD_MIN = 10;
const PASSWORD_MAX = 128;

/** Why a new username would be refused, or null. Letter case does not matter: the exchange folds it. */
export function usernameFault(username: string): string | null {
  return USERNAME.test(username.toLowerCase()) ? null : t("session.usernameInvalid");
}

/** Why a new password would be refused, or null. */
export function passwordFault(password: string): string | null {
  const length = Array.from(password).length;
  if (length < PASSWORD_MIN) return t("session.passwordShort", { count: PASSWORD_MIN, length });
  return length > PASSWORD_MAX ? t("session.passwordLong", { count: PASSWORD_MAX }) : null;
}
