"""Other matching engines of PyPI behind one thin face each, for `tests.performance.bare_book`.

A face takes limit, market, cancel and replace (cancel and enter again) as our book does and keeps what its engine says
of trades as the engine says it; `trades` turns that into (maker, taker, price, lots) when the clock has stopped.
"""

from collections.abc import Callable
from typing import Any

Trade = tuple[int, int, int, int]
BUY = 1


class OwnIds:
    """For engines that number orders themselves: their number of an order to ours."""

    def __init__(self) -> None:
        self.ours: dict[Any, int] = {}
        self.theirs: dict[int, Any] = {}

    def pair(self, ours: int, theirs: Any) -> None:
        self.ours[theirs] = ours
        self.theirs[ours] = theirs


class Liquibook:
    """liquibook: SWIG around C++; orders are objects of both worlds, trades come by callback."""

    def __init__(self) -> None:
        import liquibook

        fills = self.fills = []

        class Listener(liquibook.OrderListener):  # type: ignore[misc]
            def on_fill(self, aggressor: Any, resting: Any, lots: int, price: int) -> None:
                fills.append((resting.order_id_, aggressor.order_id_, price, lots))

            def on_accept(self, order: Any) -> None:
                """It must be there."""

            def on_cancel(self, order: Any) -> None:
                """It must be there."""

        self.listener = Listener()
        self.book = liquibook.liquibook_book_OrderBook()  # the quicker of its two: it keeps no depth
        self.book.set_order_listener(self.listener)
        self.order = liquibook.SimpleOrder
        self.at_once = liquibook.oc_immediate_or_cancel
        self.orders: dict[int, Any] = {}
        self.ours: dict[int, int] = {}

    def limit(self, order_id: int, side: int, price: int, lots: int) -> None:
        order = self.orders[order_id] = self.order(side == BUY, price, lots)
        self.ours[order.order_id_] = order_id
        self.book.add(order)

    def market(self, order_id: int, side: int, lots: int) -> None:
        order = self.orders[order_id] = self.order(side == BUY, 0, lots, 0, self.at_once)
        self.ours[order.order_id_] = order_id
        self.book.add(order, self.at_once)

    def cancel(self, order_id: int) -> None:
        self.book.cancel(self.orders.pop(order_id))

    def replace(self, order_id: int, side: int, price: int, lots: int) -> None:
        self.cancel(order_id)
        self.limit(order_id, side, price, lots)

    def trades(self) -> list[Trade]:
        return [(self.ours[maker], self.ours[taker], price, lots) for maker, taker, price, lots in self.fills]


class MatchingEngine:
    """matching-engine: pure Python; process() of one command. Needs Python 3.12."""

    def __init__(self) -> None:
        from matching_engine import domain
        from matching_engine.engine import MatchingEngine as Engine
        from matching_engine.events import Trade as TheirTrade

        self.domain, self.their_trade = domain, TheirTrade
        self.sides = {1: domain.Side.BUY, 2: domain.Side.SELL}
        self.market_terms = (domain.OrderType.MARKET, domain.TimeInForce.IOC)
        self.process = Engine().process
        self.sequence = 0
        self.events: list[Any] = []

    def _do(self, command: Any) -> None:
        self.sequence += 1
        self.events += self.process(self.domain.SequencedCommand(self.sequence, 0, command))

    def limit(self, order_id: int, side: int, price: int, lots: int) -> None:
        # An account an order: it prevents trades of an account with itself.
        self._do(self.domain.NewOrder(order_id, order_id, self.sides[side], price, lots))

    def market(self, order_id: int, side: int, lots: int) -> None:
        self._do(self.domain.NewOrder(order_id, order_id, self.sides[side], 0, lots, *self.market_terms))

    def cancel(self, order_id: int) -> None:
        self._do(self.domain.CancelOrder(order_id, order_id))

    def replace(self, order_id: int, side: int, price: int, lots: int) -> None:
        self.cancel(order_id)
        self.limit(order_id, side, price, lots)

    def trades(self) -> list[Trade]:
        return [
            (event.maker_order_id, event.taker_order_id, event.price, event.qty)
            for event in self.events
            if type(event) is self.their_trade
        ]


