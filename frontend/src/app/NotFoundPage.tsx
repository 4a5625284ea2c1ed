import { Link } from "@tanstack/react-router";
import { useEffect } from "react";

import { t } from "@/ui/text";

export function NotFoundPage() {
  useEffect(() => {
    document.title = `${t("app.notFoundTitle")} · ${t("app.name")}`;
  }, []);
  return (
    <div className="flex flex-1 flex-col items-center justify-center gap-3 p-6 text-center">
      <p aria-hidden="true" className="text-6xl font-semibold text-muted">
        404
      </p>
      <h1 className="text-xl font-semibold">{t("app.notFoundTitle")}</h1>
      <p className="text-muted">{t("app.notFoundText")}</p>
      <Link to="/" className="mt-2 rounded-md bg-accent px-4 py-2 font-semibold text-on-accent">
        {t("app.notFoundBack")}
      </Link>
    </div>
  );
}
