import { Navigate } from "@tanstack/react-router";

import { pathOf, useMarkets } from "@/state/markets";
import { usePreferences } from "@/state/preferences";
import { Empty } from "@/ui/DataTable";
import { Loaded } from "@/ui/Loaded";
import { t } from "@/ui/text";

/** The way in: to the market looked at last, or to the first. */
export function HomePage() {
  const query = useMarkets();
  const remembered = usePreferences((preferences) => preferences.symbol);
  return (
    <Loaded query={query}>
      {(markets) => {
        const market = markets.find(({ symbol }) => symbol === remembered) ?? markets[0];
        if (!market) return <Empty>{t("market.none")}</Empty>;
        return <Navigate to="/trade/$symbol" params={{ symbol: pathOf(market.symbol) }} replace />;
      }}
    </Loaded>
  );
}
