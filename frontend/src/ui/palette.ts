import { themeChanges } from "./theme";

const NAMES = ["page", "panel", "raised", "line", "text", "muted", "accent", "buy", "sell", "buy-soft", "sell-soft"] as const;

/** The colours of the theme for what is not styled by CSS: canvases and the chart. */
export type Palette = Record<(typeof NAMES)[number], string> & { readonly font: string };

let held: Palette | null = null;
themeChanges.onChange(() => {
  held = null;
});

export function palette(): Palette {
  if (held) return held;
  const style = getComputedStyle(document.documentElement);
  const colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  held = { ...colours, font: getComputedStyle(document.body).fontFamily } as Palette;
  return held;
}
