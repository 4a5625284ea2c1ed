import { useState } from "react";

import { Button } from "./Button";
import { t } from "./text";

/** Something to be copied, such as a secret that is shown once; one press selects it where it cannot be copied for you. */
export function Secret({ label, text }: { readonly label: string; readonly text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = (): void => void navigator.clipboard.writeText(text).then(() => setCopied(true), () => setCopied(false));
  return (
    <div>
      <p className="mb-1 text-xs text-muted">{label}</p>
      <div className="flex items-start gap-2">
        <code aria-label={label} className="min-w-0 flex-1 rounded-md border bg-page px-2.5 py-2 break-all whitespace-pre-line select-all">
          {text}
        </code>
        {"clipboard" in navigator && (
          <Button onClick={copy} aria-live="polite">
            {copied ? t("app.copied") : t("app.copy")}
          </Button>
        )}
      </div>
    </div>
  );
}
