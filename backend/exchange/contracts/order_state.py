"""An order as its owner sees it. What an event does to it is compiled: engine/orders/state.pyx."""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from engine.orders.state import OrderState
from engine.records import FLAG_AUCTION, EventKind, Side
from exchange.contracts.events import Event

__all__ = ["Fill", "OrderState", "OrderStatus", "fills_of", "fills_of_order", "maker_fill", "taker_fill"]

NOT_WAITING, WAITS_FOR_TRIGGER, WAITS_FOR_PARENT = 0, 1, 2  # as ACCEPTED tells it
# Bound once: to find a member in its enumeration costs ten times as much as a global name, and every order passes here.
_TRADED, _BUY, _SELL = EventKind.TRADED, Side.BUY, Side.SELL


class OrderStatus(IntEnum):
    """FIX tag 39, as far as an accepted order can be in it. Up to PARTIALLY_FILLED the order is live."""

    WAITING = 0  # for its trigger or its parent
    OPEN = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELLED = 4
    EXPIRED = 5
    REJECTED = 6  # accepted, and refused when its turn came, before it traded


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
