import { useId } from "react";

/** A labelled input of several lines, for text that is pasted as it is. */
export function TextArea({ label, value, onChange, hint, error, placeholder }: {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly hint: string;
  readonly error: string | null;
  readonly placeholder: string;
}) {
  const id = useId();
  return (
    <div>
      <label htmlFor={id} className="mb-1 block text-xs text-muted">
        {label}
      </label>
      <textarea
        id={id}
        value={value}
        rows={4}
        spellCheck={false}
        autoComplete="off"
        placeholder={placeholder}
        onChange={(event) => onChange(event.target.value)}
        aria-invalid={error ? true : undefined}
        aria-describedby={`${id}-about`}
        className={`block w-full resize-y rounded-md border bg-page px-2.5 py-2 font-mono text-xs outline-none placeholder:text-muted/60 ${error ? "border-sell" : "focus:border-accent"}`}
      />
      <p id={`${id}-about`} role={error ? "alert" : undefined} className={`mt-1 text-xs ${error ? "text-sell" : "text-muted"}`}>
        {error ?? hint}
      </p>
    </div>
  );
}
