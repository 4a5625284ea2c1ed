/**
 * The palette and type of the application. Colours are CSS variables (src/ui/theme.css) so that the dark and the light theme
 * share every class name.
 * @type {import("tailwindcss").Config}
 */
const colour = (name) => `var(--${name})`;
const names = ["page", "panel", "raised", "chosen", "line", "text", "muted", "accent", "on-accent", "buy", "sell", "buy-soft", "sell-soft", "warn"];

export default {
  content: ["./index.html", "./src/**/*.{ts,tsx}"],
  theme: {
    extend: {
      colors: Object.fromEntries(names.map((name) => [name, colour(name)])),
      fontFamily: { sans: ["Inter", "system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"] },
    },
  },
};
