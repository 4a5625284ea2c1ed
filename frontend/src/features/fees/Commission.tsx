import type { Commission as CommissionAnswer } from "@/api/types";
import { add, compare, decimal, displayDecimal, divide, formatPercent, multiply, ZERO } from "@/market/decimal";
import { useCommission } from "@/state/account";
import { Loaded } from "@/ui/Loaded";
import { t } from "@/ui/text";

/** The account's tier, what it pays by it, and how far it is to the next one. */
export function Commission() {
  return <Loaded query={useCommission()}>{(commission) => <Fees commission={commission} />}</Loaded>;
}

function Fees({ commission }: { readonly commission: CommissionAnswer }) {
  const { asset, tier, volume_30d: volume, markets } = commission;
  return (
    <div className="flex flex-1 flex-col gap-3 p-3 text-xs">
      <dl className="grid grid-cols-2 gap-x-3 gap-y-1">
        <dt className="text-muted">{t("fees.tier")}</dt>
        <dd className="text-right font-semibold">{tier}</dd>
        <dt className="text-muted">{t("fees.volume")}</dt>
        <dd className="text-right">
          {displayDecimal(volume)} {asset}
        </dd>
      </dl>
      <NextTier commission={commission} />
      <table aria-label={t("fees.title")} className="w-full">
        <thead className="text-muted">
          <tr>
            {[t("fees.market"), t("fees.maker"), t("fees.taker")].map((title, number) => (
              <th key={title} scope="col" className={`font-normal ${number ? "text-right" : "text-left"}`}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {markets.map(({ symbol, maker, taker }) => (
            <tr key={symbol}>
              <td className="py-0.5">{symbol}</td>
              <td className="text-right">{formatPercent(maker)}</td>
              <td className="text-right">{formatPercent(taker)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function NextTier({ commission }: { readonly commission: CommissionAnswer }) {
  const { asset, volume_30d: volume, next_tier: next } = commission;
  if (!next) return <p className="text-muted">{t("fees.highest")}</p>;
  const share = { maker: formatPercent(next.maker_share), taker: formatPercent(next.taker_share) };
  return (
    <div>
      <progress
        aria-label={t("fees.progress")}
        max={100}
        value={percentOf(volume, next.missing)}
        className="mb-1.5 block h-1 w-full overflow-hidden rounded bg-raised accent-accent [&::-webkit-progress-bar]:bg-raised [&::-webkit-progress-value]:bg-accent"
      />
      <p className="text-muted">
        {t("fees.missing", { amount: displayDecimal(next.missing), asset, ...share })} {t("fees.hourly")}
      </p>
    </div>
  );
}

/** How much of the way is gone, in whole percents: for the width of a bar. */
function percentOf(volume: string, missing: string): number {
  const gone = decimal(volume);
  const all = add(gone, decimal(missing));
  if (compare(all, ZERO) === 0) return 0;
  return Number(divide(multiply(gone, { units: 100n, scale: 0 }), all).quotient);
}
