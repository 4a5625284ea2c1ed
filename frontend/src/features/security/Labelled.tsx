import type { ReactNode } from "react";

/** A name with what belongs to it in small type below. */
export function Labelled({ text, under, badge }: { readonly text: string; readonly under: string; readonly badge?: ReactNode }) {
  return (
    <span className="block max-w-56 py-1">
      <span className="flex items-center gap-2">
        <span className="truncate font-medium" title={text}>
          {text}
        </span>
        {badge}
      </span>
      <span className="block truncate text-xs text-muted" title={under}>
        {under}
      </span>
    </span>
  );
}
