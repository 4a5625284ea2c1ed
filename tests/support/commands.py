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
    FEES_COMMAND,
    FEES_EVENT,
    LAYOUT_VERSION,
    MARKET_COMMAND,
    MARKET_TERMS_COMMAND,
    MODE_COMMAND,
    MODE_EVENT,
    ORDER_COMMAND,
    ORDER_EVENT,
    TRANSFER_COMMAND,
    CommandKind,
    EventKind,
    OrderType,
    Side,
    TimeInForce,
)

LAYOUTS: dict[int, np.dtype[np.void]] = {
    CommandKind.DEFINE_ASSET: ASSET_COMMAND,
    CommandKind.DEFINE_MARKET: MARKET_COMMAND,
    CommandKind.DEPOSIT: TRANSFER_COMMAND,
    CommandKind.WITHDRAW: TRANSFER_COMMAND,
    CommandKind.CONFIGURE_MARKET: MARKET_TERMS_COMMAND,
    CommandKind.SET_MODE: MODE_COMMAND,
    CommandKind.SET_FEES: FEES_COMMAND,
}
_SEQUENCE_AT = ORDER_COMMAND.fields["sequence"][1]  # type: ignore[index]
_TIMESTAMP_AT = ORDER_COMMAND.fields["timestamp_ns"][1]  # type: ignore[index]
TIMESTAMP_STEP_NS = 1_000


def layout_of(command: bytes) -> np.dtype[np.void]:
    """The layout by which a command is read; an unknown kind has that of an order."""
    return LAYOUTS.get(command[1], ORDER_COMMAND)


def record(kind: int, **fields: Any) -> bytes:
    """Any command. Raises OverflowError for what a field cannot hold, ValueError for a field that the kind has not."""
    return override(bytes([LAYOUT_VERSION, kind]) + bytes(COMMAND_SIZE - 2), **fields)


def define_asset(asset: int, name: str, scale: int = 2) -> bytes:
    return record(CommandKind.DEFINE_ASSET, asset=asset, name=name.encode(), scale=scale)


def define_market(market: int, symbol: str, base: int, quote: int, **fields: Any) -> bytes:
    """A market with small round terms and no fees, unless `fields` say otherwise."""
    terms = {"market": market, "symbol": symbol.encode(), "base": base, "quote": quote}
    terms |= {"lot_units": 10, "tick_lot_units": 2, "quantity_lots_min": 1, "quantity_lots_max": 1_000_000}
    return record(CommandKind.DEFINE_MARKET, **{**terms, "price_ticks_max": 1_000_000, **fields})


def configure_market(market: int, **fields: Any) -> bytes:
    """The terms of `define_market`, without band and limits, unless `fields` say otherwise."""
    terms = {"market": market, "quantity_lots_min": 1, "quantity_lots_max": 1_000_000}
    return record(CommandKind.CONFIGURE_MARKET, **{**terms, **fields})


def set_mode(market: int, mode: int, until_ns: int = 0) -> bytes:
    return record(CommandKind.SET_MODE, market=market, mode=mode, until_ns=until_ns)


def clock() -> bytes:
    return record(CommandKind.CLOCK)


def deposit(account: int, asset: int, amount: int, reference: bytes = b"") -> bytes:
    return record(CommandKind.DEPOSIT, account=account, asset=asset, amount=amount, reference=reference)


def withdraw(account: int, asset: int, amount: int, reference: bytes = b"") -> bytes:
    return record(CommandKind.WITHDRAW, account=account, asset=asset, amount=amount, reference=reference)


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


def amend(account: int, order_id: int, **fields: Any) -> bytes:
    """New terms of an order by name: price_ticks, quantity_lots (in all), trigger_price_ticks, display_lots."""
    return record(CommandKind.AMEND, account=account, order_id=order_id, **fields)


def cancel_replace(order_id: int, order: bytes, **fields: Any) -> bytes:
    """Cancel `order_id` and place `order`, a PLACE command."""
    return override(order, kind=CommandKind.CANCEL_REPLACE, order_id=order_id, **fields)


def mass_cancel(
    account: int = 0, market: int = 0, side: int = 0, low: int = 0, high: int = 0, prefix: bytes = b""
) -> bytes:
    """Zero (or nothing): any. `low` to `high`: limit prices, in ticks."""
    scope = {"account": account, "market": market, "side": side, "client_order_id": prefix}
    return record(CommandKind.MASS_CANCEL, **scope, price_ticks=low, trigger_price_ticks=high)


