import { useSyncExternalStore } from "react";

import { useStreamStatus } from "@/state/exchange";
import { t } from "@/ui/text";

const DOTS = { connecting: "bg-warn", live: "bg-buy", reconnecting: "bg-warn animate-pulse", offline: "bg-sell" };

function subscribeOnline(listener: () => void): () => void {
  window.addEventListener("online", listener);
  window.addEventListener("offline", listener);
  return () => {
    window.removeEventListener("online", listener);
    window.removeEventListener("offline", listener);
  };
}

/** Whether what is on the page is live; silent on pages that follow no stream. */
export function ConnectionStatus() {
  const stream = useStreamStatus();
  const online = useSyncExternalStore(subscribeOnline, () => navigator.onLine);
  const status = online ? stream : "offline";
  return (
    <div role="status" className="flex items-center gap-1.5 text-xs whitespace-nowrap text-muted">
      {status !== "idle" && (
        <>
          <span aria-hidden="true" className={`size-2 rounded-full ${DOTS[status]}`} />
          <span className={status === "live" ? "max-sm:sr-only" : ""}>{t(`status.${status}`)}</span>
        </>
      )}
    </div>
  );
}
