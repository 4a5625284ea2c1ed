"""The consumer's side: books kept from a snapshot and messages, which notice what is missing and what is wrong.

Written from docs/market_data.md alone and without the view's own book, so that the one can be held against the other.
"""

import zlib

from engine.market_data.messages import (
    Action,
    L2Snapshot,
    L2Update,
    L3Snapshot,
    L3Update,
    Level,
    LevelChange,
    OrderChange,
)
from engine.records import Side

_CHECKSUM_LEVELS = 10

_Levels = dict[int, tuple[int, int]]  # price_ticks -> (visible_lots, orders)


class OutOfStep(Exception):
    """The mirror is not what the market is: begin again with a snapshot."""


class Gap(OutOfStep):
    """A message is missing."""


class Damaged(OutOfStep):
    """A message, or the mirror, is not what it should be."""


def depth_checksum(bids: list[Level], asks: list[Level]) -> int:
    """CRC-32 of the best 10 levels of each side as text, `bid price:lots:ask price:lots:...`; both best first."""
    numbers: list[int] = []
    for rank in range(_CHECKSUM_LEVELS):
        for side in (bids, asks):
            if rank < len(side):
                numbers += side[rank][:2]
    return zlib.crc32(":".join(str(number) for number in numbers).encode())


def _follows(update: L2Update | L3Update, market: int, sequence: int) -> bool:
    """Whether to apply the update to a book as of `sequence`; not, when the book includes it already."""
    if update.market != market:
        raise ValueError(f"an update of market {update.market} is not one of market {market}")
    if update.sequence <= sequence:
        return False
    if update.prev_sequence > sequence:
        raise Gap(
            f"market {market}: the message before {update.sequence} was {update.prev_sequence}, this is {sequence}"
        )
    return True


class L2Mirror:
    """Levels of one market."""

    def __init__(self, snapshot: L2Snapshot) -> None:
        self.market, self.sequence = snapshot.market, snapshot.sequence
        self._levels: dict[int, _Levels] = {
            Side.BUY: {price: (lots, orders) for price, lots, orders in snapshot.bids},
            Side.SELL: {price: (lots, orders) for price, lots, orders in snapshot.asks},
        }
        self._verify(snapshot.checksum)

    def apply(self, update: L2Update) -> bool:
        """Take a message; False for one that the book includes already. Raises Gap and Damaged."""
        if not _follows(update, self.market, self.sequence):
            return False
        for change in update.levels:
            self._change(change)
        self.sequence = update.sequence
        self._verify(update.checksum)
        return True

    def depth(self) -> tuple[list[Level], list[Level]]:
        """(bids, asks), best first."""
        bids, asks = self._levels[Side.BUY], self._levels[Side.SELL]
        return [Level(p, *bids[p]) for p in sorted(bids, reverse=True)], [Level(p, *asks[p]) for p in sorted(asks)]

    def _change(self, change: LevelChange) -> None:
        levels = self._levels.get(change.side)
        if levels is None:
            raise Damaged(f"side {change.side} is neither {Side.BUY:d} nor {Side.SELL:d}")
        if change.visible_lots:
            levels[change.price_ticks] = change.visible_lots, change.orders
        else:
            levels.pop(change.price_ticks, None)

    def _verify(self, checksum: int) -> None:
        found = depth_checksum(*self.depth())
        if found != checksum:
            raise Damaged(f"market {self.market} at {self.sequence}: the checksum is {checksum}, the book has {found}")


class L3Mirror:
    """Single orders of one market."""

    def __init__(self, snapshot: L3Snapshot) -> None:
        self.market, self.sequence = snapshot.market, snapshot.sequence
        self._orders: dict[int, tuple[int, int, int]] = {}  # order_id -> (side, price_ticks, visible_lots)
        self._queues: dict[tuple[int, int], list[int]] = {}  # (side, price_ticks) -> order ids, oldest first
        for order_id, side, price_ticks, visible_lots in snapshot.orders:
            self._add(order_id, side, price_ticks, visible_lots)
        self._verify(snapshot.checksum)

    def apply(self, update: L3Update) -> bool:
        """Take a message; False for one that the book includes already. Raises Gap and Damaged."""
        if not _follows(update, self.market, self.sequence):
            return False
        for change in update.changes:
            self._change(change)
        self.sequence = update.sequence
        self._verify(update.checksum)
        return True

    def orders(self) -> list[tuple[int, int, int, int]]:
        """(order_id, side, price_ticks, visible_lots), bids then asks, best price first, in the order of the queue."""
        bids = sorted((price for side, price in self._queues if side == Side.BUY), reverse=True)
        asks = sorted(price for side, price in self._queues if side == Side.SELL)
        places = [(Side.BUY, price) for price in bids] + [(Side.SELL, price) for price in asks]
        return [(number, *self._orders[number]) for place in places for number in self._queues[place]]

    def depth(self) -> tuple[list[Level], list[Level]]:
        """(bids, asks), best first."""
        sides: dict[int, list[Level]] = {Side.BUY: [], Side.SELL: []}
        for side, price_ticks in sorted(self._queues):
            queue = self._queues[side, price_ticks]
            sides[side].append(Level(price_ticks, sum(self._orders[number][2] for number in queue), len(queue)))
        return sides[Side.BUY][::-1], sides[Side.SELL]

    def _add(self, order_id: int, side: int, price_ticks: int, visible_lots: int) -> None:
        if order_id in self._orders or visible_lots <= 0 or side not in (Side.BUY, Side.SELL):
            raise Damaged(f"order {order_id} cannot be added on side {side} with {visible_lots} lots")
        self._orders[order_id] = side, price_ticks, visible_lots
        self._queues.setdefault((side, price_ticks), []).append(order_id)

    def _change(self, change: OrderChange) -> None:
        _, order_id, side, price_ticks, visible_lots, _, _ = change
        if change.action == Action.ADD:
            self._add(order_id, side, price_ticks, visible_lots)
            return
        known = self._orders.get(order_id)
        if known is None or known[:2] != (side, price_ticks) or visible_lots < 0:
            raise Damaged(f"order {order_id} is {known}, the message is {change}")
        if visible_lots:
            self._orders[order_id] = side, price_ticks, visible_lots
            return
        del self._orders[order_id]
        queue = self._queues[side, price_ticks]
        queue.remove(order_id)
        if not queue:
            del self._queues[side, price_ticks]

    def _verify(self, checksum: int) -> None:
        found = depth_checksum(*self.depth())
        if found != checksum:
            raise Damaged(f"market {self.market} at {self.sequence}: the checksum is {checksum}, the book has {found}")
