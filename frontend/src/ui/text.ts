import i18next from "i18next";

import { en } from "./en";

declare module "i18next" {
  interface CustomTypeOptions {
    resources: { translation: typeof en };
  }
}

void i18next.init({
  lng: "en",
  fallbackLng: "en",
  resources: { en: { translation: en } },
  interpolation: { escapeValue: false }, // React escapes
  initAsync: false,
});

/** The text of a key in the language of the application. */
export const t = i18next.t;

/** Time of day for people, in their own zone: "14:03:59". */
export const displayTime = (at: Date): string => at.toLocaleTimeString(undefined, { hour12: false });

/** Date and time for people: "22 Nov, 14:03:59"; of another year than this one "22 Nov 2031, 14:03:59". */
export function displayDateTime(text: string): string {
  const at = new Date(text);
  const year = at.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return `${at.toLocaleDateString(undefined, { day: "numeric", month: "short", year })}, ${displayTime(at)}`;
}
