import type { Draft, TimeInForce } from "@/market/ticket";
import { Checkbox } from "@/ui/Checkbox";
import { Select } from "@/ui/Select";
import { t } from "@/ui/text";

const TIMES: readonly TimeInForce[] = ["GTC", "IOC", "FOK"];

/** How long the order lasts, and whether it may trade at once. */
export function Execution({ draft, onChange }: { readonly draft: Draft; readonly onChange: (changed: Partial<Draft>) => void }) {
  const market = draft.orderType === "Market";
  const options = TIMES.filter((value) => !(market && value === "GTC")).map((value) => ({ value, label: t(`ticket.${value}`) }));
  return (
    <div className="flex items-end gap-3">
      <div className="flex-1">
        <Select label={t("ticket.timeInForce")} options={options} value={draft.timeInForce} onChange={(timeInForce) => onChange({ timeInForce })} />
      </div>
      {!market && (
        <Checkbox
          title={t("ticket.postOnlyHint")}
          checked={draft.postOnly}
          disabled={draft.timeInForce !== "GTC"}
          onChange={(postOnly) => onChange({ postOnly })}
        >
          {t("ticket.postOnly")}
        </Checkbox>
      )}
    </div>
  );
}
