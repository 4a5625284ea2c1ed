"""A market order by order (L3), made of what the journal has: `engine/market_data` over entries."""

import asyncio
from collections.abc import Sequence
from typing import Self

import msgspec

from engine.market_data import BookOrder, BookView, L2Update, L3Update
from engine.market_data.decoding import read_events
from engine.market_data.view import KINDS
from engine.orders.words import SIDE_NAMES
from engine.records import Side
from exchange.contracts.units import Market
from exchange.gateway.subscriber import Message
from exchange.storage.journal import Entry

SLICE = 200  # orders between two turns of the loop
ACTIONS = {1: "Add", 2: "Change", 3: "Execute", 4: "Delete"}


class OrderFeed:
    """One market's visible orders as of ``sequence``, followed entry by entry."""

    def __init__(self, market: Market, sequence: int, mode: int) -> None:
        self.market = market
        self.sequence = sequence
        self._view = BookView(market.number)
        self._view.mode = mode

    @classmethod
    async def begin(cls, market: Market, sequence: int, mode: int, orders: Sequence[Sequence[int]]) -> Self:
        """The feed of a book, as `Archive.book` tells it; made in slices, so that others have turns meanwhile."""
        feed = cls(market, sequence, mode)
        for start in range(0, len(orders), SLICE):
            for order_id, side, price_ticks, visible_lots in orders[start : start + SLICE]:
                feed._view.book.put(order_id, side, price_ticks, visible_lots)
            await asyncio.sleep(0)
        feed._view.book.changes()
        return feed

    @property
    def checksum(self) -> int:
        """CRC-32 of the best 10 levels."""
        return self._view.book.checksum()

    def orders(self) -> list[BookOrder]:
        """Every visible order, bids then asks, best price first, in the order of the queue."""
        return list(self._view.book.orders())

    def pass_over(self, entries: Sequence[Entry]) -> None:
        """Follow entries that nobody listened to."""
        self.take(entries)

    def take(self, entries: Sequence[Entry]) -> list[L2Update | L3Update]:
        """Follow entries, each after the one before; what they were told before is passed over."""
        told: list[L2Update | L3Update] = []
        number, view = self.market.number, self._view
        for entry in entries:
            if entry.sequence <= self.sequence:
                continue
            touched, timestamp_ns = False, 0
            for event in read_events(entry.events):
                if event.market == number and event.kind in KINDS:
                    view.apply(event)
                    touched, timestamp_ns = True, event.timestamp_ns
            if touched:
                messages = view.finish(entry.sequence, timestamp_ns)
                told += [message for message in messages if isinstance(message, L2Update | L3Update)]
            self.sequence = entry.sequence
        return told


async def render_orders(market: Market, orders: Sequence[BookOrder]) -> tuple[bytes, bytes]:
    """Bids and asks of an L3 snapshot as JSON: [order_id, price, quantity], best first, in the order of the queue.

    Made in slices, so that others have turns meanwhile.
    """
    sides: dict[int, list[bytes]] = {Side.BUY: [], Side.SELL: []}
    for side, parts in sides.items():
        of_side = [order for order in orders if order.side == side]
        for start in range(0, len(of_side), SLICE):
            rows = [
                (str(order.order_id), market.price_text(order.price_ticks), market.quantity_text(order.visible_lots))
                for order in of_side[start : start + SLICE]
            ]
            parts.append(msgspec.json.encode(rows)[1:-1])
            await asyncio.sleep(0)
    bids, asks = (b"[" + b",".join(parts) + b"]" for parts in sides.values())
    return bids, asks


def render_steps(market: Market, updates: Sequence[L3Update]) -> Message:
    """The content of an L3 update: the steps of single orders, one after another."""
    steps = []
    for update in updates:
        for action, order_id, side, price_ticks, visible_lots, executed_lots, trade_id in update.changes:
            step = {
                "action": ACTIONS[action],
                "order_id": str(order_id),
                "side": SIDE_NAMES[Side(side)],
                "price": market.price_text(price_ticks),
                "quantity": market.quantity_text(visible_lots),
            }
            if executed_lots:
                step |= {"executed": market.quantity_text(executed_lots), "trade_id": str(trade_id)}
            steps.append(step)
    last = updates[-1]
    return {"timestamp_ns": last.timestamp_ns, "changes": steps, "checksum": last.checksum}
