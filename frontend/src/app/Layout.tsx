import { Link, Outlet, useLocation } from "@tanstack/react-router";
import { toast } from "sonner";

import type { Fill } from "@/api/types";
import { AccountMenu } from "@/features/session/AccountMenu";
import { ConnectionStatus } from "@/features/session/ConnectionStatus";
import { displayDecimal } from "@/market/decimal";
import { useAccountStream } from "@/state/account";
import { useIsAdmin } from "@/state/admin";
import { Icon } from "@/ui/Icon";
import { t } from "@/ui/text";
import { ThemeToggle } from "@/ui/ThemeToggle";

const NAV_LINK = "rounded-md px-1.5 py-1.5 text-muted sm:px-2.5 hover:text-text [&.active]:bg-raised [&.active]:text-text data-[active=true]:bg-raised data-[active=true]:text-text";

/** What surrounds every page: name, pages, connection, theme, account. */
export function Layout() {
  useAccountStream(announce);
  const isAdmin = useIsAdmin();
  const trading = useLocation().pathname.startsWith("/trade");
  return (
    <div className="flex h-full flex-col">
      <a href="#content" className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-panel focus:p-3">
        {t("app.skip")}
      </a>
      <header className="flex h-12 shrink-0 items-center gap-1 border-b bg-panel px-2 sm:gap-3 sm:px-3">
        <Link to="/" className="flex items-center gap-2 font-semibold">
          <span className="flex size-7 items-center justify-center rounded-md bg-accent text-on-accent">
            <Icon name="swap" size={18} />
          </span>
          <span className="sr-only text-base sm:not-sr-only">{t("app.name")}</span>
        </Link>
        <nav className="flex min-w-0 flex-1 gap-0.5 overflow-x-auto [scrollbar-width:none]">
          <Link to="/" className={NAV_LINK} data-active={trading}>
            {t("app.trade")}
          </Link>
          <Link to="/portfolio" className={NAV_LINK}>
            {t("app.portfolio")}
          </Link>
          {isAdmin && (
            <Link to="/admin" className={NAV_LINK}>
              {t("admin.title")}
            </Link>
          )}
          <a href="/swagger-ui" className={`${NAV_LINK} hidden sm:inline`}>
            {t("app.apiDocs")}
          </a>
        </nav>
        <ConnectionStatus />
        <ThemeToggle />
        <AccountMenu />
      </header>
      <main id="content" className="flex min-h-0 flex-1 flex-col">
        <Outlet />
      </main>
    </div>
  );
}

/** A resting order of ours has traded: nobody was waiting for it, so it is told. */
function announce(fill: Fill): void {
  if (fill.liquidity !== "Maker") return;
  const side = fill.side === "Buy" ? t("ticket.bought") : t("ticket.sold");
  const asset = fill.symbol.split("/")[0] ?? "";
  toast.success(t("ticket.filled", { side, quantity: displayDecimal(fill.quantity, 0), asset, price: displayDecimal(fill.price) }));
}
