import { useSyncExternalStore } from "react";

import { Button } from "./Button";
import { Icon } from "./Icon";
import { t } from "./text";
import { chooseTheme, currentTheme, themeChanges } from "./theme";

const subscribe = (listener: () => void): (() => void) => themeChanges.onChange(listener);

export function ThemeToggle() {
  const dark = useSyncExternalStore(subscribe, currentTheme) === "dark";
  const label = dark ? t("app.themeLight") : t("app.themeDark");
  return (
    <Button kind="quiet" aria-label={label} title={label} onClick={() => chooseTheme(dark ? "light" : "dark")}>
      <Icon name={dark ? "sun" : "moon"} />
    </Button>
  );
}
