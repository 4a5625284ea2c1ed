import { useId } from "react";

interface Option<T extends string> {
  readonly value: T;
  readonly label: string;
  /** Classes of the option while it is chosen. */
  readonly chosen?: string;
}

/** One of a few, side by side: radio buttons that look like a switch. */
export function Choice<T extends string>({ label, options, value, onChange }: {
  readonly label: string;
  readonly options: readonly Option<T>[];
  readonly value: T;
  readonly onChange: (value: T) => void;
}) {
  const name = useId();
  return (
    <fieldset className="min-w-0">
      <legend className="sr-only">{label}</legend>
      <div className="flex gap-0.5 rounded-md bg-page p-0.5">
        {options.map((option) => (
          <label
            key={option.value}
            className={`relative flex-1 rounded px-2.5 py-1.5 text-center has-focus-visible:outline-2 has-focus-visible:outline-accent ${
              value === option.value ? (option.chosen ?? "bg-chosen text-text shadow-sm") : "text-muted hover:text-text"
            }`}
          >
            <input
              type="radio"
              name={name}
              value={option.value}
              checked={value === option.value}
              onChange={() => onChange(option.value)}
              className="absolute inset-0 cursor-pointer opacity-0"
            />
            {option.label}
          </label>
        ))}
      </div>
    </fieldset>
  );
}
