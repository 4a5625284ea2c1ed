import { useId } from "react";

/** A labelled select of the browser's own; the label may be for screen readers only. */
export function Select<T extends string>({ label, labelHidden = false, options, value, onChange, disabled = false }: {
  readonly label: string;
  readonly labelHidden?: boolean;
  readonly options: readonly { readonly value: T; readonly label: string; readonly disabled?: boolean }[];
  readonly value: T;
  readonly onChange: (value: T) => void;
  readonly disabled?: boolean;
}) {
  const id = useId();
  return (
    <div>
      <label htmlFor={id} className={labelHidden ? "sr-only" : "mb-1 block text-xs text-muted"}>
        {label}
      </label>
      <select
        id={id}
        value={value}
        disabled={disabled}
        onChange={(event) => onChange(event.target.value as T)}
        className={`rounded-md border bg-page px-2 text-text disabled:opacity-60 ${labelHidden ? "h-7 text-xs" : "h-9 w-full"}`}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value} disabled={option.disabled}>
            {option.label}
          </option>
        ))}
      </select>
    </div>
  );
}
