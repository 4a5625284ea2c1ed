"""An order as its owner sees it: a fold over events. The one place that knows what an event does to an order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from engine.records import FLAG_AUCTION, Contingency, EventKind, OrderType, Reason, SelfTrade, Side
from exchange.contracts.commands import client_order_id, untold_terms
from exchange.contracts.events import Event

NOT_WAITING, WAITS_FOR_TRIGGER, WAITS_FOR_PARENT = 0, 1, 2  # as ACCEPTED tells it
# Bound once: to find a member in its enumeration costs ten times as much as a global name, and every order passes here.
_TRADED, _BUY, _SELL = EventKind.TRADED, Side.BUY, Side.SELL
_ONE_CANCELS_OTHER, _ONE_TRIGGERS_OTHER = Contingency.ONE_CANCELS_OTHER, Contingency.ONE_TRIGGERS_OTHER
END_STAGE = 4000  # reasons below are refusals: the order met one when its turn came


class OrderStatus(IntEnum):
    """FIX tag 39, as far as an accepted order can be in it. Up to PARTIALLY_FILLED the order is live."""

    WAITING = 0  # for its trigger or its parent
    OPEN = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELLED = 4
    EXPIRED = 5
    REJECTED = 6  # accepted, and refused when its turn came, before it traded


_WAITING, _OPEN, _PARTIALLY_FILLED, _FILLED = (
    OrderStatus.WAITING, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED,
)  # fmt: skip


@dataclass(slots=True)
class OrderState:
    """An accepted order. ``remaining_lots`` is 0 once it has ended; what a cancelled order did not trade is
    ``quantity_lots - filled_lots``."""

    order_id: int
    account: int
    client_order_id: str | None
    market: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    self_trade: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    filled_lots: int
    filled_quote_units: int
    fee_units: int  # of the asset it receives: base for a buy, quote for a sell
    prevented_lots: int  # what it would have traded with its own account
    quote_units: int  # a market order by amount: what it was to spend or to receive, else 0
    trigger_price_ticks: int  # of a trailing stop: as events told it last; it moves without one
    trail_ticks: int
    display_lots: int
    visible_lots: int  # what an iceberg shows now, 0 for others
    min_quantity_lots: int
    expire_ns: int
    other_leg_id: int  # as they were linked, ended or not; 0 for none
    parent_id: int
    child_id: int
    waiting: int
    amendments: int
    status: int
    end_reason: int
    sequence: int
    created_ns: int
    updated_ns: int

    @classmethod
    def accepted(cls, event: Event, command: bytes) -> "OrderState":
        """Return the order of an ACCEPTED event and the command that placed it."""
        contingency, amount, min_quantity_lots = untold_terms(command)
        # By position, as every order passes here: ORDER_EVENT in engine/records.py.
        (
            _, side, order_type, time_in_force, flags, self_trade, _, sequence, timestamp_ns, market, waiting, order_id,
            account, price_ticks, quantity_lots, _, _, trigger_price_ticks, display_lots, visible_lots, expire_ns,
            linked, _, tail,
        ) = event  # fmt: skip
        return cls(
            order_id, account, client_order_id(command), market, side, order_type, time_in_force, flags, self_trade,
            price_ticks, quantity_lots, quantity_lots, 0, 0, 0, 0, amount, trigger_price_ticks, tail >> 32,
            display_lots, visible_lots if display_lots else 0, min_quantity_lots, expire_ns,
            linked if contingency == _ONE_CANCELS_OTHER else 0, 0,
            linked if contingency == _ONE_TRIGGERS_OTHER else 0, waiting, 0,
            _WAITING if waiting else _OPEN, 0, sequence, timestamp_ns, timestamp_ns,
        )  # fmt: skip

    @property
    def named_id(self) -> int:
        """The order that it named when it was accepted, as its other leg or its child; 0 for none."""
        return self.other_leg_id or self.child_id

    @property
    def is_live(self) -> bool:
        return self.status <= _PARTIALLY_FILLED

    @property
    def shown_lots(self) -> int:
        """What it shows in the book between two commands, 0 for one that is not in it."""
        if self.waiting or self.status > _PARTIALLY_FILLED:
            return 0
        return self.visible_lots if self.display_lots else self.remaining_lots

    def take(self, event: Event) -> None:
        """Take an event that names this order: as its subject, or as taker or maker."""
        kind = event.kind
        if kind == EventKind.TRADED:
            is_maker = event.maker_order_id == self.order_id
            self.fill(event, event.maker_fee if is_maker else event.taker_fee, is_maker)
        elif kind == EventKind.CANCELLED:
            self._end(event)
        elif kind == EventKind.PREVENTED:
            self._prevent(event)
        elif kind in (EventKind.TRIGGERED, EventKind.ACTIVATED, EventKind.REFRESHED, EventKind.AMENDED):
            self._change(event)

    def fill(self, trade: Event, fee_units: int, is_maker: bool) -> None:
        """Take a TRADED event in which this order was the taker or the maker."""
        self.remaining_lots -= trade.quantity_lots
        self.filled_lots += trade.quantity_lots
        self.filled_quote_units += trade.amount
        self.fee_units += fee_units
        if self.display_lots:
            self._show_less(trade.quantity_lots, is_maker, bool(trade.flags & FLAG_AUCTION))
        self.status = _PARTIALLY_FILLED if self.remaining_lots else _FILLED
        self._touch(trade)

    def link(self, other: "OrderState") -> None:
        """Take that another order was accepted which names this one."""
        if other.other_leg_id == self.order_id:
            self.other_leg_id = other.order_id
        elif other.child_id == self.order_id:
            self.parent_id = other.order_id

    def _end(self, event: Event) -> None:
        self.remaining_lots = self.visible_lots = self.waiting = 0
        self.end_reason = event.reason
        if event.reason == Reason.EXPIRED:
            self.status = OrderStatus.EXPIRED
        elif event.reason < END_STAGE and not self.filled_lots:
            self.status = OrderStatus.REJECTED
        else:
            self.status = OrderStatus.CANCELLED
        self._touch(event)

    def _prevent(self, event: Event) -> None:
        """A self-trade that did not happen; with DECREMENT both orders are smaller by it."""
        self.prevented_lots += event.quantity_lots
        if event.self_trade == SelfTrade.DECREMENT:
            self.quantity_lots -= event.quantity_lots
            self.remaining_lots -= event.quantity_lots
            if self.display_lots:
                self._show_less(event.quantity_lots, event.maker_order_id == self.order_id, False)
        self._touch(event)

    def _change(self, event: Event) -> None:
        self.remaining_lots = event.remaining_lots
        if event.kind == EventKind.REFRESHED:
            self.visible_lots = event.visible_lots
        else:
            self.quantity_lots, self.price_ticks = event.quantity_lots, event.price_ticks
            self.trigger_price_ticks, self.trail_ticks = event.trigger_price_ticks, event.trail_ticks
        if event.kind == EventKind.TRIGGERED:
            self.waiting = NOT_WAITING
        elif event.kind != EventKind.REFRESHED:  # amended or activated
            self.display_lots, self.expire_ns = event.display_lots, event.expire_ns
            self.visible_lots = event.visible_lots if event.display_lots else 0
        if event.kind == EventKind.ACTIVATED:
            self.waiting = WAITS_FOR_TRIGGER if self.order_type > OrderType.LIMIT else NOT_WAITING
        elif event.kind == EventKind.AMENDED:
            self.amendments += 1
        if self.waiting:
            self.status = OrderStatus.WAITING
        else:
            self.status = OrderStatus.PARTIALLY_FILLED if self.filled_lots else OrderStatus.OPEN
        self._touch(event)

    def _show_less(self, lots: int, is_maker: bool, auction: bool) -> None:
        """An iceberg after it traded: a taker shows anew what it keeps, a maker's next slice is an event."""
        anew = min(self.display_lots, self.remaining_lots)
        if auction:
            self.visible_lots = min(self.visible_lots, self.remaining_lots) or anew
        else:
            self.visible_lots = self.visible_lots - lots if is_maker else anew

    def _touch(self, event: Event) -> None:
        self.sequence = event.sequence
        self.updated_ns = event.timestamp_ns


