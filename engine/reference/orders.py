"""Orders and the book of one market: price first, then place."""

from collections.abc import Iterator
from dataclasses import dataclass

from sortedcontainers import SortedKeyList

from engine.records import FLAG_POST_ONLY, FLAG_SLIDE, OrderType, Side, TimeInForce

NOT_WAITING, FOR_TRIGGER, FOR_PARENT = range(3)

LASTING = frozenset({TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY})
CONDITIONAL = frozenset(OrderType) - {OrderType.MARKET, OrderType.LIMIT}
LIMITED = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT})


@dataclass(slots=True, kw_only=True)
class Order:
    """An order, on its way in or live.

    `place` is (sequence, n). `exact_units` is what is held for a taker that holds the exact cost of what it will take,
    None for all others: what they need follows from price and remaining lots.
    """

    order_id: int
    market: int
    account: int
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
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
    client_order_id: bytes
    place: tuple[int, int]
    waiting: int = NOT_WAITING
    other_leg: int = 0
    child: int = 0
    parent: int = 0
    resting: bool = False
    exact_units: int | None = None

    @property
    def is_buy(self) -> bool:
        return self.side is Side.BUY

    @property
    def filled_lots(self) -> int:
        return self.quantity_lots - self.remaining_lots

    @property
    def lasting(self) -> bool:
        return self.time_in_force in LASTING

    @property
    def conditional(self) -> bool:
        return self.order_type in CONDITIONAL

    @property
    def rests(self) -> bool:
        """Whether what remains after matching goes into the book."""
        return self.lasting and self.order_type in LIMITED

    @property
    def expires(self) -> bool:
        return self.time_in_force in (TimeInForce.GTD, TimeInForce.DAY)

    @property
    def post_only(self) -> bool:
        return bool(self.flags & FLAG_POST_ONLY)

    @property
    def slides(self) -> bool:
        return bool(self.flags & FLAG_SLIDE)

    @property
    def shown_lots(self) -> int:
        """What others see of it in the book."""
        return self.visible_lots if self.display_lots else self.remaining_lots

    @property
    def triggered_above(self) -> bool:
        """Whether the price must rise to its trigger, not fall."""
        takes_profit = self.order_type in (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)
        return self.is_buy is not takes_profit

    def is_met_by(self, low_ticks: int, high_ticks: int) -> bool:
        """Whether its trigger is met when the price was everywhere between these two, or nowhere (0, 0)."""
        if high_ticks == 0:
            return False
        if self.triggered_above:
            return high_ticks >= self.trigger_price_ticks
        return low_ticks <= self.trigger_price_ticks

    def accepts(self, price_ticks: int) -> bool:
        """Whether a price is at or better than its limit, or it has none."""
        if self.price_ticks == 0:
            return True
        return price_ticks <= self.price_ticks if self.is_buy else price_ticks >= self.price_ticks

    def is_self(self, other: "Order") -> bool:
        """Whether both belong to the same account or group."""
        return self.account == other.account or (self.group > 0 and self.group == other.group)

    def show_anew(self) -> None:
        """The next slice of an iceberg; nothing for an order that shows everything."""
        self.visible_lots = min(self.display_lots, self.remaining_lots)


def opposite(side: Side) -> Side:
    """Who trades with it."""
    return Side.SELL if side is Side.BUY else Side.BUY


def _bid_rank(order: Order) -> tuple[int, tuple[int, int]]:
    return -order.price_ticks, order.place


def _ask_rank(order: Order) -> tuple[int, tuple[int, int]]:
    return order.price_ticks, order.place


class Book:
    """The resting orders of one market, each side from the first to trade to the last."""

    def __init__(self) -> None:
        self.bids: SortedKeyList[Order, tuple[int, tuple[int, int]]] = SortedKeyList(key=_bid_rank)
        self.asks: SortedKeyList[Order, tuple[int, tuple[int, int]]] = SortedKeyList(key=_ask_rank)

    def __iter__(self) -> Iterator[Order]:
        yield from self.bids
        yield from self.asks

    def side(self, side: Side) -> "SortedKeyList[Order, tuple[int, tuple[int, int]]]":
        """The orders of a side, best first."""
        return self.bids if side is Side.BUY else self.asks

    def add(self, order: Order) -> None:
        """Let an order rest at its place."""
        self.side(order.side).add(order)

    def remove(self, order: Order) -> None:
        """Take a resting order out."""
        self.side(order.side).remove(order)

    def first(self, side: Side) -> Order | None:
        """The order of a side that trades first."""
        return next(iter(self.side(side)), None)

    def best_price(self, side: Side) -> int:
        """In ticks; 0: the side is empty."""
        order = self.first(side)
        return order.price_ticks if order else 0

    def would_cross(self, order: Order) -> bool:
        """Whether the best opposite price is at or better than the order's price."""
        best = self.best_price(opposite(order.side))
        return best > 0 and order.accepts(best)
