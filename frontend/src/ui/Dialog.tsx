import { Dialog as BaseDialog } from "@base-ui/react/dialog";
import type { ReactNode } from "react";

/** A question or a form above the page; Escape and a press beside it close it, unless it is `kept`. */
export function Dialog({ title, onClose, kept = false, children }: {
  readonly title: string;
  readonly onClose: () => void;
  readonly kept?: boolean;
  readonly children: ReactNode;
}) {
  return (
    <BaseDialog.Root open onOpenChange={(open) => !open && !kept && onClose()}>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className="fixed inset-0 z-40 bg-black/50" />
        <BaseDialog.Popup className="fixed top-1/2 left-1/2 z-50 flex max-h-[calc(100dvh-2rem)] w-[calc(100%-2rem)] max-w-sm -translate-1/2 flex-col gap-4 overflow-y-auto rounded-xl border bg-panel p-5 text-text">
          <BaseDialog.Title className="text-base font-semibold">{title}</BaseDialog.Title>
          {children}
        </BaseDialog.Popup>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  );
}
