"""Make command records: 144 bytes each (engine/records.py), sequence and time left to the sequencer."""

import struct

from engine.records import (
    ASSET_COMMAND,
    COMMAND_SIZE,
    LAYOUT_VERSION,
    MARKET_COMMAND,
    ORDER_COMMAND,
    CommandKind,
)

# version kind side type tif flags reserved | sequence timestamp account | order_id market asset
# price quantity amount trigger display expire | client_order_id group padding
_ORDER = struct.Struct("<BBBBBBHQqQQIIqqqqqq36sI8x")
_STAMP = struct.Struct("<Qq")
_CLIENT_ORDER_ID = slice(96, 132)
_ASSET = struct.Struct("<BB30xII16s88x")
_MARKET = struct.Struct("<BB30xIIIIIIqqqqqq24s16x")
for _layout in (_ORDER, _ASSET, _MARKET):
    assert _layout.size == COMMAND_SIZE == ORDER_COMMAND.itemsize == ASSET_COMMAND.itemsize == MARKET_COMMAND.itemsize


def place(
    account: int,
    market: int,
    side: int,
    order_type: int,
    time_in_force: int,
    flags: int,
    price_ticks: int,
    quantity_lots: int,
    client_order_id: bytes = b"",
) -> bytearray:
    """PLACE. ``client_order_id``: at most 36 ASCII bytes, empty for none."""
    return bytearray(
        _ORDER.pack(
            LAYOUT_VERSION, CommandKind.PLACE, side, order_type, time_in_force, flags, 0, 0, 0, account,
            0, market, 0, price_ticks, quantity_lots, 0, 0, 0, 0, client_order_id, 0,
        )
    )  # fmt: skip


def cancel(account: int, order_id: int) -> bytearray:
    """CANCEL of the account's resting order."""
    return _order_command(CommandKind.CANCEL, account, order_id, 0, 0)


def deposit(account: int, asset: int, amount: int) -> bytearray:
    """DEPOSIT of amount units."""
    return _order_command(CommandKind.DEPOSIT, account, 0, asset, amount)


def withdraw(account: int, asset: int, amount: int) -> bytearray:
    """WITHDRAW of amount units."""
    return _order_command(CommandKind.WITHDRAW, account, 0, asset, amount)


def _order_command(kind: CommandKind, account: int, order_id: int, asset: int, amount: int) -> bytearray:
    return bytearray(
        _ORDER.pack(
            LAYOUT_VERSION, kind, 0, 0, 0, 0, 0, 0, 0, account, order_id, 0, asset, 0, 0, amount, 0, 0, 0, b"", 0
        )
    )


def define_asset(number: int, name: str, scale: int) -> bytearray:
    """DEFINE_ASSET."""
    return bytearray(_ASSET.pack(LAYOUT_VERSION, CommandKind.DEFINE_ASSET, number, scale, name.encode("ascii")))


def define_market(
    number: int,
    symbol: str,
    base: int,
    quote: int,
    *,
    lot_units: int,
    tick_lot_units: int,
    quantity_lots_min: int,
    quantity_lots_max: int,
    notional_units_min: int,
    price_ticks_max: int,
    maker_fee_ppm: int,
    taker_fee_ppm: int,
) -> bytearray:
    """DEFINE_MARKET."""
    return bytearray(
        _MARKET.pack(
            LAYOUT_VERSION, CommandKind.DEFINE_MARKET, number, base, quote, maker_fee_ppm, taker_fee_ppm, 0,
            lot_units, tick_lot_units, quantity_lots_min, quantity_lots_max, notional_units_min, price_ticks_max,
            symbol.encode("ascii"),
        )
    )  # fmt: skip


def stamp(command: bytearray, sequence: int, timestamp_ns: int) -> None:
    """Write what the sequencer decides into a record."""
    _STAMP.pack_into(command, 8, sequence, timestamp_ns)


def client_order_id(command: bytes | bytearray | memoryview) -> str | None:
    """Return the client order id of a PLACE record, None where it has none."""
    text = bytes(command[_CLIENT_ORDER_ID]).rstrip(b"\0")
    return text.decode("ascii") if text else None
