"""Orders and the book of one market: price first, then time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from sortedcontainers import SortedKeyList

from engine.records import OrderType, Side, TimeInForce


@dataclass(slots=True)
class Order:
    """An order, on its way in or resting. `held_units` is what the ledger holds for it now."""

    order_id: int
    market: int
    account: int
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    flags: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    held_units: int = 0

    @property
    def priority(self) -> int:
        """The sequence at which the order took its place: lower is earlier."""
        return self.order_id

    def may_trade_at(self, price_ticks: int) -> bool:
        """Whether the price is at or better than the order's limit, if it has one."""
        if self.order_type is OrderType.MARKET and self.price_ticks == 0:
            return True
        return price_ticks <= self.price_ticks if self.side is Side.BUY else price_ticks >= self.price_ticks


def _bid_rank(order: Order) -> tuple[int, int]:
    return -order.price_ticks, order.priority


def _ask_rank(order: Order) -> tuple[int, int]:
    return order.price_ticks, order.priority


class Book:
    """The resting orders of one market, each side from the first to trade to the last."""

    def __init__(self) -> None:
        self._bids: SortedKeyList[Order, tuple[int, int]] = SortedKeyList(key=_bid_rank)
        self._asks: SortedKeyList[Order, tuple[int, int]] = SortedKeyList(key=_ask_rank)

    def __iter__(self) -> Iterator[Order]:
        yield from self._bids
        yield from self._asks

    def add(self, order: Order) -> None:
        """Let an order rest behind those at its price."""
        self._resting(order.side).add(order)

    def remove(self, order: Order) -> None:
        """Take a resting order out."""
        self._resting(order.side).remove(order)

    def makers(self, taker: Order) -> Iterator[Order]:
        """The resting orders that `taker` may trade with, in the order in which it would."""
        opposite = Side.SELL if taker.side is Side.BUY else Side.BUY
        return takewhile(lambda maker: taker.may_trade_at(maker.price_ticks), self._resting(opposite))

    def fills(self, taker: Order) -> Iterator[tuple[int, int]]:
        """(price_ticks, quantity_lots) of each trade that `taker` would make with the book as it stands."""
        wanted_lots = taker.remaining_lots
        for maker in self.makers(taker):
            if wanted_lots == 0:
                return
            lots = min(wanted_lots, maker.remaining_lots)
            wanted_lots -= lots
            yield maker.price_ticks, lots

    def _resting(self, side: Side) -> "SortedKeyList[Order, tuple[int, int]]":
        return self._bids if side is Side.BUY else self._asks
