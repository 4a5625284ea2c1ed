import { useEffect } from "react";

import { ApiKeys } from "@/features/security/ApiKeys";
import { KillSwitch } from "@/features/security/KillSwitch";
import { SecondFactor } from "@/features/security/SecondFactor";
import { Sessions } from "@/features/security/Sessions";
import { useUser } from "@/state/exchange";
import { t } from "@/ui/text";

import { SignedOut } from "./SignedOut";

/** Who and what may use the account, and the end of it. */
export function SecurityPage() {
  const user = useUser();
  useEffect(() => {
    document.title = `${t("security.title")} · ${t("app.name")}`;
  }, []);
  if (!user) return <SignedOut>{t("security.signIn")}</SignedOut>;
  return (
    <div className="mx-auto flex min-h-0 w-full max-w-5xl flex-1 flex-col gap-3 overflow-y-auto p-2 sm:p-4">
      <h1 className="sr-only">{t("security.title")}</h1>
      <div className="grid shrink-0 gap-3 md:grid-cols-[3fr_2fr]">
        <SecondFactor />
        <KillSwitch />
      </div>
      <Sessions />
      <ApiKeys />
    </div>
  );
}
