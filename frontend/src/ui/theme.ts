export type Theme = "dark" | "light";

const STORAGE_KEY = "exchange.theme";
const listeners = new Set<() => void>();
const systemPrefersLight = (): MediaQueryList => window.matchMedia("(prefers-color-scheme: light)");

function chosen(): Theme | null {
  const stored = localStorage.getItem(STORAGE_KEY);
  return stored === "dark" || stored === "light" ? stored : null;
}

/** The theme in use: what the person chose, or what the system prefers. */
export function currentTheme(): Theme {
  return chosen() ?? (systemPrefersLight().matches ? "light" : "dark");
}

function apply(): void {
  document.documentElement.dataset.theme = currentTheme();
  for (const listener of listeners) listener();
}

/** Choose a theme and keep the choice. */
export function chooseTheme(theme: Theme): void {
  localStorage.setItem(STORAGE_KEY, theme);
  apply();
}

/** Put the theme on the page and follow the system from now on. */
export function startTheme(): void {
  systemPrefersLight().addEventListener("change", apply);
  apply();
}

export const themeChanges = {
  onChange(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};
