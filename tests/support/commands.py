"""Command records that read well, and events as named tuples.

The builders make records without a sequence; a `Sequencer` stamps them. Any field of a record may be given by name.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.records import (
    ASSET_COMMAND,
    COMMAND_SIZE,
    EVENT,
    EVENT_SIZE,
    LAYOUT_VERSION,
    MARKET_COMMAND,
    ORDER_COMMAND,
    TRANSFER_COMMAND,
    CommandKind,
    EventKind,
    OrderType,
    Side,
    TimeInForce,
)

LAYOUTS = {
    CommandKind.DEFINE_ASSET: ASSET_COMMAND,
    CommandKind.DEFINE_MARKET: MARKET_COMMAND,
    CommandKind.DEPOSIT: TRANSFER_COMMAND,
    CommandKind.WITHDRAW: TRANSFER_COMMAND,
    CommandKind.PLACE: ORDER_COMMAND,
    CommandKind.CANCEL: ORDER_COMMAND,
}
_SEQUENCE_AT = ORDER_COMMAND.fields["sequence"][1]  # type: ignore[index]
_TIMESTAMP_AT = ORDER_COMMAND.fields["timestamp_ns"][1]  # type: ignore[index]
TIMESTAMP_STEP_NS = 1_000


def record(kind: int, **fields: Any) -> bytes:
    """Any command; an unknown kind has the layout of an order. Raises OverflowError for what a field cannot hold."""
    layout = LAYOUTS.get(kind, ORDER_COMMAND)  # type: ignore[call-overload]
    values: Any = np.zeros(1, dtype=layout)
    for name, value in {"version": LAYOUT_VERSION, "kind": int(kind), **fields}.items():
        values[name] = value
    return bytes(values.tobytes())


def define_asset(asset: int, name: str, scale: int = 2) -> bytes:
    return record(CommandKind.DEFINE_ASSET, asset=asset, name=name.encode(), scale=scale)


def define_market(market: int, symbol: str, base: int, quote: int, **fields: Any) -> bytes:
    """A market with small round terms and no fees, unless `fields` say otherwise."""
    terms = {"market": market, "symbol": symbol.encode(), "base": base, "quote": quote}
    terms |= {"lot_units": 10, "tick_lot_units": 2, "quantity_lots_min": 1, "quantity_lots_max": 1_000_000}
    return record(CommandKind.DEFINE_MARKET, **{**terms, "price_ticks_max": 1_000_000, **fields})


def deposit(account: int, asset: int, amount: int) -> bytes:
    return record(CommandKind.DEPOSIT, account=account, asset=asset, amount=amount)


def withdraw(account: int, asset: int, amount: int) -> bytes:
    return record(CommandKind.WITHDRAW, account=account, asset=asset, amount=amount)


def place(account: int, market: int, side: int, price_ticks: int, quantity_lots: int, **fields: Any) -> bytes:
    """A GTC limit order, unless `fields` say otherwise."""
    terms = {"account": account, "market": market, "side": side, "price_ticks": price_ticks}
    terms |= {"quantity_lots": quantity_lots, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC}
    return record(CommandKind.PLACE, **{**terms, **fields})


def place_market(account: int, market: int, side: int, quantity_lots: int, **fields: Any) -> bytes:
    """An IOC market order without protection, unless `fields` say otherwise."""
    terms = {"price_ticks": 0, "order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC, **fields}
    return place(account, market, side, quantity_lots=quantity_lots, **terms)


def cancel(account: int, order_id: int) -> bytes:
    return record(CommandKind.CANCEL, account=account, order_id=order_id)


def override(command: bytes, **fields: Any) -> bytes:
    """The command with other values in these fields of its layout."""
    values: Any = np.frombuffer(command, dtype=LAYOUTS.get(command[1], ORDER_COMMAND)).copy()  # type: ignore[call-overload]
    for name, value in fields.items():
        values[name] = value
    return bytes(values.tobytes())


BUY, SELL = Side.BUY, Side.SELL


def stamp(command: bytes, sequence: int, timestamp_ns: int) -> bytes:
    """The command with this sequence and time."""
    stamped = bytearray(command)
    stamped[_SEQUENCE_AT : _SEQUENCE_AT + 8] = sequence.to_bytes(8, "little")
    stamped[_TIMESTAMP_AT : _TIMESTAMP_AT + 8] = timestamp_ns.to_bytes(8, "little", signed=True)
    return bytes(stamped)


class Sequencer:
    """Gives commands the sequences from 1 on, and a time that goes with them."""

    def __init__(self, sequence: int = 0) -> None:
        self.sequence = sequence

    def stamp(self, *commands: bytes) -> bytes:
        """The commands as one batch that follows the last one."""
        return b"".join(self._next(command) for command in commands)

    def _next(self, command: bytes) -> bytes:
        self.sequence += 1
        return stamp(command, self.sequence, self.sequence * TIMESTAMP_STEP_NS)


def split_commands(batch: bytes) -> list[bytes]:
    return [batch[at : at + COMMAND_SIZE] for at in range(0, len(batch), COMMAND_SIZE)]


def read_command(command: bytes) -> dict[str, Any]:
    """The fields of a record; an unknown kind has the layout of an order."""
    layout: np.dtype[np.void] = LAYOUTS.get(command[1], ORDER_COMMAND)  # type: ignore[call-overload]
    values = np.frombuffer(command, dtype=layout, count=1)[0]
    return {name: values[name].item() for name in layout.names or () if name != "padding"}


class Event(NamedTuple):
    """The fields of an event record, in its order."""

    kind: EventKind
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


assert Event._fields == EVENT.names


def read_events(data: bytes) -> list[Event]:
    """The events of a buffer that `apply` returned."""
    assert len(data) % EVENT_SIZE == 0, f"{len(data)} bytes are no whole number of events of {EVENT_SIZE}"
    rows = np.frombuffer(data, dtype=EVENT).tolist()
    return [Event(EventKind(row[0]), *row[1:]) for row in rows]
