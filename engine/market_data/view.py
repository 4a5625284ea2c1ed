"""The view of one market: its visible book and what to tell the public, out of event records alone.

Which orders are in the book follows from the events by the rules of docs/engine.md. An order that may come to rest is
*arriving* while it trades as the taker: it is put into the book only when its trades are over, which is when an event
comes that cannot be a part of them, at the latest at the end of the command. Orders that wait for a trigger or a parent
are not in the book, and nothing of them is kept here: when their turn comes, the event tells all about them. Of an
iceberg nothing but what it shows is kept, so an L3 snapshot is everything that a view knows.
"""

from collections.abc import Callable
from typing import Self

from engine.market_data.book import Book
from engine.market_data.decoding import Event
from engine.market_data.messages import (
    Action,
    L1Update,
    L2Snapshot,
    L2Update,
    L3Snapshot,
    L3Update,
    Message,
    ModeChange,
    ModeUpdate,
    OrderChange,
    StreamSequences,
    Trade,
    TradesUpdate,
)
from engine.records import FLAG_AUCTION, FLAG_PRIORITY_KEPT, EventKind, Mode, OrderType, SelfTrade, TimeInForce

# Looked up for each event: plain integers, not members of an enumeration.
_ADD, _CHANGE, _EXECUTE, _DELETE = (int(action) for action in Action)
_LIMIT = int(OrderType.LIMIT)
_LASTING = frozenset({TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY})
_FIRED_LIMITS = frozenset({OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT})


class EventsInconsistent(Exception):
    """Events that do not go with what came before them: some are missing, or they are another shard's."""


class _Arriving:
    """An order that rests when its trades as the taker are over, if something remains."""

    __slots__ = ("order_id", "price_ticks", "remaining_lots", "shown_lots", "side")

    def __init__(self, event: Event) -> None:
        self.order_id = event.order_id
        self.side = event.side
        self.price_ticks = event.price_ticks
        self.remaining_lots = event.remaining_lots
        self.shown_lots = event.display_lots or event.remaining_lots

    @property
    def visible_lots(self) -> int:
        return min(self.shown_lots, self.remaining_lots)


