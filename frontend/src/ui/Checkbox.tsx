import type { ReactNode } from "react";

/** A box to tick, with its label at the right. */
export function Checkbox({ checked, onChange, disabled = false, title, children }: {
  readonly checked: boolean;
  readonly onChange: (checked: boolean) => void;
  readonly disabled?: boolean;
  readonly title?: string;
  readonly children: ReactNode;
}) {
  return (
    <label title={title} className="flex min-h-9 items-center gap-2">
      <input
        type="checkbox"
        checked={checked}
        disabled={disabled}
        onChange={(event) => onChange(event.target.checked)}
        className="size-4 shrink-0 accent-accent"
      />
      {children}
    </label>
  );
}
