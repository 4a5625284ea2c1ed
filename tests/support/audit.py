"""A second opinion on a shard: what the events alone say that its books and balances must be.

`follow` checks every event against the events before it (price, time, quantities, amounts, fees), `check` the shard's
state against the sum of them.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from engine.records import EXTERNAL_ACCOUNT, REVENUE_ACCOUNT, CommandKind, EventKind, OrderType, Side, TimeInForce
from engine.reference import Shard
from tests.support.commands import Event, read_command


@dataclass
class OpenOrder:
    """An accepted order that has not ended."""

    order_id: int
    account: int
    market: int
    side: int
    limited: bool
    may_rest: bool
    price_ticks: int
    quantity_lots: int
    held: int
    filled_lots: int = 0

    @property
    def remaining_lots(self) -> int:
        return self.quantity_lots - self.filled_lots

    @property
    def rank(self) -> tuple[int, int]:
        """Lower trades first: the better price, then the earlier arrival."""
        return (-self.price_ticks if self.side == Side.BUY else self.price_ticks), self.order_id


class Audit:
    """Open orders, balances and the number of trades, as the events tell them."""

    def __init__(self) -> None:
        self.markets: dict[int, dict[str, Any]] = {}
        self.open: dict[int, OpenOrder] = {}
        self.available: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.held: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.trades = 0

    def follow(self, command: bytes, events: list[Event]) -> None:
        """Take in what one command caused."""
        assert events, "every command causes an event"
        if events[0].kind is EventKind.REJECTED:
            assert len(events) == 1 and events[0].reason
        for event in events:
            self._take(command, event)
        assert all(order.may_rest for order in self.open.values()), "an order rests that must not"

    def _take(self, command: bytes, event: Event) -> None:
        match event.kind:
            case EventKind.MARKET_DEFINED:
                assert command[1] == CommandKind.DEFINE_MARKET
                self.markets[event.market] = read_command(command)
            case EventKind.DEPOSITED | EventKind.WITHDRAWN:
                amount = event.amount if event.kind is EventKind.DEPOSITED else -event.amount
                self.available[event.account, event.asset] += amount
                self.available[EXTERNAL_ACCOUNT, event.asset] -= amount
            case EventKind.ACCEPTED:
                self._accept(event)
            case EventKind.TRADED:
                self._trade(event)
            case EventKind.CANCELLED:
                self._cancel(event)

    def _accept(self, event: Event) -> None:
        assert event.remaining_lots == event.quantity_lots > 0
        limited = event.order_type == OrderType.LIMIT or event.price_ticks != 0
        may_rest = event.time_in_force == TimeInForce.GTC
        terms = event.account, event.market, event.side, limited, may_rest, event.price_ticks, event.quantity_lots
        order = OpenOrder(event.order_id, *terms, held=event.amount)
        self.open[event.order_id] = order
        self._hold(order, event.amount)

    def _trade(self, event: Event) -> None:
        taker, maker = self.open[event.order_id], self.open[event.maker_order_id]
        opposite = (o for o in self.open.values() if o.market == taker.market and o.side != taker.side)
        assert maker is min(opposite, key=lambda order: order.rank), "the best price, then the oldest order, trades"
        assert event.price_ticks == maker.price_ticks
        better = (
            taker.price_ticks - maker.price_ticks if taker.side == Side.BUY else maker.price_ticks - taker.price_ticks
        )
        assert better >= 0 or not taker.limited
        assert (event.account, event.side, event.maker_account) == (taker.account, taker.side, maker.account)
        self.trades += 1
        assert event.trade_id == self.trades
        assert event.quantity_lots == min(taker.remaining_lots, maker.remaining_lots) > 0
        taker.filled_lots += event.quantity_lots
        maker.filled_lots += event.quantity_lots
        assert (event.remaining_lots, event.maker_remaining_lots) == (taker.remaining_lots, maker.remaining_lots)
        self._settle(event, taker, maker)
        for order in (taker, maker):
            if order.remaining_lots == 0:
                assert order.held == 0, "a filled order holds nothing"
                del self.open[order.order_id]

    def _settle(self, event: Event, taker: OpenOrder, maker: OpenOrder) -> None:
        market = self.markets[taker.market]
        notional = event.price_ticks * event.quantity_lots * market["tick_lot_units"]
        base_units = event.quantity_lots * market["lot_units"]
        assert event.amount == notional
        given, taken = (notional, base_units) if taker.side == Side.BUY else (base_units, notional)
        assert event.taker_fee == taken * market["taker_fee_ppm"] // 1_000_000
        assert event.maker_fee == given * market["maker_fee_ppm"] // 1_000_000
        self._pay(taker, maker, given, event.maker_fee)
        self._pay(maker, taker, taken, event.taker_fee)
        self._hold(taker, -event.hold_released)
        taker.held -= event.hold_released

    def _pay(self, payer: OpenOrder, receiver: OpenOrder, amount: int, fee: int) -> None:
        asset = self._asset(payer)
        payer.held -= amount
        self.held[payer.account, asset] -= amount
        self.available[receiver.account, asset] += amount - fee
        self.available[REVENUE_ACCOUNT, asset] += fee

    def _cancel(self, event: Event) -> None:
        order = self.open.pop(event.order_id)
        assert (event.account, event.side, event.market) == (order.account, order.side, order.market)
        assert event.quantity_lots == order.remaining_lots > 0, "accepted = filled + cancelled"
        assert event.remaining_lots == 0
        assert event.amount == order.held, "a cancelled order gives back all that it held"
        self._hold(order, -event.amount)

    def _hold(self, order: OpenOrder, amount: int) -> None:
        self.available[order.account, self._asset(order)] -= amount
        self.held[order.account, self._asset(order)] += amount

    def _asset(self, order: OpenOrder) -> int:
        asset: int = self.markets[order.market]["quote" if order.side == Side.BUY else "base"]
        return asset

    def check(self, shard: Shard) -> None:
        """The shard is where the events have led, and that is a place where a shard may be."""
        assert shard.trades == self.trades
        balances = shard.balances()
        known = {key: (self.available[key], self.held[key]) for key in self.available.keys() | self.held.keys()}
        assert balances == {key: amounts for key, amounts in known.items() if amounts != (0, 0)}
        sums: defaultdict[int, int] = defaultdict(int)
        for (account, asset), (available, held) in balances.items():
            assert held >= 0
            assert available >= 0 or account == EXTERNAL_ACCOUNT
            sums[asset] += available + held
        assert not any(sums.values()), "what comes in is what is there"
        self._check_holds(balances)
        for market in self.markets:
            self._check_book(shard, market)

    def _check_holds(self, balances: dict[tuple[int, int], tuple[int, int]]) -> None:
        needed: defaultdict[tuple[int, int], int] = defaultdict(int)
        for order in self.open.values():
            terms = self.markets[order.market]
            price_units = order.price_ticks * terms["tick_lot_units"] if order.side == Side.BUY else terms["lot_units"]
            assert order.held == price_units * order.remaining_lots
            needed[order.account, self._asset(order)] += order.held
        assert {key: held for key, (_, held) in balances.items() if held} == needed

    def _check_book(self, shard: Shard, market: int) -> None:
        resting = sorted((o for o in self.open.values() if o.market == market), key=lambda o: (o.side, o.rank))
        rows = [(o.order_id, o.account, o.side, o.price_ticks, o.remaining_lots, o.quantity_lots) for o in resting]
        assert shard.book(market) == rows
        bids = [order.price_ticks for order in resting if order.side == Side.BUY]
        asks = [order.price_ticks for order in resting if order.side == Side.SELL]
        assert not bids or not asks or max(bids) < min(asks), "a book at rest is never crossed"
