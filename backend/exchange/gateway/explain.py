"""What the engine refused, in the trader's numbers: the field, the limit it met, and the nearest value that would pass.

The numbers are those of now, a moment after the refusal: advice, while the refusal itself is final.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.orders.words import WAITING_NAMES
from engine.records import TRAILING_ORDERS_MAX, OrderType, Reason, Side
from exchange.contracts.commands import Order, read_order
from exchange.contracts.refusals import AnyReason, Refusal
from exchange.contracts.units import PPM, Market
from exchange.gateway.context import Exchange, Levels
from exchange.gateway.markets import MODE_NAMES
from exchange.storage.journal import Entry

_LEVELS = 1_000


def explain(refusal: Refusal, entry: Entry, market: Market, exchange: Exchange) -> Refusal:
    """Return the refusal of an order with field, limit and nearest filled in."""
    return explain_order(refusal, read_order(entry.command), market, exchange)


def explain_order(refusal: Refusal, order: Order, market: Market, exchange: Exchange) -> Refusal:
    """Do the same for an order that need not have a journal entry."""
    explanation = _EXPLANATIONS.get(refusal.reason)
    return refusal if explanation is None else explanation(_Case(refusal, order, market, exchange))


@dataclass(frozen=True, slots=True)
class _Case:
    """An order that was refused, where and why."""

    refusal: Refusal
    order: Order
    market: Market
    exchange: Exchange

    def answer(
        self, field: str, limit: str | None = None, nearest: str | None = None, detail: str | None = None
    ) -> Refusal:
        return replace(self.refusal, field=field, limit=limit, nearest=nearest, detail=detail or self.refusal.detail)

    def quantity(self, field: str, limit_lots: int, *, least: int | None = None) -> Refusal:
        """The most lots that would pass are both the limit and, where they are an order, the nearest value."""
        lots = min(limit_lots, self.order.quantity_lots)
        nearest = lots if lots >= (self.market.quantity_lots_min if least is None else least) else None
        text = self.market.quantity_text
        return self.answer(field, text(max(limit_lots, 0)), None if nearest is None else text(nearest))

    def price(self, field: str, limit_ticks: int, nearest_ticks: int) -> Refusal:
        fits = 1 <= nearest_ticks <= self.market.price_ticks_max
        nearest = self.market.price_text(nearest_ticks) if fits else None
        return self.answer(field, self.market.price_text(limit_ticks), nearest)

    @property
    def opposite(self) -> Levels:
        _, bids, asks = self.exchange.live.depth(self.order.market, _LEVELS)
        return asks if self.order.side == Side.BUY else bids

    def reaches(self, price_ticks: int) -> bool:
        limit_ticks = self.order.price_ticks
        if limit_ticks == 0:
            return True
        return price_ticks <= limit_ticks if self.order.side == Side.BUY else price_ticks >= limit_ticks

    @property
    def reachable_lots(self) -> int:
        return sum(lots for price_ticks, lots in self.opposite if self.reaches(price_ticks))


def _funds(case: _Case) -> Refusal:
    order, market = case.order, case.market
    asset = market.quote if order.side == Side.BUY else market.base
    available, _ = case.exchange.corridor.balance(order.account, asset.number)
    limit = f"{asset.to_text(available)} {asset.name}"
    detail = f"the order needs more than the {limit} available; nothing was placed"
    if order.amount:
        affordable = asset.to_text(available) if order.side == Side.BUY and available else None
        return case.answer("quote_quantity", limit, affordable, detail)
    if order.side == Side.SELL:
        lots = available // market.lot_units
    elif order.order_type != OrderType.MARKET and order.price_ticks:
        lots = available // (order.price_ticks * market.tick_lot_units)
    else:
        lots = _affordable_at_market(case, available // market.tick_lot_units)
    nearest = market.quantity_text(min(lots, order.quantity_lots)) if lots >= market.quantity_lots_min else None
    return case.answer("quantity", limit, nearest, detail)


def _affordable_at_market(case: _Case, price_lots: int) -> int:
    """How many lots a budget of ticks x lots buys from the asks."""
    lots = 0
    for price_ticks, level_lots in case.opposite:
        if not case.reaches(price_ticks):
            break
        take = min(level_lots, price_lots // price_ticks)
        lots += take
        price_lots -= take * price_ticks
        if take < level_lots:
            break
    return lots


def _post_only(case: _Case) -> Refusal:
    opposite = case.opposite
    if not opposite:
        return case.answer("price")
    best = opposite[0][0]
    return case.price("price", best, best - 1 if case.order.side == Side.BUY else best + 1)


def _trigger_met(case: _Case) -> Refusal:
    last = case.exchange.corridor.state(case.order.market).last_price_ticks
    if not last:
        return case.answer("trigger_price")
    stops = case.order.order_type in (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)
    above = stops == (case.order.side == Side.BUY)
    return case.price("trigger_price", last, last + 1 if above else last - 1)


def _trail(case: _Case) -> Refusal:
    last = case.exchange.corridor.state(case.order.market).last_price_ticks
    if not last:
        detail = "nothing has traded in this market yet: give a trigger_price to begin from"
        return case.answer("trail", "a last price", None, detail)
    most = last - 1 if case.order.side == Side.SELL else case.market.price_ticks_max - last
    return case.price("trail", most, most)


def _band(case: _Case) -> Refusal:
    reference = case.exchange.corridor.state(case.order.market).reference_price_ticks
    width = reference * case.market.band_ppm // PPM
    edge = reference + width if case.order.side == Side.BUY else max(1, reference - width)
    return case.price("price", edge, edge)


def position_lots(account: int, market: Market, exchange: Exchange) -> int:
    """What counts towards the limit of an account's position (docs/engine.md, PLACE 16): what it owns of the market's
    base, wherever it is held, and its bids in the market but for those that wait for a parent."""
    owned = sum(exchange.corridor.balance(account, market.base.number)) // market.lot_units
    live = exchange.live.orders_of.get(account, {}).values()
    bids = (order for order in live if order.market == market.number and order.side == Side.BUY)
    return owned + sum(order.remaining_lots for order in bids if WAITING_NAMES[order.waiting] != "Parent")


def _position(case: _Case) -> Refusal:
    market = case.market
    left = case.quantity(
        "quantity", max(market.position_lots_max - position_lots(case.order.account, market, case.exchange), 0)
    )
    return replace(left, limit=market.quantity_text(market.position_lots_max))


def _mode(case: _Case) -> Refusal:
    return case.answer("symbol", MODE_NAMES[case.exchange.live.mode(case.order.market)])


_EXPLANATIONS: dict[AnyReason, Callable[[_Case], Refusal]] = {
    Reason.INSUFFICIENT_FUNDS: _funds,
    Reason.POST_ONLY_WOULD_CROSS: _post_only,
    Reason.FOK_NOT_FILLABLE: lambda case: case.quantity("quantity", case.reachable_lots),
    Reason.MIN_QUANTITY_NOT_FILLABLE: lambda case: case.quantity("min_quantity", case.reachable_lots, least=1),
    Reason.TRIGGER_ALREADY_MET: _trigger_met,
    Reason.TRAIL_INVALID: _trail,
    Reason.PRICE_BAND: _band,
    Reason.POSITION_LIMIT: _position,
    Reason.OPEN_ORDERS_LIMIT: lambda case: case.answer("symbol", f"{case.market.open_orders_max} live orders"),
    Reason.TRAILING_ORDERS_FULL: lambda case: case.answer("order_type", f"{TRAILING_ORDERS_MAX} trailing stops"),
    Reason.NO_LIQUIDITY: lambda case: case.answer("quote_quantity", "0"),
    Reason.EXPIRE_TIME_INVALID: lambda case: case.answer("expire_at", "later than the order's arrival"),
    Reason.LINK_INVALID: lambda case: case.answer("orders", "docs/api.md, order lists"),
    Reason.MARKET_HALTED: _mode,
    Reason.MARKET_CANCEL_ONLY: _mode,
    Reason.MARKET_POST_ONLY: lambda case: case.answer("time_in_force", "GTC, GTD or DAY", "GTC"),
    Reason.MARKET_IN_AUCTION: lambda case: case.answer("time_in_force", "GTC, GTD or DAY", "GTC"),
}
