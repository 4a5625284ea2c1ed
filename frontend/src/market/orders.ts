import { compare, decimal } from "./decimal";

/** The part of an order that tells which of two descriptions of it is the later one. */
interface OrderLike {
  readonly order_id: string;
  readonly status: string;
  readonly filled_quantity: string;
  readonly sequence: number;
}

/** Bounds of the orders kept in memory. At the bound the oldest are dropped; the server has them all. */
export const OPEN_MAX = 500;
const ENDED_MAX = 100;

const LIVE = ["Waiting", "Open", "PartiallyFilled"];

export const isOpen = (order: { status: string }): boolean => LIVE.includes(order.status);

/** Newest first: ids are the positions of their commands in the journal. */
export function byNewest(a: { order_id: string }, b: { order_id: string }): number {
  return compareIds(b.order_id, a.order_id);
}

function compareIds(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

function isLater(order: OrderLike, known: OrderLike): boolean {
  if (isOpen(order) !== isOpen(known)) return isOpen(known);
  if (order.sequence !== known.sequence) return order.sequence > known.sequence;
  return compare(decimal(order.filled_quantity), decimal(known.filled_quantity)) >= 0;
}

/**
 * Merge changed orders into a list, newest first. An answer and a stream message about the same order may come in either order:
 * an order that has ended stays so, and what was filled stays filled. Those that have ended are kept for a while, because an
 * older description of them may still be on its way.
 */
export function mergeOrders<T extends OrderLike>(held: readonly T[], changed: readonly T[]): T[] {
  const byId = new Map(held.map((order) => [order.order_id, order]));
  for (const order of changed) {
    const known = byId.get(order.order_id);
    if (!known || isLater(order, known)) byId.set(order.order_id, order);
  }
  const all = [...byId.values()].sort(byNewest);
  const ended = all.filter((order) => !isOpen(order));
  return [...all.filter(isOpen).slice(0, OPEN_MAX), ...ended.slice(0, ENDED_MAX)];
}
