import type { ReactNode } from "react";

/** A titled area of the page. */
export function Panel({ title, titleHidden = false, end, children, className = "" }: {
  readonly title: string;
  readonly titleHidden?: boolean;
  readonly end?: ReactNode;
  readonly children: ReactNode;
  readonly className?: string;
}) {
  return (
    <section aria-label={title} className={`flex min-h-0 min-w-0 flex-col overflow-hidden bg-panel ${className}`}>
      {!titleHidden && (
        <header className="flex h-10 shrink-0 items-center justify-between border-b px-3">
          <h2 className="font-semibold">{title}</h2>
          {end}
        </header>
      )}
      {children}
    </section>
  );
}
