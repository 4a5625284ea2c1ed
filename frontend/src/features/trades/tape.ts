import { displayLots, displayTicks } from "@/market/ticks";
import type { TradesFeed } from "@/state/feeds";
import type { Surface } from "@/ui/Canvas";
import { displayTime } from "@/ui/text";

const ROW = 20;
const EDGE = 12;

/** Paint the tape: newest trade on top, its price in the colour of the taker's side. */
export function paintTape({ context, width, height, colours }: Surface, feed: TradesFeed, emptyText: string): void {
  if (feed.size === 0) {
    context.fillStyle = colours.muted;
    context.textAlign = "center";
    context.fillText(emptyText, width / 2, Math.min(height / 2, 60), width - 2 * EDGE);
    return;
  }
  const rows = Math.min(feed.size, Math.floor(height / ROW));
  for (let age = 0; age < rows; age += 1) {
    const { ticks, lots, buy, timeMs } = feed.at(age);
    const middle = age * ROW + ROW / 2;
    context.textAlign = "left";
    context.fillStyle = buy ? colours.buy : colours.sell;
    context.fillText(displayTicks(ticks, feed.grid), EDGE, middle);
    context.textAlign = "right";
    context.fillStyle = colours.text;
    context.fillText(displayLots(lots, feed.grid), width * 0.67, middle);
    context.fillStyle = colours.muted;
    context.fillText(displayTime(new Date(timeMs)), width - EDGE, middle);
  }
}
