import { groupThousands } from "@/market/decimal";
import { refusalText } from "@/ui/reasons";
import { t } from "@/ui/text";

export interface TicketRefusal {
  readonly reason: string;
  readonly field: string | null;
  readonly limit: string | null;
  readonly nearest: string | null;
  readonly detail?: string;
}

/** Why the order is refused, and a button that puts the nearest valid value in. */
export function RefusalNotice({ refusal, onUse }: { readonly refusal: TicketRefusal; readonly onUse: (nearest: string) => void }) {
  const { nearest, field } = refusal;
  const usable = nearest !== null && (field === "price" || field === "quantity");
  return (
    <span className="flex flex-wrap items-center gap-2">
      <span>{refusalText(refusal)}</span>
      {usable && (
        <button type="button" onClick={() => onUse(nearest)} className="rounded border border-current px-1.5 py-0.5 font-semibold hover:bg-sell-soft">
          {t("ticket.use", { value: groupThousands(nearest) })}
        </button>
      )}
    </span>
  );
}
