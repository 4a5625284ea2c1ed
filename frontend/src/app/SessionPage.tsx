import { Navigate, useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";

import { SessionForm } from "@/features/session/SessionForm";
import { useUser } from "@/state/exchange";
import { t } from "@/ui/text";

/** Signing in and creating an account. */
export function SessionPage({ mode }: { readonly mode: "login" | "register" }) {
  const navigate = useNavigate();
  const user = useUser();
  const title = mode === "login" ? t("session.signIn") : t("session.createAccount");
  useEffect(() => {
    document.title = `${title} · ${t("app.name")}`;
  }, [title]);
  if (user) return <Navigate to="/" replace />;
  return (
    <div className="flex flex-1 items-start justify-center overflow-y-auto p-4 sm:items-center">
      <div className="w-full max-w-sm rounded-xl border bg-panel p-6">
        <SessionForm key={mode} mode={mode} onDone={() => void navigate({ to: "/" })} />
      </div>
    </div>
  );
}
