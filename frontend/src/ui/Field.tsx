import { useId, type InputHTMLAttributes, type ReactNode } from "react";

interface Props extends Omit<InputHTMLAttributes<HTMLInputElement>, "onChange" | "value"> {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  /** Shown at the right end of the input: a unit or a small button. */
  readonly suffix?: ReactNode;
  readonly hint?: string | undefined;
  readonly error?: ReactNode;
}

/** A labelled input with its hint and its error, tied together for screen readers. */
export function Field({ label, value, onChange, suffix, hint, error, className = "", ...rest }: Props) {
  const id = useId();
  const described = error ? `${id}-error` : hint ? `${id}-hint` : undefined;
  const border = error ? "border-sell" : "focus-within:border-accent";
  return (
    <div className={className}>
      <label htmlFor={id} className="mb-1 block text-xs text-muted">
        {label}
      </label>
      <div className={`flex h-9 items-center rounded-md border bg-page ${border}`}>
        <input
          id={id}
          value={value}
          onChange={(event) => onChange(event.target.value)}
          aria-invalid={error ? true : undefined}
          aria-describedby={described}
          className="h-full w-full min-w-0 bg-transparent px-2.5 text-sm outline-none placeholder:text-muted/60"
          {...rest}
        />
        {suffix && <span className="pr-2.5 text-xs text-muted">{suffix}</span>}
      </div>
      {error ? (
        <div id={`${id}-error`} role="alert" className="mt-1 text-xs text-sell">
          {error}
        </div>
      ) : (
        hint && (
          <p id={`${id}-hint`} className="mt-1 text-xs text-muted">
            {hint}
          </p>
        )
      )}
    </div>
  );
}
