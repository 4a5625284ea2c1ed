"""The visible orders of one market, at each price first in first out.

Changes come in commands: `put` and `change` orders, then take `changes`; what is asked of a book is right after that.
"""

import zlib
from collections.abc import Iterator
from itertools import zip_longest

from sortedcontainers import SortedList

from engine.market_data.messages import BookOrder, Level, LevelChange
from engine.records import Side

CHECKSUM_LEVELS = 10
_BUY = int(Side.BUY)


class _Queue:
    """The orders at one price, oldest first, and what they show together; also as of the end of the last command."""

    __slots__ = ("lots", "orders", "price_ticks", "side", "told_lots", "told_orders", "touched")

    def __init__(self, side: "BookSide", price_ticks: int) -> None:
        self.side, self.price_ticks = side, price_ticks
        self.orders: dict[int, int] = {}  # order_id -> visible lots
        self.lots = self.told_lots = self.told_orders = 0
        self.touched = False


class BookSide:
    """One side of the book. A price's rank is lower, the better the price is."""

    def __init__(self, side: int) -> None:
        self.side = int(side)
        self._sign = -1 if side == _BUY else 1
        self._queues: dict[int, _Queue] = {}  # by price
        self._ranks: SortedList[int] = SortedList()
        self._top: list[_Queue] | None = []  # the best levels, None when they are others than before
        self._texts: list[str] | None = []  # what they contribute to the checksum, None when it changed

    def queue(self, price_ticks: int) -> _Queue:
        """The orders at a price, made if there are none."""
        queue = self._queues.get(price_ticks)
        if queue is None:
            queue = self._queues[price_ticks] = _Queue(self, price_ticks)
            self._ranks.add(self._sign * price_ticks)
            self._leave_top(price_ticks)
        return queue

    def end_of_change(self, queue: _Queue) -> None:
        """Drop a queue that is empty, and what was worked out from it."""
        if not queue.orders:
            self._leave_top(queue.price_ticks)
            del self._queues[queue.price_ticks]
            self._ranks.remove(self._sign * queue.price_ticks)
        elif self._is_top(queue.price_ticks):
            self._texts = None

    def best(self) -> tuple[int, int]:
        """(price_ticks, visible_lots) of the best price, zeros for an empty side."""
        top = self._top or self._best_queues()
        return (top[0].price_ticks, top[0].lots) if top else (0, 0)

    def depth(self, levels: int = 0) -> list[Level]:
        """The best levels, so many at most (0: all)."""
        return [Level(queue.price_ticks, queue.lots, len(queue.orders)) for queue in self._ranked(levels)]

    def orders(self) -> Iterator[BookOrder]:
        """Every order, best price first, in the order of the queue."""
        for queue in self._ranked():
            for order_id, visible_lots in queue.orders.items():
                yield BookOrder(order_id, self.side, queue.price_ticks, visible_lots)

    def checksum_texts(self) -> tuple[list[str], bool]:
        """What the side contributes to the checksum, level by level, and whether it is new."""
        if self._texts is not None:
            return self._texts, False
        self._texts = [f"{queue.price_ticks}:{queue.lots}" for queue in self._top or self._best_queues()]
        return self._texts, True

    def _best_queues(self) -> list[_Queue]:
        self._top = list(self._ranked(CHECKSUM_LEVELS))
        return self._top

    def _ranked(self, levels: int = 0) -> Iterator[_Queue]:
        ranks = self._ranks[:levels] if levels else self._ranks
        return (self._queues[self._sign * rank] for rank in ranks)

    def _is_top(self, price_ticks: int) -> bool:
        top = self._top
        if top is None or len(top) < CHECKSUM_LEVELS:
            return True
        return self._sign * price_ticks <= self._sign * top[-1].price_ticks

    def _leave_top(self, price_ticks: int) -> None:
        """A level comes or goes: work the best ones out again, if it is among them."""
        if self._is_top(price_ticks):
            self._top = self._texts = None


class Book:
    """Both sides, and where each order is."""

    def __init__(self) -> None:
        self.bids, self.asks = BookSide(Side.BUY), BookSide(Side.SELL)
        self._placed: dict[int, _Queue] = {}  # by order_id
        self._touched: list[_Queue] = []
        self._checksum = zlib.crc32(b"")

    def __contains__(self, order_id: int) -> bool:
        return order_id in self._placed

    def __len__(self) -> int:
        return len(self._placed)

    def put(self, order_id: int, side: int, price_ticks: int, visible_lots: int) -> None:
        """Let an order that is not in the book take the last place at its price."""
        if order_id in self._placed:
            raise ValueError(f"order {order_id} is in the book already")
        queue = (self.bids if side == _BUY else self.asks).queue(price_ticks)
        if not queue.touched:
            queue.touched = True
            self._touched.append(queue)
        queue.orders[order_id] = visible_lots
        queue.lots += visible_lots
        self._placed[order_id] = queue

    def change(self, order_id: int, visible_lots: int) -> tuple[int, int]:
        """Let an order show another quantity at its place, 0 takes it out; its side and price_ticks.

        Raises KeyError for an order that is not in the book.
        """
        queue = self._placed[order_id]
        if not queue.touched:
            queue.touched = True
            self._touched.append(queue)
        queue.lots += visible_lots - queue.orders[order_id]
        if visible_lots:
            queue.orders[order_id] = visible_lots
        else:
            del queue.orders[order_id], self._placed[order_id]
        return queue.side.side, queue.price_ticks

    def changes(self) -> list[LevelChange]:
        """End a command: the levels that are not what they were before it, in the order in which they were touched."""
        changed = []
        for queue in self._touched:
            queue.touched = False
            lots, orders = queue.lots, len(queue.orders)
            if lots != queue.told_lots or orders != queue.told_orders:
                queue.told_lots, queue.told_orders = lots, orders
                changed.append(LevelChange(queue.side.side, queue.price_ticks, lots, orders))
            queue.side.end_of_change(queue)
        self._touched.clear()
        return changed

    def visible_lots(self, order_id: int) -> int:
        """What an order shows. Raises KeyError for one that is not in the book."""
        return self._placed[order_id].orders[order_id]

    def ahead(self, order_id: int) -> tuple[int, int]:
        """(orders, visible_lots) before an order at its price. Raises KeyError for one that is not in the book."""
        orders = lots = 0
        for other, visible_lots in self._placed[order_id].orders.items():
            if other == order_id:
                break
            orders, lots = orders + 1, lots + visible_lots
        return orders, lots

    def orders(self) -> Iterator[BookOrder]:
        """Every order, bids then asks, best price first, in the order of the queue."""
        yield from self.bids.orders()
        yield from self.asks.orders()

    def checksum(self) -> int:
        """CRC-32 over the best 10 levels, as docs/engine.md says."""
        bids, bids_are_new = self.bids.checksum_texts()
        asks, asks_are_new = self.asks.checksum_texts()
        if bids_are_new or asks_are_new:
            texts = [text for level in zip_longest(bids, asks) for text in level if text]
            self._checksum = zlib.crc32(":".join(texts).encode())
        return self._checksum
