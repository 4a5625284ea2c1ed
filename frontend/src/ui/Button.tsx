import type { ButtonHTMLAttributes } from "react";

const KINDS = {
  primary: "bg-accent text-on-accent font-semibold hover:brightness-110",
  buy: "bg-buy text-page font-semibold hover:brightness-110",
  sell: "bg-sell text-page font-semibold hover:brightness-110",
  plain: "border bg-raised text-text hover:border-muted",
  quiet: "text-muted hover:text-text",
};

const SIZES = { small: "h-7 px-2 text-xs", medium: "h-9 px-3", large: "h-11 w-full px-4 text-sm" };

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly kind?: keyof typeof KINDS;
  readonly size?: keyof typeof SIZES;
}

export function Button({ kind = "plain", size = "medium", type = "button", className = "", ...rest }: Props) {
  return (
    <button
      type={type}
      className={`inline-flex items-center justify-center gap-1.5 rounded-md whitespace-nowrap transition disabled:opacity-50 ${KINDS[kind]} ${SIZES[size]} ${className}`}
      {...rest}
    />
  );
}
