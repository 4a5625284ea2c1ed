/** Exact decimals: `units / 10**scale`. Money and prices never become a floating-point number. */
export interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

export const ZERO: Decimal = { units: 0n, scale: 0 };

const DECIMAL = /^(-?)(\d*)(?:\.(\d*))?$/;

/** The decimal that a text such as "50000.00", ".5" or "-0.0123" states, or null where it states none. */
export function parseDecimal(text: string): Decimal | null {
  const match = DECIMAL.exec(text.trim());
  if (!match) return null;
  const [, sign = "", whole = "", fraction = ""] = match;
  if (whole + fraction === "") return null;
  const units = BigInt(whole + fraction);
  return { units: sign ? -units : units, scale: fraction.length };
}

/** Like `parseDecimal` for texts that the exchange itself sent. Throws RangeError where the text is no decimal. */
export function decimal(text: string): Decimal {
  const value = parseDecimal(text);
  if (!value) throw new RangeError(`"${text}" is no decimal`);
  return value;
}

/** Plain text with all `scale` decimals, or with trailing zeros dropped down to `decimalsMin`. */
export function formatDecimal({ units, scale }: Decimal, decimalsMin = scale): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, "0");
  const whole = digits.slice(0, digits.length - scale);
  let fraction = digits.slice(digits.length - scale);
  while (fraction.length > decimalsMin && fraction.endsWith("0")) fraction = fraction.slice(0, -1);
  return (units < 0n ? "-" : "") + whole + (fraction ? `.${fraction}` : "");
}

/** "1234567.5" -> "1,234,567.5". */
export function groupThousands(text: string): string {
  const [whole = "", fraction] = text.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** A text from the exchange for people: grouped, with `decimalsMin` decimals or as many as it needs, "–" for null. */
export function displayDecimal(text: string | null | undefined, decimalsMin = 2): string {
  if (text == null) return "–";
  const value = parseDecimal(text);
  return value ? display(value, decimalsMin) : text;
}

/** A value for people: grouped, with `decimalsMin` decimals or as many as it needs. */
export function display(value: Decimal, decimalsMin = 2): string {
  const scale = Math.max(decimalsMin, value.scale);
  return groupThousands(formatDecimal({ units: atScale(value, scale), scale }, decimalsMin));
}

/** The same value at a scale that is not smaller than its own. */
function atScale(value: Decimal, scale: number): bigint {
  return value.units * 10n ** BigInt(scale - value.scale);
}

export function compare(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const difference = atScale(a, scale) - atScale(b, scale);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

export function add(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return { units: atScale(a, scale) + atScale(b, scale), scale };
}

export function multiply(a: Decimal, b: Decimal): Decimal {
  return { units: a.units * b.units, scale: a.scale + b.scale };
}

/** How many whole times `divisor` (> 0) fits into `value` (>= 0), and whether nothing is left over. */
export function divide(value: Decimal, divisor: Decimal): { quotient: bigint; exact: boolean } {
  const scale = Math.max(value.scale, divisor.scale);
  const dividend = atScale(value, scale);
  const by = atScale(divisor, scale);
  return { quotient: dividend / by, exact: dividend % by === 0n };
}

/** "-0.0123" -> "-1.23 %": a ratio as a percentage with two decimals, rounded half away from zero. */
export function formatRatio(text: string | null | undefined): string {
  const ratio = text == null ? null : parseDecimal(text);
  if (!ratio) return "–";
  const magnitude = ratio.units < 0n ? -ratio.units : ratio.units;
  const hundredths = (magnitude * 20_000n + 10n ** BigInt(ratio.scale)) / (2n * 10n ** BigInt(ratio.scale));
  const sign = hundredths === 0n ? "" : ratio.units < 0n ? "−" : "+";
  return `${sign}${formatDecimal({ units: hundredths, scale: 2 })} %`;
}

/** "0.001" -> "0.1 %": a ratio as an exact percentage. */
export function formatPercent(text: string): string {
  return `${formatDecimal(multiply(decimal(text), { units: 100n, scale: 0 }), 0)} %`;
}
