"""The book of one market as plainly as it can be said, to hold `engine.matching.Book` against."""

from collections.abc import Iterator
from dataclasses import dataclass

from sortedcontainers import SortedDict

from engine.book_records import Refusal
from engine.records import FLAG_POST_ONLY, PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, Side, TimeInForce

Trade = tuple[int, int, int, int]
ORDER_IDS = 2**64


@dataclass(slots=True)
class Resting:
    """An order in the book."""

    side: int
    price_ticks: int
    remaining_lots: int


class SlowBook:
    """Price first, then time. A method returns trades (maker, taker, price, lots) or the refusal."""

    def __init__(self) -> None:
        self.resting: dict[int, Resting] = {}
        # A level maps order id to nothing, in the order of arrival.
        self._levels: dict[int, SortedDict[int, dict[int, None]]] = {Side.BUY: SortedDict(), Side.SELL: SortedDict()}

    def limit(
        self,
        order_id: int,
        side: int,
        price_ticks: int,
        quantity_lots: int,
        time_in_force: int = TimeInForce.GTC,
        flags: int = 0,
    ) -> list[Trade] | Refusal:
        refusal = self._form(order_id, side, price_ticks, quantity_lots)
        if refusal is None and time_in_force not in (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK):
            refusal = Refusal.TIME_IN_FORCE_INVALID
        if refusal is None and flags != 0 and (flags != FLAG_POST_ONLY or time_in_force != TimeInForce.GTC):
            refusal = Refusal.FLAGS_INVALID
        if refusal is None and order_id in self.resting:
            refusal = Refusal.ORDER_ID_IN_USE
        if refusal is not None:
            return refusal
        if flags == FLAG_POST_ONLY and self._fillable(side, price_ticks) > 0:
            return Refusal.POST_ONLY_WOULD_CROSS
        if time_in_force == TimeInForce.FOK and self._fillable(side, price_ticks) < quantity_lots:
            return Refusal.FOK_NOT_FILLABLE
        trades, left_lots = self._match(order_id, side, price_ticks, quantity_lots)
        if left_lots > 0 and time_in_force == TimeInForce.GTC:
            self._rest(order_id, Resting(side, price_ticks, left_lots))
        return trades

    def market(self, order_id: int, side: int, quantity_lots: int) -> list[Trade] | Refusal:
        refusal = self._form(order_id, side, 1, quantity_lots)
        if refusal is None and order_id in self.resting:
            refusal = Refusal.ORDER_ID_IN_USE
        if refusal is not None:
            return refusal
        return self._match(order_id, side, PRICE_TICKS_MAX if side == Side.BUY else 1, quantity_lots)[0]

    def cancel(self, order_id: int) -> int | Refusal:
        if order_id not in self.resting:
            return Refusal.UNKNOWN_ORDER
        return self._leave(order_id).remaining_lots

    def replace(self, order_id: int, price_ticks: int, quantity_lots: int) -> list[Trade] | Refusal:
        order = self.resting.get(order_id)
        refusal = self._form(order_id, order.side if order else Side.BUY, price_ticks, quantity_lots)
        if refusal is not None:
            return refusal
        if order is None:
            return Refusal.UNKNOWN_ORDER
        if price_ticks == order.price_ticks and quantity_lots <= order.remaining_lots:
            order.remaining_lots = quantity_lots
            return []
        self._leave(order_id)
        return self.limit(order_id, order.side, price_ticks, quantity_lots)  # type: ignore[return-value]

    def prices(self, side: int) -> list[int]:
        """Occupied prices, best first."""
        prices = list(self._levels[side])
        return prices[::-1] if side == Side.BUY else prices

    def best(self, side: int) -> int | None:
        """The best price of a side."""
        levels = self._levels[side]
        return levels.peekitem(-1 if side == Side.BUY else 0)[0] if levels else None

    def depth(self, side: int) -> list[tuple[int, int, int]]:
        """(price_ticks, total_lots, orders) of each level, best first."""
        levels = self._levels[side]
        return [
            (price, sum(self.resting[order_id].remaining_lots for order_id in levels[price]), len(levels[price]))
            for price in self.prices(side)
        ]

    def orders(self, side: int) -> list[tuple[int, int, int]]:
        """(order_id, price_ticks, remaining_lots) of a side's orders, in the order in which they would trade."""
        levels = self._levels[side]
        return [
            (order_id, price, self.resting[order_id].remaining_lots)
            for price in self.prices(side)
            for order_id in levels[price]
        ]

    def _form(self, order_id: int, side: int, price_ticks: int, quantity_lots: int) -> Refusal | None:
        assert 0 <= order_id < ORDER_IDS
        if side not in (Side.BUY, Side.SELL):
            return Refusal.SIDE_INVALID
        if not 1 <= price_ticks <= PRICE_TICKS_MAX:
            return Refusal.PRICE_OUT_OF_RANGE
        if not 1 <= quantity_lots < QUANTITY_LOTS_MAX:
            return Refusal.QUANTITY_OUT_OF_RANGE
        return None

    def _crossing(self, side: int, limit_ticks: int) -> Iterator[int]:
        # Ids of the orders of the other side that may trade, in their order.
        opposite = Side.SELL if side == Side.BUY else Side.BUY
        levels = self._levels[opposite]
        while (price := self.best(opposite)) is not None:
            if price > limit_ticks if side == Side.BUY else price < limit_ticks:
                return
            yield next(iter(levels[price]))

    def _fillable(self, side: int, limit_ticks: int) -> int:
        opposite = Side.SELL if side == Side.BUY else Side.BUY
        return sum(
            lots
            for price, lots, _ in self.depth(opposite)
            if (price <= limit_ticks if side == Side.BUY else price >= limit_ticks)
        )

    def _match(self, taker_id: int, side: int, limit_ticks: int, quantity_lots: int) -> tuple[list[Trade], int]:
        trades = []
        for maker_id in self._crossing(side, limit_ticks):
            maker = self.resting[maker_id]
            lots = min(quantity_lots, maker.remaining_lots)
            trades.append((maker_id, taker_id, maker.price_ticks, lots))
            quantity_lots -= lots
            maker.remaining_lots -= lots
            if maker.remaining_lots == 0:
                self._leave(maker_id)
            if quantity_lots == 0:
                break
        return trades, quantity_lots

    def _rest(self, order_id: int, order: Resting) -> None:
        self.resting[order_id] = order
        self._levels[order.side].setdefault(order.price_ticks, {})[order_id] = None

    def _leave(self, order_id: int) -> Resting:
        order = self.resting.pop(order_id)
        levels = self._levels[order.side]
        del levels[order.price_ticks][order_id]
        if not levels[order.price_ticks]:
            del levels[order.price_ticks]
        return order
