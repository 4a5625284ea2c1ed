"""Make command records: 144 bytes each (engine/records.py), sequence and time left to the sequencer."""

import struct
from typing import NamedTuple

from engine.records import (
    ASSET_COMMAND,
    CLIENT_ORDER_ID_SIZE,
    COMMAND_SIZE,
    FEES_COMMAND,
    LAYOUT_VERSION,
    MARKET_COMMAND,
    MARKET_TERMS_COMMAND,
    MODE_COMMAND,
    ORDER_COMMAND,
    TRANSFER_COMMAND,
    CommandKind,
)

# version kind side type tif flags self-trade contingency | sequence timestamp account | order_id market trail
# price quantity amount trigger display expire | client_order_id group min_quantity
_ORDER = struct.Struct("<BBBBBBBBQqQQIIqqqqqq36sIq")
# ... | asset amount | reference
_TRANSFER = struct.Struct("<BB22xQ12xI16xq24x36s12x")
_TRANSFERRED = struct.Struct("<44xI16xq72x")
_STAMP = struct.Struct("<Qq")
_ASSET = struct.Struct("<BB30xII16s88x")
_MARKET = struct.Struct("<BB30xIIIIIIqqqqqq24s16x")
_TERMS = struct.Struct("<BB30xIIIIIIqqqqqqq32x")
_MODE = struct.Struct("<BB30xIIq96x")
_FEES = struct.Struct("<BB22xQII104x")
for _layout in (_ORDER, _TRANSFER, _TRANSFERRED, _ASSET, _MARKET, _TERMS, _MODE, _FEES):
    assert _layout.size == COMMAND_SIZE
for _record in (
    ORDER_COMMAND, TRANSFER_COMMAND, ASSET_COMMAND, MARKET_COMMAND, MARKET_TERMS_COMMAND, MODE_COMMAND, FEES_COMMAND,
):  # fmt: skip
    assert _record.itemsize == COMMAND_SIZE


class Order(NamedTuple):
    """An order command, fields as ORDER_COMMAND in engine/records.py declares them."""

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


VERSION, KIND, SELF_TRADE, CONTINGENCY = 0, 1, 6, 7  # where a record has these bytes
ORDER_ID = slice(32, 40)
CLIENT_ORDER_ID = REFERENCE = slice(96, 132)
_UNTOLD_TERMS = struct.Struct("<7xB56xq64xq")
assert _UNTOLD_TERMS.size == COMMAND_SIZE


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
    *,
    kind: int = CommandKind.PLACE,
    order_id: int = 0,
    self_trade: int = 0,
    contingency: int = 0,
    amount: int = 0,
    trigger_price_ticks: int = 0,
    trail_ticks: int = 0,
    display_lots: int = 0,
    min_quantity_lots: int = 0,
    expire_ns: int = 0,
    group: int = 0,
) -> bytearray:
    """PLACE, or CANCEL_REPLACE by its ``kind``. ``client_order_id``: at most 36 ASCII bytes, empty for none.

    ``order_id`` names the linked order, of CANCEL_REPLACE the one to replace.
    """
    return bytearray(
        _ORDER.pack(
            LAYOUT_VERSION, kind, side, order_type, time_in_force, flags, self_trade, contingency, 0, 0, account,
            order_id, market, trail_ticks, price_ticks, quantity_lots, amount, trigger_price_ticks, display_lots,
            expire_ns, client_order_id, group, min_quantity_lots,
        )
    )  # fmt: skip


def cancel(account: int, order_id: int) -> bytearray:
    """CANCEL of the account's live order."""
    return _order_command(CommandKind.CANCEL, account, order_id=order_id)


def amend(
    account: int,
    order_id: int,
    *,
    price_ticks: int = 0,
    quantity_lots: int = 0,
    trigger_price_ticks: int = 0,
    display_lots: int = 0,
) -> bytearray:
    """AMEND: zero keeps. ``quantity_lots`` is the new total, what was filled included."""
    return _order_command(
        CommandKind.AMEND,
        account,
        order_id=order_id,
        price_ticks=price_ticks,
        quantity_lots=quantity_lots,
        trigger_price_ticks=trigger_price_ticks,
        display_lots=display_lots,
    )


def mass_cancel(
    account: int,
    market: int = 0,
    side: int = 0,
    price_ticks_from: int = 0,
    price_ticks_to: int = 0,
    client_order_id_prefix: bytes = b"",
) -> bytearray:
    """MASS_CANCEL of the account's live orders (0: of every account); zero or empty: any."""
    return _order_command(
        CommandKind.MASS_CANCEL,
        account,
        market=market,
        side=side,
        price_ticks=price_ticks_from,
        trigger_price_ticks=price_ticks_to,
        client_order_id=client_order_id_prefix,
    )


def cancel_after(account: int, expire_ns: int) -> bytearray:
    """CANCEL_AFTER: the account's orders end at that time (Unix ns) unless a later one comes before; 0: never."""
    return _order_command(CommandKind.CANCEL_AFTER, account, expire_ns=expire_ns)


