"""What can be asked about orders and markets."""

import zlib
from itertools import groupby

from engine.records import LiveOrder, Side
from engine.reference.market import Market
from engine.reference.orders import Order

Levels = list[tuple[int, int, int]]  # price_ticks, visible_lots, orders


def live_order(order: Order) -> LiveOrder:
    """The order as both engines tell it."""
    numbers = {name: int(getattr(order, name)) for name in LiveOrder._fields if name != "client_order_id"}
    return LiveOrder(**numbers, client_order_id=order.client_order_id)


def depth(market: Market, levels: int) -> tuple[Levels, Levels]:
    """Bids and asks, best first."""
    return _levels(market, Side.BUY, levels), _levels(market, Side.SELL, levels)


def _levels(market: Market, side: Side, levels: int) -> Levels:
    found = []
    for price_ticks, orders in groupby(market.book.side(side), key=lambda order: order.price_ticks):
        there = list(orders)
        found.append((price_ticks, sum(order.shown_lots for order in there), len(there)))
    return found[:levels] if levels else found


def checksum(market: Market, levels: int) -> int:
    """The CRC-32 of price and visible lots, level by level, bid before ask."""
    bids, asks = depth(market, levels)
    words = []
    for level in range(max(len(bids), len(asks))):
        for side in (bids, asks):
            words += [str(number) for number in side[level][:2]] if level < len(side) else []
    return zlib.crc32(":".join(words).encode())
