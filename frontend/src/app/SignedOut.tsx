import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { Empty } from "@/ui/DataTable";
import { t } from "@/ui/text";

/** A page that is for whoever is signed in, before they are: why, and the way there. */
export function SignedOut({ children }: { readonly children: ReactNode }) {
  return (
    <Empty>
      <p>{children}</p>
      <Link to="/login" className="rounded-md bg-accent px-4 py-2 font-semibold text-on-accent">
        {t("session.signIn")}
      </Link>
    </Empty>
  );
}
