"""The 64-bit digest of a shard's state, computed from nothing but the state."""

from collections.abc import Iterable

from engine.reference.book import Order
from engine.reference.definitions import Asset, Market

_MASK = 2**64 - 1


def digest(
    sequence: int,
    trades: int,
    assets: Iterable[Asset],
    markets: Iterable[Market],
    orders: Iterable[Order],
    balances: dict[tuple[int, int], tuple[int, int]],
) -> int:
    """The sum of the items, modulo 2**64. `balances` maps (account, asset) to (available, held)."""
    total = sum(_order_item(order) for order in orders)
    total += sum(_item(2, *key, *_halves(available), *_halves(held)) for key, (available, held) in balances.items())
    total += sum(_item(3, asset.asset, asset.scale) for asset in assets)
    total += sum(_market_item(market) for market in markets)
    total += _item(5, sequence) if sequence else 0
    total += _item(6, trades) if trades else 0
    return total & _MASK


def _mix(h: int, word: int) -> int:
    z = ((h ^ (word & _MASK)) * 0x9E3779B97F4A7C15) & _MASK
    z ^= z >> 32
    z = (z * 0xD6E8FEB86659FD93) & _MASK
    return z ^ (z >> 32)


def _item(tag: int, *words: int) -> int:
    h = tag
    for word in words:
        h = _mix(h, word)
    return h


def _halves(value: int) -> tuple[int, int]:
    # Python's & and >> treat a negative number as two's complement of unlimited width.
    return value & _MASK, (value >> 64) & _MASK


def _order_item(o: Order) -> int:
    identity = (o.market, o.order_id, o.account, o.side)
    return _item(1, *identity, o.price_ticks, o.remaining_lots, o.quantity_lots, o.priority, o.flags)


def _market_item(m: Market) -> int:
    terms = (m.maker_fee_ppm, m.taker_fee_ppm, m.lot_units, m.tick_lot_units)
    limits = (m.quantity_lots_min, m.quantity_lots_max, m.notional_units_min, m.price_ticks_max)
    return _item(4, m.market, m.base, m.quote, *terms, *limits)
