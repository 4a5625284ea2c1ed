"""Command records to dataclasses, and events to records. The layouts are those of `engine.records`."""

import dataclasses
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from engine.records import EVENT, FEES_EVENT, MODE_EVENT, ORDER_EVENT, CommandKind, EventKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The header that every command record starts with."""

    version: int
    kind: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    self_trade: int
    contingency: int
    sequence: int
    timestamp_ns: int
    account: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCommand(Command):
    """PLACE, CANCEL, AMEND, CANCEL_REPLACE, MASS_CANCEL and CANCEL_AFTER."""

    order_id: int
    market: int
    trail_ticks: int
    price_ticks: int
    quantity_lots: int
    amount: int
    trigger_price_ticks: int
    display_lots: int
    expire_ns: int
    client_order_id: bytes
    group: int
    min_quantity_lots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCommand(Command):
    """DEPOSIT and WITHDRAW."""

    asset: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetCommand(Command):
    """DEFINE_ASSET."""

    asset: int
    scale: int
    name: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketCommand(Command):
    """DEFINE_MARKET."""

    market: int
    base: int
    quote: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    lot_units: int
    tick_lot_units: int
    quantity_lots_min: int
    quantity_lots_max: int
    notional_units_min: int
    price_ticks_max: int
    symbol: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsCommand(Command):
    """CONFIGURE_MARKET."""

    market: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    band_ppm: int
    band_action: int
    open_orders_max: int
    quantity_lots_min: int
    quantity_lots_max: int
    notional_units_min: int
    position_lots_max: int
    band_interval_ns: int
    band_auction_ns: int
    reference_price_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeCommand(Command):
    """SET_MODE."""

    market: int
    mode: int
    until_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeesCommand(Command):
    """SET_FEES."""

    maker_share_ppm: int
    taker_share_ppm: int


AnyCommand = TypeVar("AnyCommand", bound=Command)

# What PLACE did not know in version 1; self_trade and contingency of the header besides.
_UNKNOWN_TO_VERSION_1: dict[str, Any] = {
    "order_id": 0,
    "trail_ticks": 0,
    "amount": 0,
    "trigger_price_ticks": 0,
    "display_lots": 0,
    "expire_ns": 0,
    "client_order_id": b"",
    "group": 0,
    "min_quantity_lots": 0,
}


def decode(record: bytes, layout: np.dtype[np.void], command_type: type[AnyCommand]) -> AnyCommand:
    """Read one record of `COMMAND_SIZE` bytes. Names come without the zero bytes at their end."""
    values = np.frombuffer(record, dtype=layout, count=1)[0]
    command = command_type(**{field.name: values[field.name].item() for field in fields(command_type)})
    return _as_version_1(command) if command.version == 1 else command


def _as_version_1(command: AnyCommand) -> AnyCommand:
    known: AnyCommand = dataclasses.replace(command, self_trade=0, contingency=0)
    if isinstance(known, OrderCommand) and known.kind == CommandKind.PLACE:
        return dataclasses.replace(known, **_UNKNOWN_TO_VERSION_1)
    return known


_EVENT_LAYOUTS = {
    EventKind.TRADED: EVENT,
    EventKind.PREVENTED: EVENT,
    EventKind.MODE_CHANGED: MODE_EVENT,
    EventKind.FEES_SET: FEES_EVENT,
}


def encode_event(kind: EventKind, values: dict[str, int]) -> bytes:
    """One record of `EVENT_SIZE` bytes: the kind, `values` in the layout of the kind, and zeros."""
    event: Any = np.zeros(1, dtype=_EVENT_LAYOUTS.get(kind, ORDER_EVENT))
    event["kind"] = kind
    for name, value in values.items():
        event[name] = value
    return bytes(event.tobytes())