class OrderlyChaos:
    """orderly-chaos: ctypes around C; trades come by callback."""

    def __init__(self) -> None:
        from orderly_chaos import LimitOrderBook, Side

        self.fills: list[Any] = []
        self.sides = {1: Side.BUY, 2: Side.SELL}
        self.book = LimitOrderBook(on_trade=self.fills.append)
        self.cancel = self.book.cancel

    def limit(self, order_id: int, side: int, price: int, lots: int) -> None:
        self.book.limit(self.sides[side], order_id, lots, price)

    def market(self, order_id: int, side: int, lots: int) -> None:
        self.book.market(self.sides[side], order_id, lots)

    def replace(self, order_id: int, side: int, price: int, lots: int) -> None:
        self.cancel(order_id)
        self.limit(order_id, side, price, lots)

    def trades(self) -> list[Trade]:
        return [(fill.maker_id, fill.taker_id, fill.price, fill.quantity) for fill in self.fills]


class LightMatchingEngine:
    """lightmatchingengine: pure Python; price 0 is a market order, which rests at 0 where it is not filled."""

    def __init__(self) -> None:
        from lightmatchingengine.lightmatchingengine import LightMatchingEngine as Engine

        self.engine = Engine()
        self.fills: list[Any] = []
        self.ids = OwnIds()

    def limit(self, order_id: int, side: int, price: int, lots: int) -> None:
        order, trades = self.engine.add_order("X", price, lots, side)
        self.ids.pair(order_id, order.order_id)
        self.fills += trades

    def market(self, order_id: int, side: int, lots: int) -> None:
        order, trades = self.engine.add_order("X", 0, lots, side)
        self.ids.pair(order_id, order.order_id)
        self.fills += trades
        if order.leaves_qty > 0:
            self.engine.cancel_order(order.order_id, "X")

    def cancel(self, order_id: int) -> None:
        self.engine.cancel_order(self.ids.theirs[order_id], "X")

    def replace(self, order_id: int, side: int, price: int, lots: int) -> None:
        self.cancel(order_id)
        self.limit(order_id, side, price, lots)

    def trades(self) -> list[Trade]:
        # A line for what the aggressor takes at a price, then a line for each order that gives it.
        trades, taker, left = [], 0, 0
        for fill in self.fills:
            if left == 0:
                taker, left = self.ids.ours[fill.order_id], fill.trade_qty
            else:
                trades.append((self.ids.ours[fill.order_id], taker, fill.trade_price, fill.trade_qty))
                left -= fill.trade_qty
        return trades


class PyOrderBook:
    """pyorderbook: pure Python with Decimal prices and UUIDs. A market order is a limit order at the end."""

    def __init__(self) -> None:
        import logging

        from pyorderbook import Book, Order, Side

        logging.disable()
        self.book, self.order = Book(), Order
        self.sides = {1: Side.BID, 2: Side.ASK}
        self.ends = {1: 2**32 - 1, 2: 1}
        self.blotters: list[Any] = []
        self.orders: dict[int, Any] = {}
        self.ours: dict[Any, int] = {}

    def limit(self, order_id: int, side: int, price: int, lots: int) -> None:
        order = self.orders[order_id] = self.order(self.sides[side], "X", price, lots)
        self.ours[order.id] = order_id
        self.blotters += self.book.match(order).trades

    def market(self, order_id: int, side: int, lots: int) -> None:
        self.limit(order_id, side, self.ends[side], lots)
        order = self.orders[order_id]
        if order.quantity > 0:
            self.book.cancel(order)

    def cancel(self, order_id: int) -> None:
        self.book.cancel(self.orders.pop(order_id))

    def replace(self, order_id: int, side: int, price: int, lots: int) -> None:
        self.cancel(order_id)
        self.limit(order_id, side, price, lots)

    def trades(self) -> list[Trade]:
        return [
            (
                self.ours[line.standing_order_id],
                self.ours[line.incoming_order_id],
                int(line.fill_price),
                line.fill_quantity,
            )
            for line in self.blotters
        ]