class BookView:
    """One market. `apply` each of its events, then `finish` the command."""

    def __init__(self, market: int) -> None:
        self.market = market
        self.mode = int(Mode.OPEN)
        self.book = Book()
        self._arriving: _Arriving | None = None
        self._streams: tuple[int, ...] = StreamSequences()
        self._best = (0, 0, 0, 0)
        self._order_changes: list[OrderChange] = []
        self._trades: list[Trade] = []
        self._mode_changes: list[ModeChange] = []
        self._auction: tuple[int, int, int, int] = (0, 0, 0, 0)  # the result that waits for the mode to change

    @classmethod
    def restore(cls, snapshot: L3Snapshot) -> Self:
        """The view that made the snapshot. Raises ValueError if its checksum is not that of its orders."""
        view = cls(snapshot.market)
        view.mode, view._streams = snapshot.mode, snapshot.streams
        for order in snapshot.orders:
            view.book.put(*order)
        view.book.changes()
        view._best = view.book.bids.best() + view.book.asks.best()
        if view.book.checksum() != snapshot.checksum:
            raise ValueError(f"the snapshot of market {snapshot.market} at {snapshot.sequence} is damaged")
        return view

    def l3_snapshot(self, sequence: int) -> L3Snapshot:
        """Every visible order, as of a sequence."""
        streams, orders = StreamSequences(*self._streams), tuple(self.book.orders())
        return L3Snapshot(self.market, sequence, self.mode, self.book.checksum(), streams, orders)

    def l2_snapshot(self, sequence: int, levels: int = 0) -> L2Snapshot:
        """The best levels of each side, so many at most (0: all), as of a sequence."""
        bids, asks = tuple(self.book.bids.depth(levels)), tuple(self.book.asks.depth(levels))
        return L2Snapshot(self.market, sequence, self.mode, self.book.checksum(), bids, asks)

    def apply(self, event: Event) -> None:
        """Take an event of a kind in KINDS. Raises EventsInconsistent for a trade with an order that is not there."""
        _HANDLERS[event.kind](self, event)

    def finish(self, sequence: int, timestamp_ns: int) -> list[Message]:
        """End a command: what it lets be told."""
        if self._arriving is not None:
            self._rest()
        levels = self.book.changes()
        if not (levels or self._order_changes or self._trades or self._mode_changes):
            return []
        l3, l2, l1, trades, mode = self._streams
        checksum = self.book.checksum() if levels or self._order_changes else 0
        messages: list[Message] = []
        if self._mode_changes:
            messages.append(ModeUpdate(self.market, sequence, mode, timestamp_ns, tuple(self._mode_changes)))
            self._mode_changes, mode = [], sequence
        if self._trades:
            messages.append(TradesUpdate(self.market, sequence, trades, timestamp_ns, tuple(self._trades)))
            self._trades, trades = [], sequence
        if self._order_changes:
            changes = tuple(self._order_changes)
            messages.append(L3Update(self.market, sequence, l3, timestamp_ns, changes, checksum))
            self._order_changes, l3 = [], sequence
        if levels:
            messages.append(L2Update(self.market, sequence, l2, timestamp_ns, tuple(levels), checksum))
            l2 = sequence
            best = self.book.bids.best() + self.book.asks.best()
            if best != self._best:
                messages.append(L1Update(self.market, sequence, l1, timestamp_ns, *best))
                self._best, l1 = best, sequence
        self._streams = l3, l2, l1, trades, mode
        return messages

    # The book

    def _rest(self) -> None:
        """Put the arriving order, whose trades are over, into the book."""
        order, self._arriving = self._arriving, None
        if order is not None and order.remaining_lots:
            self._put(order.order_id, order.side, order.price_ticks, order.visible_lots)

    def _put(self, order_id: int, side: int, price_ticks: int, visible_lots: int) -> None:
        self.book.put(order_id, side, price_ticks, visible_lots)
        self._order_changes.append(OrderChange(_ADD, order_id, side, price_ticks, visible_lots, 0, 0))

    def _change(self, order_id: int, visible_lots: int) -> None:
        """Let an order show another quantity, 0: leave."""
        side, price_ticks = self.book.change(order_id, visible_lots)
        action = _CHANGE if visible_lots else _DELETE
        self._order_changes.append(OrderChange(action, order_id, side, price_ticks, visible_lots, 0, 0))

    def _execute(self, order_id: int, visible_lots: int, executed_lots: int, trade_id: int) -> None:
        side, price_ticks = self.book.change(order_id, visible_lots)
        change = OrderChange(_EXECUTE, order_id, side, price_ticks, visible_lots, executed_lots, trade_id)
        self._order_changes.append(change)

    def _visible_lots(self, order_id: int, event: Event) -> int:
        try:
            return self.book.visible_lots(order_id)
        except KeyError:
            what = f"{EventKind(event.kind).name} for order {order_id}"
            raise EventsInconsistent(
                f"command {event.sequence}: {what}, which is not in the book of market {self.market}"
            ) from None

    def _arrive(self, event: Event) -> None:
        """Let an order begin to match; what it leaves rests."""
        self._rest()
        self._arriving = _Arriving(event)

    # The events

    def _accepted(self, event: Event) -> None:
        if event.order_type == _LIMIT and event.time_in_force in _LASTING and not event.waits_for:
            self._arrive(event)

    def _activated(self, event: Event) -> None:
        if event.order_type == _LIMIT:
            self._arrive(event)

    def _triggered(self, event: Event) -> None:
        if event.order_type in _FIRED_LIMITS:
            self._arrive(event)

    def _refreshed(self, event: Event) -> None:
        self._put(event.order_id, event.side, event.price_ticks, event.visible_lots)

    def _amended(self, event: Event) -> None:
        self._rest()
        if event.order_id not in self.book:
            return  # it waits for its trigger or its parent
        if not event.flags & FLAG_PRIORITY_KEPT:
            self._change(event.order_id, 0)
            self._arrive(event)
            return
        visible_lots = event.visible_lots if event.display_lots else event.remaining_lots
        if visible_lots != self.book.visible_lots(event.order_id):
            self._change(event.order_id, visible_lots)

    def _cancelled(self, event: Event) -> None:
        arriving = self._arriving
        if arriving is not None and arriving.order_id == event.order_id:
            self._arriving = None
        elif event.order_id in self.book:
            self._change(event.order_id, 0)

    def _traded(self, event: Event) -> None:
        auction = event.flags & FLAG_AUCTION
        self._take(event)
        lots, maker = event.quantity_lots, event.maker_order_id
        if auction:
            # Hidden lots trade too, and an order goes on showing what it showed as long as it has that much.
            for order_id, remaining in (event.order_id, event.remaining_lots), (maker, event.maker_remaining_lots):
                self._execute(order_id, min(self._visible_lots(order_id, event), remaining), lots, event.trade_id)
        else:
            self._execute(maker, self._visible_lots(maker, event) - lots, lots, event.trade_id)
        self._trades.append(Trade(event.trade_id, 0 if auction else event.side, event.price_ticks, lots))

    def _prevented(self, event: Event) -> None:
        self._take(event)
        if event.self_trade == SelfTrade.DECREMENT:
            maker = event.maker_order_id
            self._change(maker, self._visible_lots(maker, event) - event.quantity_lots)

    def _take(self, event: Event) -> None:
        """Let the arriving order have what the event leaves of it as the taker, or rest if another one is the taker."""
        arriving = self._arriving
        if arriving is None:
            return
        if arriving.order_id == event.order_id and not event.flags & FLAG_AUCTION:
            arriving.remaining_lots = event.remaining_lots
        else:
            self._rest()

    def _uncrossed(self, event: Event) -> None:
        self._auction = event.price_ticks, event.quantity_lots, event.side, event.remaining_lots

    def _mode_changed(self, event: Event) -> None:
        self.mode = event.mode
        change = ModeChange(
            event.mode, event.previous_mode, event.until_ns, event.reference_price_ticks, event.reason, *self._auction
        )
        self._mode_changes.append(change)
        self._auction = (0, 0, 0, 0)


_HANDLERS: dict[int, Callable[[BookView, Event], None]] = {
    EventKind.ACCEPTED: BookView._accepted,
    EventKind.TRADED: BookView._traded,
    EventKind.CANCELLED: BookView._cancelled,
    EventKind.TRIGGERED: BookView._triggered,
    EventKind.ACTIVATED: BookView._activated,
    EventKind.REFRESHED: BookView._refreshed,
    EventKind.PREVENTED: BookView._prevented,
    EventKind.AMENDED: BookView._amended,
    EventKind.UNCROSSED: BookView._uncrossed,
    EventKind.MODE_CHANGED: BookView._mode_changed,
}

KINDS = frozenset(_HANDLERS)  # of event that a view takes
