"""What an audit knows of orders and markets: kept up to date from events, never from an engine's own state."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.records import (
    CASCADE_MAX,
    EventKind,
    LiveOrder,
    MarketState,
    Mode,
    OrderType,
    SelfTrade,
    Side,
    TimeInForce,
)
from tests.support.commands import Event

TRIGGER, PARENT = 1, 2  # what an order waits for
_RESTS = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
LASTING = (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD)


@dataclass
class Purse:
    """Units held for one order, or together for two of which one cancels the other."""

    units: int = 0


@dataclass
class Followed:
    """A live order."""

    order_id: int
    account: int
    market: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    self_trade: int
    group: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    display_lots: int
    visible_lots: int
    expire_ns: int
    trigger_price_ticks: int
    trail_ticks: int
    waiting: int
    client_order_id: bytes
    other_leg: int = 0
    child: int = 0
    parent: int = 0
    purse: Purse = field(default_factory=Purse)
    place: int = 0  # counts up; 0: not in the book

    @property
    def filled_lots(self) -> int:
        return self.quantity_lots - self.remaining_lots

    @property
    def shown_lots(self) -> int:
        """What of it the market sees while it is in the book."""
        return self.visible_lots if self.display_lots else self.remaining_lots

    @property
    def rank(self) -> tuple[int, int]:
        """Lower trades first: the better price, then the earlier place."""
        return (-self.price_ticks if self.side == Side.BUY else self.price_ticks), self.place

    @property
    def may_rest(self) -> bool:
        return self.order_type in _RESTS and self.time_in_force in LASTING

    @property
    def expires(self) -> bool:
        return self.time_in_force in (TimeInForce.GTD, TimeInForce.DAY)

    @property
    def is_above(self) -> bool:
        """Whether its trigger is met from below: by a price at or above it."""
        takes_profit = self.order_type in (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)
        return (self.side == Side.SELL) == takes_profit

    def is_met(self, low: int, high: int) -> bool:
        """Whether it waits for its trigger and prices from low to high (0, 0: none) meet it."""
        if self.waiting != TRIGGER or not high:
            return False
        return self.trigger_price_ticks <= high if self.is_above else self.trigger_price_ticks >= low

    def is_own(self, other: "Followed") -> bool:
        """Whether a trade of the two would be a self-trade."""
        return self.account == other.account or 0 < self.group == other.group

    def may_trade(self, price_ticks: int) -> bool:
        """Whether its limit, if it has one, allows this price."""
        if not self.price_ticks:
            return True
        return price_ticks <= self.price_ticks if self.side == Side.BUY else price_ticks >= self.price_ticks

    def as_live_order(self) -> LiveOrder:
        return LiveOrder(**{name: getattr(self, name) for name in LiveOrder._fields})


@dataclass
class FollowedMarket:
    """A market's terms and state."""

    number: int
    terms: dict[str, Any]
    mode: int = Mode.OPEN
    last_price_ticks: int = 0
    range_low: int = 0
    range_high: int = 0
    reference_price_ticks: int = 0
    reference_since_ns: int = 0
    auction_end_ns: int = 0

    def needs(self, order: Followed) -> int:
        """Units that the order alone needs held."""
        if order.waiting == PARENT:
            return 0
        return self.worth(order, order.price_ticks, order.remaining_lots)

    def worth(self, order: Followed, price_ticks: int, lots: int) -> int:
        """Units that the order pays for so many lots at this price."""
        if order.side == Side.SELL:
            return lots * int(self.terms["lot_units"])
        return price_ticks * lots * int(self.terms["tick_lot_units"])

    def asset_of(self, order: Followed) -> int:
        """The asset that the order pays with."""
        return int(self.terms["quote" if order.side == Side.BUY else "base"])

    @property
    def band(self) -> tuple[int, int] | None:
        """Lowest and highest price that trades, if that is bounded now."""
        ppm, reference = self.terms.get("band_ppm", 0), self.reference_price_ticks
        if not ppm or not reference or self.mode != Mode.OPEN:
            return None
        width = reference * ppm // 1_000_000
        return max(1, reference - width), reference + width

    def configure(self, terms: dict[str, Any], timestamp_ns: int) -> None:
        self.terms |= terms
        if not terms["band_ppm"]:
            self.reference_price_ticks = self.reference_since_ns = 0
        elif terms["reference_price_ticks"]:
            self.reference_price_ticks, self.reference_since_ns = terms["reference_price_ticks"], timestamp_ns
        elif not self.reference_price_ticks and self.last_price_ticks:
            self.reference_price_ticks, self.reference_since_ns = self.last_price_ticks, timestamp_ns

    def trace(self, prices: Sequence[int], timestamp_ns: int, uncrossed: bool) -> None:
        """A taker has finished, or an auction, which traded at these prices."""
        self.last_price_ticks = prices[-1]
        self.grow_range(min(prices), max(prices))
        old = timestamp_ns - self.reference_since_ns >= self.terms.get("band_interval_ns", 0)
        if self.terms.get("band_ppm", 0) and (not self.reference_price_ticks or old or uncrossed):
            self.reference_price_ticks, self.reference_since_ns = prices[-1], timestamp_ns

    def grow_range(self, low: int, high: int) -> None:
        self.range_low = min(self.range_low or low, low)
        self.range_high = max(self.range_high, high)

    def settle(self, orders: Sequence[Followed]) -> None:
        """A range that meets nothing is forgotten, and triggers trail the last price."""
        if not self.range_high or any(order.is_met(self.range_low, self.range_high) for order in orders):
            return
        self.range_low = self.range_high = 0
        for order in orders:
            if order.order_type == OrderType.TRAILING_STOP and order.waiting == TRIGGER:
                order.trigger_price_ticks = self._trailed(order)

    def _trailed(self, order: Followed) -> int:
        if order.side == Side.SELL:
            return max(order.trigger_price_ticks, self.last_price_ticks - order.trail_ticks)
        return min(order.trigger_price_ticks, self.last_price_ticks + order.trail_ticks)

    def next_to_fire(self, orders: Sequence[Followed]) -> Followed | None:
        """Of this market's orders the one whose trigger was met first, in the order in which triggers count."""
        met = [order for order in orders if order.is_met(self.range_low, self.range_high)]
        above = [order for order in met if order.is_above]
        if above:
            return min(above, key=lambda order: (order.trigger_price_ticks, order.order_id))
        return min(met, key=lambda order: (-order.trigger_price_ticks, order.order_id), default=None)

    def clearing(self, orders: Sequence[Followed]) -> tuple[int, int, int, int]:
        """(price, volume, side of the surplus, surplus) of a call auction of the orders in the book."""
        bids = [order for order in orders if order.side == Side.BUY]
        asks = [order for order in orders if order.side == Side.SELL]
        if not bids or not asks:
            return 0, 0, 0, 0
        low, high = min(order.price_ticks for order in asks), max(order.price_ticks for order in bids)
        prices = {order.price_ticks + step for order in orders for step in (-1, 0, 1)} | {self.last_price_ticks}

        def merit(price: int) -> tuple[int, int, int, int]:
            demand, supply = _crossing(bids, price), _crossing(asks, price)
            return -min(demand, supply), abs(demand - supply), abs(price - self.last_price_ticks), price

        best = min((merit(price) for price in prices if low <= price <= high), default=None)
        if best is None:
            return 0, 0, 0, 0
        surplus = _crossing(bids, best[3]) - _crossing(asks, best[3])
        side = Side.BUY if surplus > 0 else Side.SELL if surplus < 0 else 0
        return best[3], -best[0], side, abs(surplus)

    def as_market_state(self) -> MarketState:
        return MarketState(**{name: getattr(self, name) for name in MarketState._fields})


def _crossing(orders: Sequence[Followed], price_ticks: int) -> int:
    """Lots that would trade at this price."""
    return sum(order.remaining_lots for order in orders if order.may_trade(price_ticks))


def ends_by_self_trade(mode: int, taker: Followed, maker: Followed) -> list[Followed]:
    """Whom a prevented self-trade ends."""
    return {
        SelfTrade.CANCEL_NEWEST: [taker],
        SelfTrade.CANCEL_OLDEST: [maker],
        SelfTrade.CANCEL_BOTH: [maker, taker],
        SelfTrade.DECREMENT: [order for order in (maker, taker) if not order.remaining_lots],
    }[SelfTrade(mode)]


def left_to_fire(events: Sequence[Event]) -> bool:
    """Whether a command that caused these events may have left orders that fire with the next."""
    return sum(event.kind is EventKind.TRIGGERED for event in events) >= CASCADE_MAX
