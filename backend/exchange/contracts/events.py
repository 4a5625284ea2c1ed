"""Read event records (engine/records.py): 136 bytes each."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from engine.records import EVENT, EVENT_SIZE, EventKind, Reason
from exchange.contracts.refusals import Refusal

_EVENT = struct.Struct("<BBBBBBHQqIIQQqqqqQQqqqqQ")
assert _EVENT.size == EVENT_SIZE == EVENT.itemsize


class Event(NamedTuple):
    """One event, fields as engine/records.py declares them."""

    kind: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    reserved: int
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


def read_events(buffer: bytes | memoryview) -> Iterator[Event]:
    """Yield the events of a buffer of whole records."""
    return map(Event._make, _EVENT.iter_unpack(buffer))


def refusal_of(event: Event) -> Refusal | None:
    """Return the refusal of a REJECTED event, None of any other."""
    if event.kind != EventKind.REJECTED:
        return None
    reason = Reason(event.reason)
    return Refusal(reason, ENGINE_DETAILS.get(reason, "the engine refused the command"), sequence=event.sequence)


ENGINE_DETAILS = {
    Reason.INSUFFICIENT_FUNDS: "the available balance does not cover the order; nothing was placed",
    Reason.POST_ONLY_WOULD_CROSS: (
        "the order would have taken liquidity at once, and it is post-only; nothing was placed"
    ),
    Reason.FOK_NOT_FILLABLE: "the book does not hold the whole quantity at this price; nothing was placed",
    Reason.UNKNOWN_ORDER: "no resting order of this account has this id",
    Reason.NOTIONAL_TOO_LARGE: "the order's value is more than the exchange can hold exactly",
}
