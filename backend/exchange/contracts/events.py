"""Read event records (engine/records.py): 136 bytes each."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from engine.records import EVENT, EVENT_SIZE, EventKind, Reason
from exchange.contracts.refusals import Refusal

_EVENT = struct.Struct("<BBBBBBHQqIIQQqqqqQQqqqqQ")
assert _EVENT.size == EVENT_SIZE == EVENT.itemsize


class Event(NamedTuple):
    """One event, fields as EVENT in engine/records.py declares them.

    ORDER_EVENT, MODE_EVENT and FEES_EVENT use the same bytes for other things: those are the properties, each of which
    means something for the kinds of its view only, and the fields from ``maker_order_id`` on for TRADED and PREVENTED
    only.
    """

    kind: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    self_trade: int
    reason: int
    sequence: int
    timestamp_ns: int
    market: int
    asset: int
    order_id: int
    account: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    amount: int
    maker_order_id: int
    maker_account: int
    maker_remaining_lots: int
    taker_fee: int
    maker_fee: int
    hold_released: int
    trade_id: int

    # ORDER_EVENT

    @property
    def waiting(self) -> int:
        """ACCEPTED: 1 waits for its trigger, 2 for its parent, 0 for nothing."""
        return self.asset

    @property
    def trigger_price_ticks(self) -> int:
        return self.maker_order_id

    @property
    def display_lots(self) -> int:
        return self.maker_account

    @property
    def visible_lots(self) -> int:
        return self.maker_remaining_lots

    @property
    def expire_ns(self) -> int:
        return self.taker_fee

    @property
    def linked_order_id(self) -> int:
        return self.maker_fee & 0xFFFF_FFFF_FFFF_FFFF

    @property
    def ahead_lots(self) -> int:
        return self.hold_released

    @property
    def ahead_orders(self) -> int:
        return self.trade_id & 0xFFFF_FFFF

    @property
    def trail_ticks(self) -> int:
        return self.trade_id >> 32

    # MODE_EVENT

    @property
    def reference_price_ticks(self) -> int:
        return self.price_ticks

    @property
    def mode(self) -> int:
        return self.quantity_lots

    @property
    def previous_mode(self) -> int:
        return self.remaining_lots

    @property
    def until_ns(self) -> int:
        return self.amount

    # FEES_EVENT

    @property
    def maker_share_ppm(self) -> int:
        return self.price_ticks

    @property
    def taker_share_ppm(self) -> int:
        return self.quantity_lots


def read_events(buffer: bytes | memoryview) -> Iterator[Event]:
    """Yield the events of a buffer of whole records."""
    return map(Event._make, _EVENT.iter_unpack(buffer))


def write_event(event: Event) -> bytes:
    """Return the record that an event was read of."""
    return _EVENT.pack(*event)


_REJECTED = int(EventKind.REJECTED)


def is_rejected(events: bytes) -> bool:
    """Whether a command's events hold its refusal. Others may come before it: time passes first."""
    return _REJECTED in events[::EVENT_SIZE]


def refusal_of(event: Event) -> Refusal | None:
    """Return the refusal of a REJECTED event, None of any other."""
    if event.kind != EventKind.REJECTED:
        return None
    reason = Reason(event.reason)
    return Refusal(reason, engine_detail(reason), sequence=event.sequence)


def find_refusal(events: bytes) -> Refusal | None:
    """Return why a command was refused, None where it was not."""
    if not is_rejected(events):
        return None
    return next(refusal for event in read_events(events) if (refusal := refusal_of(event)) is not None)


def engine_detail(reason: Reason) -> str:
    """A refusal of the engine in a sentence."""
    return ENGINE_DETAILS.get(reason, "the engine refused the command; nothing was placed or changed")


ENGINE_DETAILS = {
    Reason.INSUFFICIENT_FUNDS: "the available balance does not cover the order; nothing was placed",
    Reason.POST_ONLY_WOULD_CROSS: (
        "the order would have taken liquidity at once, and it is post-only; nothing was placed"
    ),
    Reason.FOK_NOT_FILLABLE: "the book does not hold the whole quantity at this price; nothing was placed",
    Reason.MIN_QUANTITY_NOT_FILLABLE: (
        "the book does not hold the least quantity to trade at once at this price; nothing was placed"
    ),
    Reason.UNKNOWN_ORDER: "no live order of this account has this id",
    Reason.NOTIONAL_TOO_LARGE: "the order's value is more than the exchange can hold exactly",
    Reason.NOTIONAL_TOO_SMALL: "the order's value is below the market's minimum; nothing was placed",
    Reason.QUANTITY_OUT_OF_RANGE: "the quantity is outside the market's range; nothing was placed",
    Reason.OPEN_ORDERS_LIMIT: "the account has as many live orders in this market as it may; nothing was placed",
    Reason.POSITION_LIMIT: "with this order the account could own more than it may; nothing was placed",
    Reason.MARKET_CANCEL_ONLY: "the market takes nothing but cancels now",
    Reason.MARKET_POST_ONLY: "the market takes no order now that would trade at once; nothing was placed",
    Reason.MARKET_HALTED: "the market is halted; orders rest as they are",
    Reason.MARKET_IN_AUCTION: "the market collects orders for an auction, and this one cannot wait for it",
    Reason.PRICE_BAND: "the price is outside the band around the market's reference; nothing was placed",
    Reason.TRIGGER_ALREADY_MET: "the last price meets the trigger already; nothing was placed or changed",
    Reason.TRAIL_INVALID: "the trigger that the trail gives from the last price is not a price of this market",
    Reason.QUANTITY_BELOW_FILLED: "the order has filled that much already; nothing was changed",
    Reason.TRAILING_ORDERS_FULL: "the market has as many trailing stops as it may; nothing was placed",
    Reason.NO_LIQUIDITY: "there is nothing in the book to trade with; nothing was placed",
    Reason.LINK_INVALID: "the order that this one hangs on does not allow it; nothing was placed",
    Reason.EXPIRE_TIME_INVALID: "the expiry was past when the order arrived; nothing was placed",
}
