import { Link } from "@tanstack/react-router";

import { useExchange, useUser } from "@/state/exchange";
import { Button } from "@/ui/Button";
import { Icon } from "@/ui/Icon";
import { t } from "@/ui/text";

/** Who is signed in, the way to what may use the account, and the way out; or the ways in. */
export function AccountMenu() {
  const { keeper } = useExchange();
  const user = useUser();
  if (user) {
    return (
      <div className="flex items-center gap-2">
        <Link to="/security" title={t("security.title")} className="flex items-center gap-1 rounded-md p-1.5 text-muted hover:text-text [&.active]:text-text">
          <Icon name="shield" />
          <span className="sr-only">{t("security.title")}</span>
          <span className="hidden max-w-40 truncate sm:inline">{user.username}</span>
        </Link>
        <Button size="small" onClick={() => keeper.logout()}>
          {t("session.signOut")}
        </Button>
      </div>
    );
  }
  return (
    <div className="flex items-center gap-2">
      <Link to="/login" className="px-2 py-1 text-muted hover:text-text">
        {t("session.signIn")}
      </Link>
      <Link to="/register" className="hidden rounded-md bg-accent px-3 py-1.5 font-semibold text-on-accent hover:brightness-110 sm:inline">
        {t("session.createAccount")}
      </Link>
    </div>
  );
}
