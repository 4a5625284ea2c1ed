import type { ReactNode } from "react";

/** Something that was refused or went wrong, told at once. */
export function Alert({ children }: { readonly children: ReactNode }) {
  return (
    <div role="alert" className="rounded-md bg-sell-soft px-3 py-2 text-sell">
      {children}
    </div>
  );
}
