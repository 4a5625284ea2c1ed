/** Runs one piece of work at a time, across all tabs of this origin. */
export type Exclusive = <T>(work: () => Promise<T>) => Promise<T>;

const LOCK_NAME = "exchange.session";
const LEASE_MS = 20_000;
const SETTLE_MS = 30;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The browser's own lock. It exists in secure contexts only (https and localhost); elsewhere a lease in storage takes its place. */
export function browserLock(storage: Storage): Exclusive {
  const locks = (globalThis.navigator as { locks?: LockManager } | undefined)?.locks;
  if (!locks) return leaseLock(storage);
  return async (work) => locks.request(LOCK_NAME, work) as ReturnType<typeof work>;
}

/** A lease in storage: written, then read back after a moment, so that of two that write at once only the later holds it. */
export function leaseLock(storage: Storage, now: () => number = Date.now): Exclusive {
  const owner = String(Math.random());
  const key = `${LOCK_NAME}.lease`;
  const holder = (): { owner: string; until: number } | null => {
    const text = storage.getItem(key);
    return text ? (JSON.parse(text) as { owner: string; until: number }) : null;
  };
  const acquire = async (): Promise<void> => {
    for (;;) {
      const held = holder();
      if (!held || held.until < now()) {
        storage.setItem(key, JSON.stringify({ owner, until: now() + LEASE_MS }));
        await pause(SETTLE_MS);
        if (holder()?.owner === owner) return;
      }
      await pause(SETTLE_MS * (1 + Math.random()));
    }
  };
  return async (work) => {
    await acquire();
    try {
      return await work();
    } finally {
      if (holder()?.owner === owner) storage.removeItem(key);
    }
  };
}
