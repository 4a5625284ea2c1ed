"""The records' layout: declared once, mirrored for C and for struct."""

from typing import Any

import numpy as np
import pytest

from engine import records
from engine.matching.shard import layout
from engine.records import CommandKind, EventKind
from exchange.contracts import commands, events
from tests.support import commands as readable

_TERMS = {
    "lot_units": 11, "tick_lot_units": 12, "quantity_lots_min": 13, "quantity_lots_max": 14, "notional_units_min": 15,
    "price_ticks_max": 16, "maker_fee_ppm": 17, "taker_fee_ppm": 18,
}  # fmt: skip
_NEW_TERMS = {
    "maker_fee_ppm": 1, "taker_fee_ppm": 2, "quantity_lots_min": 3, "quantity_lots_max": 4, "notional_units_min": 5,
    "open_orders_max": 6, "position_lots_max": 7, "band_ppm": 8, "band_action": 9, "band_interval_ns": 10,
    "band_auction_ns": 11, "reference_price_ticks": 12,
}  # fmt: skip
_ORDER = {
    "order_id": 1, "self_trade": 2, "contingency": 3, "amount": 4, "trigger_price_ticks": 5, "trail_ticks": 6,
    "display_lots": 7, "min_quantity_lots": 8, "expire_ns": 9, "group": 10,
}  # fmt: skip
_PLACED = {"order_type": 6, "time_in_force": 4, "flags": 3, "client_order_id": b"my-order", **_ORDER}

# Every command as the exchange makes it, and as the tests do, by the names in its declared layout.
MADE = [
    (commands.define_asset(4, "USD", 10), readable.define_asset(4, "USD", 10)),
    (commands.define_market(1, "A/B", 2, 3, **_TERMS), readable.define_market(1, "A/B", 2, 3, **_TERMS)),
    (commands.configure_market(5, **_NEW_TERMS), readable.configure_market(5, **_NEW_TERMS)),
    (commands.set_mode(7, 4, 99), readable.set_mode(7, 4, 99)),
    (commands.clock(), readable.clock()),
    (commands.deposit(7, 2, 5, b"wire-9"), readable.deposit(7, 2, 5, b"wire-9")),
    (commands.withdraw(7, 2, 5), readable.withdraw(7, 2, 5)),
    (commands.cancel(7, 5), readable.cancel(7, 5)),
    (commands.cancel_after(7, 9), readable.cancel_after(7, 9)),
    (commands.set_fees(7, 500_000, 0), readable.set_fees(7, 500_000, 0)),
    (
        commands.place(7, 3, 2, 6, 4, 3, 123, 456, b"my-order", **_ORDER),
        readable.place(7, 3, 2, 123, 456, **_PLACED),
    ),
    (
        commands.place(7, 3, 2, 6, 4, 3, 123, 456, b"my-order", kind=CommandKind.CANCEL_REPLACE, **_ORDER),
        readable.cancel_replace(1, readable.place(7, 3, 2, 123, 456, **_PLACED)),
    ),
    (
        commands.amend(7, 5, price_ticks=1, quantity_lots=2, trigger_price_ticks=3, display_lots=4),
        readable.amend(7, 5, price_ticks=1, quantity_lots=2, trigger_price_ticks=3, display_lots=4),
    ),
    (commands.mass_cancel(7, 1, 2, 3, 4, b"my-"), readable.mass_cancel(7, 1, 2, 3, 4, b"my-")),
]


def test_the_c_records_have_the_declared_sizes() -> None:
    assert layout() == {name: getattr(records, name).itemsize for name in layout()}


def test_every_command_has_one_size_and_every_event_has_one() -> None:
    declared = [value for value in vars(records).values() if isinstance(value, np.dtype)]
    assert {value.itemsize for value in declared} == {records.COMMAND_SIZE, records.EVENT_SIZE}
    assert len(declared) == 11


@pytest.mark.parametrize(("made", "declared"), MADE, ids=lambda record: CommandKind(record[1]).name)
def test_a_command_made_for_the_wire_is_the_declared_record(made: bytearray, declared: bytes) -> None:
    assert bytes(made) == declared
    assert made[0] == records.LAYOUT_VERSION


def test_all_kinds_of_commands_are_made() -> None:
    assert {made[1] for made, _ in MADE} == set(CommandKind)


def test_an_order_made_for_the_wire_reads_back_field_by_field() -> None:
    command = commands.place(7, 3, 2, 6, 4, 3, 123, 456, b"my-order", **_ORDER)
    commands.stamp(command, 99, 1_000)
    read = np.frombuffer(command, records.ORDER_COMMAND)[0]
    assert commands.read_order(command)._asdict() == {
        name: read[name].item().ljust(36, b"\0") if name == "client_order_id" else read[name].item()
        for name in records.ORDER_COMMAND.names or ()
    }
    assert (commands.sequence_of(command), commands.client_order_id(command)) == (99, "my-order")


def test_a_transfer_keeps_its_reference_where_an_order_has_its_client_order_id() -> None:
    command = commands.deposit(7, 2, 5, b"wire-9")
    assert (commands.reference(command), commands.client_order_id(command)) == ("wire-9", "wire-9")
    assert commands.reference(commands.withdraw(7, 2, 5)) is None
    assert commands.reference(commands.deposit(7, 2, 5, b"r" * 36)) == "r" * 36
    assert commands.reference(readable.override(bytes(command), version=1)) is None
    with pytest.raises(ValueError):
        commands.deposit(7, 2, 5, b"r" * 37)


def test_the_order_that_an_accepted_one_names_may_have_any_number() -> None:
    accepted: Any = np.zeros(1, records.ORDER_EVENT)
    accepted["kind"], accepted["linked_order_id"] = EventKind.ACCEPTED, 2**64 - 1
    (event,) = events.read_events(accepted.tobytes())
    assert event.linked_order_id == 2**64 - 1


@pytest.mark.parametrize("kind", EventKind, ids=lambda kind: kind.name)
def test_an_event_reads_the_same_by_struct_and_by_the_view_of_its_kind(kind: EventKind) -> None:
    data = np.random.default_rng(1).integers(0, 128, records.EVENT_SIZE * 50, dtype=np.uint8)
    rows = data.reshape(50, records.EVENT_SIZE)
    rows[:, 0] = kind
    rows[:, 7::8] &= 0x3F  # no number so large that its sign would count
    if kind is EventKind.MODE_CHANGED:
        rows[:, records.EVENT_SIZE - 56 :] = 0
    if kind is EventKind.FEES_SET:
        rows[:, records.EVENT_SIZE - 72 :] = 0
    by_struct = list(events.read_events(data.tobytes()))
    by_numpy = readable.read_events(data.tobytes())
    view = readable.VIEWS.get(kind, records.ORDER_EVENT)
    for one, other in zip(by_struct, by_numpy, strict=True):
        assert {n: getattr(one, n) for n in view.names or () if n != "padding"} == {
            n: getattr(other, n) for n in view.names or () if n != "padding"
        }
