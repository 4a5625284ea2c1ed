import { useState } from "react";

import type { AdminMarket, MarketMode } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import { useAdminMarkets } from "@/state/admin";
import { DataTable, type Column } from "@/ui/DataTable";
import { Loaded } from "@/ui/Loaded";
import { Select } from "@/ui/Select";
import { displayDateTime, t } from "@/ui/text";

import { ActionDialog, type Pending } from "./ActionDialog";
import { Badge } from "@/ui/Badge";

const MODES: readonly MarketMode[] = ["Open", "CancelOnly", "PostOnly", "Halted", "Auction"];
const TONES = { Open: "good", CancelOnly: "warn", PostOnly: "warn", Auction: "warn", Halted: "bad" } as const;

/** Every market with its terms, and what it lets happen, which can be changed here. */
export function AdminMarkets() {
  const query = useAdminMarkets();
  const [pending, setPending] = useState<Pending | null>(null);
  const ask = (market: AdminMarket, mode: MarketMode): void =>
    setPending({
      title: t("admin.setMode", { symbol: market.symbol, mode: t(`admin.${mode}`) }),
      reason: "optional",
      action: (reason) => ({ kind: "mode", symbol: market.symbol, mode, reason }),
    });
  const columns: readonly Column<AdminMarket>[] = [
    { id: "symbol", title: t("orders.market"), cell: (market) => <span className="font-medium">{market.symbol}</span> },
    { id: "state", title: t("admin.state"), cell: (market) => <Badge tone={TONES[market.mode]}>{t(`admin.${market.mode}`)}</Badge> },
    {
      id: "mode",
      title: t("admin.change"),
      cell: (market) => (
        <Select
          label={t("admin.modeOf", { symbol: market.symbol })}
          labelHidden
          value={market.mode}
          options={MODES.map((mode) => ({ value: mode, label: t(`admin.${mode}`) }))}
          onChange={(mode) => ask(market, mode)}
        />
      ),
    },
    { id: "last", title: t("market.last"), cell: (market) => (market.last_price ? displayDecimal(market.last_price) : "–"), align: "right" },
    { id: "tick", title: t("admin.tick"), cell: (market) => market.tick_size, align: "right", secondary: true },
    { id: "lot", title: t("admin.lot"), cell: (market) => market.lot_size, align: "right", secondary: true },
    { id: "fees", title: t("admin.fees"), cell: (market) => `${market.maker_fee} / ${market.taker_fee}`, align: "right", secondary: true },
    { id: "band", title: t("admin.band"), cell: (market) => market.price_band?.width ?? "–", align: "right", secondary: true },
    { id: "until", title: t("admin.auctionEnds"), cell: (market) => (market.auction_ends_at ? displayDateTime(market.auction_ends_at) : "–"), align: "right", secondary: true },
  ];
  return (
    <>
      <Loaded query={query}>
        {(markets) => <DataTable label={t("admin.markets")} columns={columns} rows={markets} keyOf={(market) => market.symbol} empty={t("market.none")} />}
      </Loaded>
      {pending && <ActionDialog pending={pending} onClose={() => setPending(null)} />}
    </>
  );
}