def _order_command(
    kind: CommandKind,
    account: int,
    *,
    order_id: int = 0,
    market: int = 0,
    side: int = 0,
    price_ticks: int = 0,
    quantity_lots: int = 0,
    trigger_price_ticks: int = 0,
    display_lots: int = 0,
    expire_ns: int = 0,
    client_order_id: bytes = b"",
) -> bytearray:
    return bytearray(
        _ORDER.pack(
            LAYOUT_VERSION, kind, side, 0, 0, 0, 0, 0, 0, 0, account, order_id, market, 0, price_ticks,
            quantity_lots, 0, trigger_price_ticks, display_lots, expire_ns, client_order_id, 0, 0,
        )
    )  # fmt: skip


def deposit(account: int, asset: int, amount: int, reference: bytes = b"") -> bytearray:
    """DEPOSIT of amount units. ``reference``: by which its maker knows it again, at most 36 bytes; empty for none."""
    return _transfer(CommandKind.DEPOSIT, account, asset, amount, reference)


def withdraw(account: int, asset: int, amount: int, reference: bytes = b"") -> bytearray:
    """WITHDRAW of amount units. ``reference``: as in a deposit."""
    return _transfer(CommandKind.WITHDRAW, account, asset, amount, reference)


def _transfer(kind: CommandKind, account: int, asset: int, amount: int, reference: bytes) -> bytearray:
    if len(reference) > CLIENT_ORDER_ID_SIZE:
        raise ValueError(f"a transfer's reference has at most {CLIENT_ORDER_ID_SIZE} bytes, got {len(reference)}")
    return bytearray(_TRANSFER.pack(LAYOUT_VERSION, kind, account, asset, amount, reference))


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


def configure_market(
    number: int,
    *,
    maker_fee_ppm: int,
    taker_fee_ppm: int,
    quantity_lots_min: int,
    quantity_lots_max: int,
    notional_units_min: int,
    open_orders_max: int = 0,
    position_lots_max: int = 0,
    band_ppm: int = 0,
    band_action: int = 0,
    band_interval_ns: int = 0,
    band_auction_ns: int = 0,
    reference_price_ticks: int = 0,
) -> bytearray:
    """CONFIGURE_MARKET: all terms at once."""
    return bytearray(
        _TERMS.pack(
            LAYOUT_VERSION, CommandKind.CONFIGURE_MARKET, number, maker_fee_ppm, taker_fee_ppm, band_ppm, band_action,
            open_orders_max, quantity_lots_min, quantity_lots_max, notional_units_min, position_lots_max,
            band_interval_ns, band_auction_ns, reference_price_ticks,
        )
    )  # fmt: skip


def set_mode(market: int, mode: int, until_ns: int = 0) -> bytearray:
    """SET_MODE; ``until_ns``: when an auction ends by itself."""
    return bytearray(_MODE.pack(LAYOUT_VERSION, CommandKind.SET_MODE, market, mode, until_ns))


def set_fees(account: int, maker_share_ppm: int, taker_share_ppm: int) -> bytearray:
    """SET_FEES: millionths of the markets' fees that the account pays, 0..1_000_000 (the whole fee, as at first)."""
    return bytearray(_FEES.pack(LAYOUT_VERSION, CommandKind.SET_FEES, account, maker_share_ppm, taker_share_ppm))


def clock() -> bytearray:
    """CLOCK: nothing but the time that the sequencer stamps."""
    return bytearray(_TRANSFER.pack(LAYOUT_VERSION, CommandKind.CLOCK, 0, 0, 0, b""))


def stamp(command: bytearray, sequence: int, timestamp_ns: int) -> None:
    """Write what the sequencer decides into a record."""
    _STAMP.pack_into(command, 8, sequence, timestamp_ns)


def link(command: bytearray, order_id: int) -> None:
    """Write the order that an order hangs on into its record: known once that one has its sequence."""
    command[ORDER_ID] = order_id.to_bytes(8, "little")


def sequence_of(command: bytes | bytearray) -> int:
    return int.from_bytes(command[8:16], "little")


def account_of(command: bytes | bytearray) -> int:
    return int.from_bytes(command[24:32], "little")


def market_of(command: bytes | bytearray) -> int:
    """Return the market of a record that places an order."""
    return int.from_bytes(command[40:44], "little")


def client_order_id(command: bytes | bytearray | memoryview) -> str | None:
    """Return the client order id of a record that places an order, None where it has none."""
    if not command[CLIENT_ORDER_ID.start]:
        return None
    return bytes(command[CLIENT_ORDER_ID]).rstrip(b"\0").decode("ascii")


def reference(command: bytes | bytearray | memoryview) -> str | None:
    """Return the reference of a transfer's record, None where it has none. Version 1 knew none."""
    text = bytes(command[REFERENCE]).rstrip(b"\0") if command[VERSION] > 1 else b""
    return text.decode("ascii") if text else None


def transferred(command: bytes | bytearray) -> tuple[int, int]:
    """Return (asset, amount in its units) of a transfer's record."""
    asset, amount = _TRANSFERRED.unpack(command)
    return asset, amount


def read_order(command: bytes | bytearray) -> Order:
    """Read the record of a command about orders; version 1 left zero what it did not know."""
    return Order._make(_ORDER.unpack(command))


def untold_terms(command: bytes) -> tuple[int, int, int]:
    """Return (contingency, amount, min_quantity_lots) of a record that places an order: ACCEPTED does not tell them.

    ``amount``: quote units of a market order by amount, else 0. Version 1 had none of them.
    """
    return _UNTOLD_TERMS.unpack(command) if command[VERSION] > 1 else (0, 0, 0)
