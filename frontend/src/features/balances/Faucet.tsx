import { useState } from "react";
import { toast } from "sonner";

import { ProblemError } from "@/api/problems";
import type { Market } from "@/api/types";
import { displayDecimal } from "@/market/decimal";
import { errorText } from "@/state/errors";
import { useMarkets } from "@/state/markets";
import { useFaucet } from "@/state/trading";
import { Button } from "@/ui/Button";
import { Icon } from "@/ui/Icon";
import { Select } from "@/ui/Select";
import { t } from "@/ui/text";

/** A helping of demo money: what people count cash in, or one of anything else. */
const CASH = "USD";
const amountOf = (asset: string): string => (asset === CASH ? "10000" : "1");

function assetsOf(markets: readonly Market[]): string[] {
  const assets = new Set(markets.flatMap(({ quote, base }) => [quote, base]));
  return [...assets].sort((a, b) => Number(b === CASH) - Number(a === CASH));
}

/** Demo money at a click, in the asset that is chosen. */
export function Faucet() {
  const { data: markets = [] } = useMarkets();
  const assets = assetsOf(markets);
  const [asset, setAsset] = useState(CASH);
  const faucet = useFaucet();
  const give = (amount: string): void =>
    faucet.mutate(
      { asset, amount },
      {
        onSuccess: () => toast.success(t("balances.faucetDone", { amount: displayDecimal(amount, 0), asset })),
        onError: (error) => {
          const nearest = error instanceof ProblemError ? error.problem.nearest : null;
          const usable = nearest && !/^0*(\.0*)?$/.test(nearest);
          toast.error(errorText(error), usable ? { action: { label: t("ticket.use", { value: nearest }), onClick: () => give(nearest) } } : {});
        },
      },
    );
  return (
    <div className="flex items-center gap-1.5">
      <Select
        label={t("balances.faucetAsset")}
        labelHidden
        options={assets.map((value) => ({ value, label: value }))}
        value={asset}
        onChange={setAsset}
      />
      <Button size="small" disabled={faucet.isPending || assets.length === 0} onClick={() => give(amountOf(asset))}>
        <Icon name="plus" size={14} />
        {t("balances.faucet")}
      </Button>
    </div>
  );
}
