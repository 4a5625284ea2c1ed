"""Command records to dataclasses, and events to records. The layouts are those of `engine.records`."""

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from engine.records import EVENT, EventKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The header that every command record starts with."""

    version: int
    kind: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    sequence: int
    timestamp_ns: int
    account: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCommand(Command):
    """PLACE and CANCEL."""

    order_id: int
    market: int
    price_ticks: int
    quantity_lots: int


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


AnyCommand = TypeVar("AnyCommand", bound=Command)


def decode(record: bytes, layout: np.dtype[np.void], command_type: type[AnyCommand]) -> AnyCommand:
    """Read one record of `COMMAND_SIZE` bytes. Names come without the zero bytes at their end."""
    values = np.frombuffer(record, dtype=layout, count=1)[0]
    return command_type(**{field.name: values[field.name].item() for field in fields(command_type)})


def encode_event(kind: EventKind, command: Command, **values: int) -> bytes:
    """One record of `EVENT_SIZE` bytes: sequence, timestamp and account of the command, `values`, and zeros."""
    event: Any = np.zeros(1, dtype=EVENT)
    event["kind"] = kind
    event["sequence"] = command.sequence
    event["timestamp_ns"] = command.timestamp_ns
    event["account"] = command.account
    for name, value in values.items():
        event[name] = value
    return bytes(event.tobytes())
