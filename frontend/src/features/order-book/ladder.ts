import type { Book, BookSide } from "@/market/book";
import { displayLots, displayTicks, type Ticks } from "@/market/ticks";
import type { Surface } from "@/ui/Canvas";

const ROW = 20;
const SPREAD_ROW = 30;
const EDGE = 12;

/** Where the rows of the ladder stand: asks above the spread, best nearest to it, bids below. */
export interface LadderLayout {
  readonly rowsPerSide: number;
  readonly spreadTop: number;
}

export function layoutOf(height: number): LadderLayout {
  const rowsPerSide = Math.max(0, Math.floor((height - SPREAD_ROW) / 2 / ROW));
  return { rowsPerSide, spreadTop: rowsPerSide * ROW };
}

/** The price that stands at `y`, or null where there is none. */
export function ticksAtY(book: Book, y: number, height: number): Ticks | null {
  const { rowsPerSide, spreadTop } = layoutOf(height);
  const [side, index] = y < spreadTop ? [book.asks, Math.floor((spreadTop - y) / ROW)] : [book.bids, Math.floor((y - spreadTop - SPREAD_ROW) / ROW)];
  return index >= 0 && index < Math.min(side.size, rowsPerSide) ? side.ticksAt(index) : null;
}

function cumulate(side: BookSide, rows: number): bigint[] {
  const totals: bigint[] = [];
  let total = 0n;
  for (let index = 0; index < Math.min(rows, side.size); index += 1) {
    total += side.lotsAt(index);
    totals.push(total);
  }
  return totals;
}

interface SideLook {
  readonly colour: string;
  readonly soft: string;
  readonly topOf: (index: number) => number;
}

/** Paint the ladder: price, quantity, running total, a bar as long as the total, a mark where `ownTicks` has an order. */
export function paintLadder(surface: Surface, book: Book, ownTicks: ReadonlySet<number>, emptyText: string): void {
  const { context, width, height, colours } = surface;
  const { rowsPerSide, spreadTop } = layoutOf(height);
  if (book.asks.size === 0 && book.bids.size === 0) {
    context.fillStyle = colours.muted;
    context.textAlign = "center";
    context.fillText(emptyText, width / 2, height / 2, width - 2 * EDGE);
    return;
  }
  const askTotals = cumulate(book.asks, rowsPerSide);
  const bidTotals = cumulate(book.bids, rowsPerSide);
  const deepest = [askTotals.at(-1) ?? 0n, bidTotals.at(-1) ?? 0n].reduce((a, b) => (a > b ? a : b));
  const asks: SideLook = { colour: colours.sell, soft: colours["sell-soft"], topOf: (index) => spreadTop - (index + 1) * ROW };
  const bids: SideLook = { colour: colours.buy, soft: colours["buy-soft"], topOf: (index) => spreadTop + SPREAD_ROW + index * ROW };
  paintSide(surface, book, book.asks, askTotals, deepest, asks, ownTicks);
  paintSide(surface, book, book.bids, bidTotals, deepest, bids, ownTicks);
}

function paintSide(
  { context, width, colours, pointerY }: Surface,
  book: Book,
  side: BookSide,
  totals: readonly bigint[],
  deepest: bigint,
  look: SideLook,
  ownTicks: ReadonlySet<number>,
): void {
  totals.forEach((total, index) => {
    const top = look.topOf(index);
    const middle = top + ROW / 2;
    const ticks = side.ticksAt(index);
    const bar = (Number((total * 1000n) / deepest) / 1000) * width;
    context.fillStyle = look.soft;
    context.fillRect(width - bar, top, bar, ROW - 1);
    if (pointerY !== null && pointerY >= top && pointerY < top + ROW) {
      context.fillStyle = colours.raised;
      context.fillRect(0, top, width, ROW - 1);
    }
    if (ownTicks.has(ticks)) {
      context.fillStyle = colours.accent;
      context.fillRect(2, top + 5, 4, ROW - 11);
    }
    context.textAlign = "left";
    context.fillStyle = look.colour;
    context.fillText(displayTicks(ticks, book.grid), EDGE, middle);
    context.textAlign = "right";
    context.fillStyle = colours.text;
    context.fillText(displayLots(side.lotsAt(index), book.grid), width * 0.67, middle);
    context.fillStyle = colours.muted;
    context.fillText(displayLots(total, book.grid), width - EDGE, middle);
  });
}
