"""The consumer's side: books kept from a snapshot and messages, which notice what is missing and what is wrong.

Written from docs/market_data.md alone and without the view's own book, so that the one can be held against the other.
"""

import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from sortedcontainers import SortedDict

from engine.market_data.messages import (
    Action,
    BookOrder,
    L2Snapshot,
    L2Update,
    L3Snapshot,
    L3Update,
    Level,
    LevelChange,
    OrderChange,
)
from engine.records import Side

CHECKSUM_LEVELS = 10

_Levels = SortedDict[int, tuple[int, int]]  # price_ticks -> (visible_lots, orders)
_Queues = SortedDict[int, dict[int, int]]  # price_ticks -> order_id -> visible_lots, oldest first


class OutOfStep(Exception):
    """The mirror is not what the market is: begin again with a snapshot."""


class Gap(OutOfStep):
    """A message is missing."""


class Damaged(OutOfStep):
    """A message, or the mirror, is not what it should be."""


def depth_checksum(bids: Sequence[Level], asks: Sequence[Level]) -> int:
    """CRC-32 of the best 10 levels as text, `bid price:lots:ask price:lots:...`; both best first, in ticks and lots."""
    numbers: list[int] = []
    for rank in range(CHECKSUM_LEVELS):
        for side in (bids, asks):
            if rank < len(side):
                numbers += side[rank][:2]
    return zlib.crc32(":".join(str(number) for number in numbers).encode())


def _best(prices: SortedDict[int, Any], side: int, levels: int) -> Iterator[int]:
    """The best prices of a side, best first, so many at most (0: all)."""
    return islice(reversed(prices) if side == Side.BUY else iter(prices), levels or None)


def _verify(mirror: "L2Mirror | L3Mirror", checksum: int) -> None:
    found = depth_checksum(*mirror.depth(CHECKSUM_LEVELS))
    if found != checksum:
        raise Damaged(f"market {mirror.market} at {mirror.sequence}: the checksum is {checksum}, the book has {found}")


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
            Side.BUY: SortedDict({price: (lots, orders) for price, lots, orders in snapshot.bids}),
            Side.SELL: SortedDict({price: (lots, orders) for price, lots, orders in snapshot.asks}),
        }
        _verify(self, snapshot.checksum)

    def apply(self, update: L2Update) -> bool:
        """Take a message; False for one that the book includes already. Raises Gap and Damaged."""
        if not _follows(update, self.market, self.sequence):
            return False
        for change in update.levels:
            self._change(change)
        self.sequence = update.sequence
        _verify(self, update.checksum)
        return True

    def depth(self, levels: int = 0) -> tuple[list[Level], list[Level]]:
        """(bids, asks), best first, so many levels at most (0: all)."""
        return self._depth(Side.BUY, levels), self._depth(Side.SELL, levels)

    def _depth(self, side: int, levels: int) -> list[Level]:
        known = self._levels[side]
        return [Level(price, *known[price]) for price in _best(known, side, levels)]

    def _change(self, change: LevelChange) -> None:
        levels = self._levels.get(change.side)
        if levels is None:
            raise Damaged(f"side {change.side} is neither {Side.BUY:d} nor {Side.SELL:d}")
        if change.visible_lots:
            levels[change.price_ticks] = change.visible_lots, change.orders
        else:
            levels.pop(change.price_ticks, None)


class L3Mirror:
    """Single orders of one market."""

    def __init__(self, snapshot: L3Snapshot) -> None:
        self.market, self.sequence = snapshot.market, snapshot.sequence
        self._placed: dict[int, tuple[int, int]] = {}  # order_id -> (side, price_ticks)
        self._queues: dict[int, _Queues] = {Side.BUY: SortedDict(), Side.SELL: SortedDict()}
        self._lots: dict[tuple[int, int], int] = {}  # (side, price_ticks) -> visible lots of all orders there
        for order_id, side, price_ticks, visible_lots in snapshot.orders:
            self._add(order_id, side, price_ticks, visible_lots)
        _verify(self, snapshot.checksum)

    def apply(self, update: L3Update) -> bool:
        """Take a message; False for one that the book includes already. Raises Gap and Damaged."""
        if not _follows(update, self.market, self.sequence):
            return False
        for change in update.changes:
            self._change(change)
        self.sequence = update.sequence
        _verify(self, update.checksum)
        return True

    def orders(self) -> list[BookOrder]:
        """Every order, bids then asks, best price first, in the order of the queue."""
        return [
            BookOrder(order_id, side, price_ticks, visible_lots)
            for side, queues in self._queues.items()
            for price_ticks in _best(queues, side, 0)
            for order_id, visible_lots in queues[price_ticks].items()
        ]

    def depth(self, levels: int = 0) -> tuple[list[Level], list[Level]]:
        """(bids, asks), best first, so many levels at most (0: all)."""
        return self._depth(Side.BUY, levels), self._depth(Side.SELL, levels)

    def _depth(self, side: int, levels: int) -> list[Level]:
        queues = self._queues[side]
        return [Level(price, self._lots[side, price], len(queues[price])) for price in _best(queues, side, levels)]

    def _add(self, order_id: int, side: int, price_ticks: int, visible_lots: int) -> None:
        if order_id in self._placed or visible_lots <= 0 or side not in self._queues:
            raise Damaged(f"order {order_id} cannot be added on side {side} with {visible_lots} lots")
        self._placed[order_id] = side, price_ticks
        self._queues[side].setdefault(price_ticks, {})[order_id] = visible_lots
        self._lots[side, price_ticks] = self._lots.get((side, price_ticks), 0) + visible_lots

    def _change(self, change: OrderChange) -> None:
        _, order_id, side, price_ticks, visible_lots, _, _ = change
        if change.action == Action.ADD:
            self._add(order_id, side, price_ticks, visible_lots)
            return
        if self._placed.get(order_id) != (side, price_ticks) or visible_lots < 0:
            raise Damaged(f"the message is {change}, the order is at {self._placed.get(order_id)}")
        queue = self._queues[side][price_ticks]
        self._lots[side, price_ticks] += visible_lots - queue[order_id]
        if visible_lots:
            queue[order_id] = visible_lots
            return
        del self._placed[order_id], queue[order_id]
        if not queue:
            del self._queues[side][price_ticks], self._lots[side, price_ticks]
