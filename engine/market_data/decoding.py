"""Event records as named tuples: what a view of the market needs of them, and nothing else.

All kinds are read by one layout, `EVENT`; what `ORDER_EVENT` and `MODE_EVENT` call its fields are properties.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from engine.records import EVENT, EVENT_SIZE

Buffer = bytes | bytearray | memoryview


class Event(NamedTuple):
    """One event; see `engine.records` for what each kind puts where."""

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
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    amount: int
    maker_order_id: int
    maker_account: int
    maker_remaining_lots: int
    trade_id: int

    @property
    def waits_for(self) -> int:
        """ACCEPTED: 1 for its trigger, 2 for its parent, 0 for nothing."""
        return self.asset

    @property
    def display_lots(self) -> int:
        """What an iceberg shows at a time, 0 for other orders."""
        return self.maker_account

    @property
    def visible_lots(self) -> int:
        """What an iceberg shows now."""
        return self.maker_remaining_lots

    @property
    def reference_price_ticks(self) -> int:
        """MODE_CHANGED: the middle of the price band, 0 for none."""
        return self.price_ticks

    @property
    def mode(self) -> int:
        """MODE_CHANGED: the mode from now on."""
        return self.quantity_lots

    @property
    def previous_mode(self) -> int:
        """MODE_CHANGED: the mode until now."""
        return self.remaining_lots

    @property
    def until_ns(self) -> int:
        """MODE_CHANGED: when the auction ends by itself, 0 for never."""
        return self.amount


_CODES = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i8": "q"}


def _format(layout: np.dtype[np.void]) -> str:
    """The struct format of a packed layout that skips the fields no Event has."""
    codes = []
    for name in layout.names or ():
        field = layout[name]
        codes.append(_CODES[field.str[1:]] if name in Event._fields else f"{field.itemsize}x")
    return "<" + "".join(codes)


_EVENT = struct.Struct(_format(EVENT))
assert _EVENT.size == EVENT_SIZE


def read_events(events: Buffer) -> Iterator[Event]:
    """The records of a buffer in their order. Raises ValueError for one that is no whole number of records."""
    if len(events) % EVENT_SIZE:
        raise ValueError(f"a batch of events is a multiple of {EVENT_SIZE} bytes, this one has {len(events)}")
    return map(Event._make, _EVENT.iter_unpack(events))


def events_until(events: Buffer, sequence: int) -> Buffer:
    """The records that commands up to this sequence caused, from the beginning of a buffer."""
    count = int(np.frombuffer(events, EVENT)["sequence"].searchsorted(sequence, side="right"))
    return events[: count * EVENT_SIZE]