class OBook:
    """obook: ctypes around a shared library; events are drained after each operation."""

    def __init__(self) -> None:
        import obook

        self.module = obook
        self.book = obook.Book(max_orders=2_000_000)
        self.sides = {1: obook.BUY, 2: obook.SELL}
        self.ids = OwnIds()
        self.events: list[Any] = []

    def limit(self, order_id: int, side: int, price: int, lots: int) -> None:
        result = self.book.submit(order_id, self.sides[side], price, lots)
        self.ids.pair(order_id, result.order_id)
        self.events += self.book.events()

    def market(self, order_id: int, side: int, lots: int) -> None:
        result = self.book.submit(order_id, self.sides[side], 0, lots, self.module.MARKET, self.module.IOC)
        self.ids.pair(order_id, result.order_id)
        self.events += self.book.events()

    def cancel(self, order_id: int) -> None:
        self.book.cancel(self.ids.theirs[order_id], order_id)
        self.events += self.book.events()

    def replace(self, order_id: int, side: int, price: int, lots: int) -> None:
        self.cancel(order_id)
        self.limit(order_id, side, price, lots)

    def trades(self) -> list[Trade]:
        ours = self.ids.ours
        return [
            (ours[event.maker_id], ours[event.taker_id], event.price, event.qty)
            for event in self.events
            if event.kind == self.module.EventKind.TRADE
        ]


class LiteBook:
    """litebook: Rust; float quantities, orders that know a tick size. A market order is a limit order at the end."""

    def __init__(self) -> None:
        from litebook import Order, OrderBook, OrderType

        self.order, self.book = Order, OrderBook(tick_size=1.0)
        self.sides = {1: OrderType.Buy, 2: OrderType.Sell}
        self.ends = {1: 2**31, 2: 1}
        self.fills: list[Any] = []
        self.ids = OwnIds()

    def limit(self, order_id: int, side: int, price: int, lots: int) -> None:
        order = self.order(self.sides[side], price, lots)
        self.ids.pair(order_id, order.id)
        fills = self.book.add(order)
        if fills:
            self.fills.append((order_id, fills))

    def market(self, order_id: int, side: int, lots: int) -> None:
        self.limit(order_id, side, self.ends[side], lots)
        self.book.cancel(self.ids.theirs[order_id])

    def cancel(self, order_id: int) -> None:
        self.book.cancel(self.ids.theirs[order_id])

    def replace(self, order_id: int, side: int, price: int, lots: int) -> None:
        self.cancel(order_id)
        self.limit(order_id, side, price, lots)

    def trades(self) -> list[Trade]:
        ours = self.ids.ours
        return [
            (ours[fill.buy_id], taker, round(fill.price), round(fill.quantity))  # buy_id is the resting order's, always
            for taker, fills in self.fills
            for fill in fills
        ]


class NanoBook:
    """nanobook: Rust."""

    def __init__(self) -> None:
        from nanobook import Exchange

        self.exchange = Exchange()
        self.sides = {1: "buy", 2: "sell"}
        self.fills: list[Any] = []
        self.ids = OwnIds()

    def limit(self, order_id: int, side: int, price: int, lots: int) -> None:
        result = self.exchange.submit_limit(self.sides[side], price, lots)
        self.ids.pair(order_id, result.order_id)
        self.fills += result.trades

    def market(self, order_id: int, side: int, lots: int) -> None:
        result = self.exchange.submit_market(self.sides[side], lots)
        self.ids.pair(order_id, result.order_id)
        self.fills += result.trades

    def cancel(self, order_id: int) -> None:
        self.exchange.cancel(self.ids.theirs[order_id])

    def replace(self, order_id: int, side: int, price: int, lots: int) -> None:
        self.cancel(order_id)
        self.limit(order_id, side, price, lots)

    def trades(self) -> list[Trade]:
        ours = self.ids.ours
        return [
            (ours[fill.passive_order_id], ours[fill.aggressor_order_id], fill.price, fill.quantity)
            for fill in self.fills
        ]


# Distribution and version; operations measured, since some need microseconds and some milliseconds each.
PEERS: dict[str, tuple[Callable[[], Any], int]] = {
    "liquibook==2.0.1": (Liquibook, 200_000),
    "matching-engine==0.1.1": (MatchingEngine, 100_000),
    "orderly-chaos==0.2.0": (OrderlyChaos, 100_000),
    "lightmatchingengine==2019.1.4": (LightMatchingEngine, 100_000),
    "pyorderbook==0.4.9": (PyOrderBook, 50_000),
    "obook==0.1.0": (OBook, 50_000),
    "litebook==0.0.1": (LiteBook, 100_000),
    "nanobook==0.19.2": (NanoBook, 100_000),
}
