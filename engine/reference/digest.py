"""The 64-bit digest of a shard's state, computed from nothing but the state."""

from functools import lru_cache

from engine.records import CLIENT_ORDER_ID_SIZE, OrderType, TimeInForce
from engine.reference.market import Market
from engine.reference.orders import Order
from engine.reference.state import FLAGS_OF_LIVE_ORDERS, State

_MASK = 2**64 - 1
_TIME_IN_FORCE_CODES = {TimeInForce.GTC: 0, TimeInForce.GTD: 1, TimeInForce.DAY: 2}


def digest(state: State) -> int:
    """The sum of the items, modulo 2**64."""
    total = sum(_order_items(order) for order in state.orders.values())
    total += sum(_market_items(market) for market in state.markets)
    total += sum(_item(3, asset.asset, asset.scale) for asset in state.assets)
    for (account, asset), (available, held) in state.ledger.balances().items():
        total += _item(2, account, asset, *_halves(available), *_halves(held))
    total += sum(_item(11, account, *shares) for account, shares in state.fee_shares.items())
    total += sum(_item(12, account, expire_ns) for account, expire_ns in state.timers.items())
    total += _item(5, state.sequence) if state.sequence else 0
    total += _item(6, state.trades) if state.trades else 0
    return total & _MASK


def _mix(h: int, word: int) -> int:
    z = ((h ^ (word & _MASK)) * 0x9E3779B97F4A7C15) & _MASK
    z ^= z >> 32
    z = (z * 0xD6E8FEB86659FD93) & _MASK
    return z ^ (z >> 32)


@lru_cache(maxsize=2**16)
def _item(tag: int, *words: int) -> int:
    # Remembered: from one digest to the next most items are the same.
    h = tag
    for word in words:
        h = _mix(h, word)
    return h


def _halves(value: int) -> tuple[int, int]:
    # Python's & and >> treat a negative number as two's complement of unlimited width.
    return value & _MASK, (value >> 64) & _MASK


def _order_items(o: Order) -> int:
    traits = o.flags & FLAGS_OF_LIVE_ORDERS | o.self_trade << 2 | _TIME_IN_FORCE_CODES[o.time_in_force] << 5
    identity = (o.market, o.order_id, o.account, o.side)
    total = _item(1, *identity, o.price_ticks, o.remaining_lots, o.quantity_lots, o.place[0], traits)
    extras = (o.display_lots, o.visible_lots, o.expire_ns, o.trigger_price_ticks, o.trail_ticks)
    links = (o.other_leg, o.child, o.parent, o.waiting)
    is_usual = o.order_type is OrderType.LIMIT and o.place == (o.order_id, 0)
    if not is_usual or o.group or any(extras) or any(links):
        total += _item(7, o.order_id, o.order_type, o.group, *o.place, *extras, *links)
    if o.client_order_id:
        padded = o.client_order_id.ljust(CLIENT_ORDER_ID_SIZE + 4, b"\0")
        words = [int.from_bytes(padded[at : at + 8], "little") for at in range(0, len(padded), 8)]
        total += _item(10, o.order_id, *words)
    return total


def _market_items(market: Market) -> int:
    d, t = market.definition, market.terms
    sizes = (d.lot_units, d.tick_lot_units, d.quantity_lots_min, d.quantity_lots_max)
    bounds = (d.notional_units_min, d.price_ticks_max)
    total = _item(4, d.market, d.base, d.quote, d.maker_fee_ppm, d.taker_fee_ppm, *sizes, *bounds)
    if any(market.state):
        total += _item(8, d.market, *market.state)
    if market.configured:
        limits = (t.open_orders_max, t.quantity_lots_min, t.quantity_lots_max, t.notional_units_min)
        times = (t.band_interval_ns, t.band_auction_ns)
        band = (t.band_ppm, t.band_action)
        fees = (t.maker_fee_ppm, t.taker_fee_ppm)
        total += _item(9, d.market, *fees, *band, *limits, t.position_lots_max, *times)
    return total