def cancel_after(account: int, expire_ns: int) -> bytes:
    """The account's dead-man timer; 0: none."""
    return record(CommandKind.CANCEL_AFTER, account=account, expire_ns=expire_ns)


def set_fees(account: int, maker_share_ppm: int, taker_share_ppm: int) -> bytes:
    shares = {"maker_share_ppm": maker_share_ppm, "taker_share_ppm": taker_share_ppm}
    return record(CommandKind.SET_FEES, account=account, **shares)


def override(command: bytes, **fields: Any) -> bytes:
    """The command with other values in these fields of its layout."""
    values: Any = np.frombuffer(command, dtype=layout_of(command)).copy()
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
    """Gives commands the sequences from 1 on, and a time that goes with them until it is set to another."""

    def __init__(self, sequence: int = 0) -> None:
        self.sequence = sequence
        self.timestamp_ns = sequence * TIMESTAMP_STEP_NS

    def stamp(self, *commands: bytes, timestamp_ns: int | None = None) -> bytes:
        """The commands as one batch that follows the last one: each a step later, or the first at this time."""
        if timestamp_ns is not None:
            self.timestamp_ns = timestamp_ns - TIMESTAMP_STEP_NS
        return b"".join(self._next(command) for command in commands)

    def _next(self, command: bytes) -> bytes:
        self.sequence += 1
        self.timestamp_ns = min(self.timestamp_ns + TIMESTAMP_STEP_NS, 2**63 - 1)
        return stamp(command, self.sequence, self.timestamp_ns)


def split_commands(batch: bytes) -> list[bytes]:
    return [batch[at : at + COMMAND_SIZE] for at in range(0, len(batch), COMMAND_SIZE)]


def read_command(command: bytes) -> dict[str, Any]:
    """The fields of a record by name."""
    layout = layout_of(command)
    values = np.frombuffer(command, dtype=layout, count=1)[0]
    return {name: values[name].item() for name in layout.names or () if name != "padding"}


class Event(NamedTuple):
    """The fields of an event record, whichever view its kind is read by; what that view does not have is zero."""

    kind: EventKind
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
    # EVENT and ORDER_EVENT
    price_ticks: int = 0
    quantity_lots: int = 0
    remaining_lots: int = 0
    amount: int = 0
    # EVENT
    maker_order_id: int = 0
    maker_account: int = 0
    maker_remaining_lots: int = 0
    taker_fee: int = 0
    maker_fee: int = 0
    hold_released: int = 0
    trade_id: int = 0
    # ORDER_EVENT
    trigger_price_ticks: int = 0
    display_lots: int = 0
    visible_lots: int = 0
    expire_ns: int = 0
    linked_order_id: int = 0
    ahead_lots: int = 0
    ahead_orders: int = 0
    trail_ticks: int = 0
    # MODE_EVENT
    mode: int = 0
    previous_mode: int = 0
    until_ns: int = 0
    reference_price_ticks: int = 0
    # FEES_EVENT
    maker_share_ppm: int = 0
    taker_share_ppm: int = 0
    padding: bytes = b""


VIEWS = {
    EventKind.TRADED: EVENT,
    EventKind.PREVENTED: EVENT,
    EventKind.MODE_CHANGED: MODE_EVENT,
    EventKind.FEES_SET: FEES_EVENT,
}
assert all(set(view.names or ()) <= set(Event._fields) for view in (ORDER_EVENT, *VIEWS.values()))


def read_events(data: bytes) -> list[Event]:
    """The events of a buffer that `apply` returned, each by the view of its kind."""
    assert len(data) % EVENT_SIZE == 0, f"{len(data)} bytes are no whole number of events of {EVENT_SIZE}"
    return [_read_event(data[at : at + EVENT_SIZE]) for at in range(0, len(data), EVENT_SIZE)]


def _read_event(data: bytes) -> Event:
    view = VIEWS.get(EventKind(data[0]), ORDER_EVENT)
    values = dict(zip(view.names or (), np.frombuffer(data, dtype=view).tolist()[0], strict=True))
    assert not any(values.get("padding", b"")), "what a kind does not use is zero"
    return Event(**{**values, "kind": EventKind(data[0]), "padding": b""})
