"""What the engine refused, in the trader's numbers: the field, the limit it met, and the nearest value that would pass.

The numbers are those of now, a moment after the refusal: advice, while the refusal itself is final.
"""

from dataclasses import replace

from engine.records import OrderType, Reason, Side
from exchange.contracts.events import Event
from exchange.contracts.refusals import Refusal
from exchange.contracts.units import Market
from exchange.gateway.context import Exchange, Levels

_LEVELS = 1_000


def explain(refusal: Refusal, event: Event, market: Market, exchange: Exchange) -> Refusal:
    """Return the refusal of a PLACE with field, limit and nearest filled in."""
    if refusal.reason == Reason.INSUFFICIENT_FUNDS:
        return _funds(refusal, event, market, exchange)
    if refusal.reason == Reason.POST_ONLY_WOULD_CROSS:
        return _post_only(refusal, event, market, exchange)
    if refusal.reason == Reason.FOK_NOT_FILLABLE:
        return _fill_or_kill(refusal, event, market, exchange)
    return refusal


def _opposite(event: Event, exchange: Exchange) -> Levels:
    _, bids, asks = exchange.live.depth(event.market, _LEVELS)
    return asks if event.side == Side.BUY else bids


def _reaches(event: Event, price_ticks: int) -> bool:
    if event.price_ticks == 0:
        return True
    return price_ticks <= event.price_ticks if event.side == Side.BUY else price_ticks >= event.price_ticks


def _funds(refusal: Refusal, event: Event, market: Market, exchange: Exchange) -> Refusal:
    asset = market.quote if event.side == Side.BUY else market.base
    available, _ = exchange.corridor.balance(event.account, asset.number)
    if event.side == Side.SELL:
        affordable = available // market.lot_units
    elif event.order_type == OrderType.LIMIT:
        affordable = available // (event.price_ticks * market.tick_lot_units)
    else:
        affordable = _affordable_at_market(event, available // market.tick_lot_units, exchange)
    nearest = (
        market.quantity_text(min(affordable, event.quantity_lots)) if affordable >= market.quantity_lots_min else None
    )
    limit = f"{asset.to_text(available)} {asset.name}"
    detail = f"the order needs more than the {limit} available; nothing was placed"
    return replace(refusal, detail=detail, field="quantity", limit=limit, nearest=nearest)


def _affordable_at_market(event: Event, price_lots: int, exchange: Exchange) -> int:
    """How many lots a budget of ticks x lots buys from the asks."""
    lots = 0
    for price_ticks, level_lots in _opposite(event, exchange):
        if not _reaches(event, price_ticks):
            break
        take = min(level_lots, price_lots // price_ticks)
        lots += take
        price_lots -= take * price_ticks
        if take < level_lots:
            break
    return lots


def _post_only(refusal: Refusal, event: Event, market: Market, exchange: Exchange) -> Refusal:
    opposite = _opposite(event, exchange)
    if not opposite:
        return replace(refusal, field="price")
    best = opposite[0][0]
    passive = best - 1 if event.side == Side.BUY else best + 1
    nearest = market.price_text(passive) if 1 <= passive <= market.price_ticks_max else None
    return replace(refusal, field="price", limit=market.price_text(best), nearest=nearest)


def _fill_or_kill(refusal: Refusal, event: Event, market: Market, exchange: Exchange) -> Refusal:
    fillable = sum(lots for price_ticks, lots in _opposite(event, exchange) if _reaches(event, price_ticks))
    nearest = market.quantity_text(min(fillable, event.quantity_lots)) if fillable >= market.quantity_lots_min else None
    return replace(refusal, field="quantity", limit=market.quantity_text(fillable), nearest=nearest)
