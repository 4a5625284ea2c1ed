import { createRootRoute, createRoute, createRouter, type RouterHistory } from "@tanstack/react-router";

import { AdminPage } from "./AdminPage";
import { Broken } from "./ErrorBoundary";
import { HomePage } from "./HomePage";
import { Layout } from "./Layout";
import { NotFoundPage } from "./NotFoundPage";
import { PortfolioPage } from "./PortfolioPage";
import { SecurityPage } from "./SecurityPage";
import { SessionPage } from "./SessionPage";
import { TradingPage } from "./TradingPage";

const root = createRootRoute({ component: Layout, notFoundComponent: NotFoundPage, errorComponent: Broken });

const home = createRoute({ getParentRoute: () => root, path: "/", component: HomePage });
const trade = createRoute({
  getParentRoute: () => root,
  path: "/trade/$symbol",
  component: function TradeRoute() {
    return <TradingPage path={trade.useParams().symbol} />;
  },
});
const portfolio = createRoute({ getParentRoute: () => root, path: "/portfolio", component: PortfolioPage });
const security = createRoute({ getParentRoute: () => root, path: "/security", component: SecurityPage });
const admin = createRoute({ getParentRoute: () => root, path: "/admin", component: AdminPage });
const login = createRoute({ getParentRoute: () => root, path: "/login", component: () => <SessionPage mode="login" /> });
const register = createRoute({ getParentRoute: () => root, path: "/register", component: () => <SessionPage mode="register" /> });

const routeTree = root.addChildren([home, trade, portfolio, security, admin, login, register]);

/** The pages by their addresses. */
export function makeRouter(history?: RouterHistory) {
  return createRouter({ routeTree, ...(history ? { history } : {}) });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
