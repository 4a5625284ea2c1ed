import { Component, type ReactNode } from "react";

import { Button } from "@/ui/Button";
import { t } from "@/ui/text";

/** A defect in the page is told in words, not by a blank page. */
export class ErrorBoundary extends Component<{ readonly children: ReactNode }, { readonly broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError(): { broken: boolean } {
    return { broken: true };
  }

  override render(): ReactNode {
    return this.state.broken ? <Broken /> : this.props.children;
  }
}

export function Broken() {
  return (
    <main role="alert" className="flex h-full flex-col items-center justify-center gap-4 p-6 text-center">
      <h1 className="text-xl font-semibold">{t("app.brokenTitle")}</h1>
      <p className="text-muted">{t("app.brokenText")}</p>
      <Button kind="primary" onClick={() => window.location.reload()}>
        {t("app.reload")}
      </Button>
    </main>
  );
}