class Fill(NamedTuple):
    """One side of a trade, as the order's owner sees it. In an auction nobody took: ``is_maker`` is the seller."""

    trade_id: int
    order_id: int
    market: int
    side: int
    price_ticks: int
    quantity_lots: int
    is_maker: bool
    is_auction: bool
    fee_units: int
    executed_ns: int


def fills_of(trade: Event) -> tuple[Fill, Fill]:
    """Return the taker's and the maker's fill of a TRADED event."""
    return taker_fill(trade), maker_fill(trade)


def fills_of_order(events: Iterable[Event], order_id: int) -> Iterator[Fill]:
    """Yield the fills of one order."""
    for event in events:
        if event.kind == _TRADED:
            if event.order_id == order_id:
                yield taker_fill(event)
            elif event.maker_order_id == order_id:
                yield maker_fill(event)


def taker_fill(trade: Event) -> Fill:
    """The fill of the order that took; in an auction of the buy."""
    return Fill(
        trade.trade_id, trade.order_id, trade.market, trade.side, trade.price_ticks, trade.quantity_lots, False,
        bool(trade.flags & FLAG_AUCTION), trade.taker_fee, trade.timestamp_ns,
    )  # fmt: skip


def maker_fill(trade: Event) -> Fill:
    """The fill of the order that rested; in an auction of the sell."""
    side = _SELL if trade.side == _BUY else _BUY
    return Fill(
        trade.trade_id, trade.maker_order_id, trade.market, side, trade.price_ticks, trade.quantity_lots, True,
        bool(trade.flags & FLAG_AUCTION), trade.maker_fee, trade.timestamp_ns,
    )  # fmt: skip
