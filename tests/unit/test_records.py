"""The records' layout: declared once, mirrored for C and for struct."""

import numpy as np

from engine import records
from engine.matching.shard import layout
from exchange.contracts import commands, events


def test_the_c_records_have_the_declared_sizes() -> None:
    assert layout() == {name: getattr(records, name).itemsize for name in layout()}


def test_a_command_made_for_the_wire_reads_back_field_by_field() -> None:
    command = commands.place(7, 3, 2, 2, 4, 1, 123, 456, b"my-order")
    commands.stamp(command, 99, 1_000)
    read = np.frombuffer(command, records.ORDER_COMMAND)[0]
    named = {name: read[name].item() for name in ("account", "market", "side", "order_type", "time_in_force", "flags")}
    assert named == {"account": 7, "market": 3, "side": 2, "order_type": 2, "time_in_force": 4, "flags": 1}
    assert (read["price_ticks"], read["quantity_lots"], read["sequence"], read["timestamp_ns"]) == (123, 456, 99, 1_000)
    assert (read["client_order_id"], commands.client_order_id(command)) == (b"my-order", "my-order")


def test_definitions_read_back_field_by_field() -> None:
    terms = {
        "lot_units": 11, "tick_lot_units": 12, "quantity_lots_min": 13, "quantity_lots_max": 14,
        "notional_units_min": 15, "price_ticks_max": 16, "maker_fee_ppm": 17, "taker_fee_ppm": 18,
    }  # fmt: skip
    market = np.frombuffer(commands.define_market(1, "A/B", 2, 3, **terms), records.MARKET_COMMAND)[0]
    assert {name: market[name].item() for name in terms} == terms
    assert (market["market"], market["base"], market["quote"], market["symbol"]) == (1, 2, 3, b"A/B")
    asset = np.frombuffer(commands.define_asset(4, "USD", 10), records.ASSET_COMMAND)[0]
    assert (asset["asset"], asset["name"], asset["scale"]) == (4, b"USD", 10)


def test_an_event_reads_the_same_by_struct_and_by_numpy() -> None:
    rng = np.random.default_rng(1)
    data = rng.bytes(records.EVENT_SIZE * 50)
    by_numpy = np.frombuffer(data, records.EVENT)
    for event, record in zip(events.read_events(data), by_numpy, strict=True):
        assert event._asdict() == {name: record[name].item() for name in records.EVENT.names}
