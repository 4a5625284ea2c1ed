"""What an audit has come to know of a whole shard, and the comparison of that with the shard itself."""

from collections import defaultdict
from collections.abc import Iterator

from engine.records import EXTERNAL_ACCOUNT, Mode, Side
from tests.support.engines import Shard
from tests.support.followed import TRIGGER, Followed, FollowedMarket

AT_ONCE_NS = -(2**63)  # due: the last command left orders to fire


class AuditedState:
    """Live orders, markets, balances and the number of trades."""

    def __init__(self) -> None:
        self.markets: dict[int, FollowedMarket] = {}
        self.orders: dict[int, Followed] = {}
        self.available: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.held: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.trades = 0
        self.fee_shares: dict[int, tuple[int, int]] = {}  # account -> maker's, taker's; what was said last
        self.timers: dict[int, int] = {}  # account -> when its orders end
        self.fires_later = False  # the last command was cut off by CASCADE_MAX

    def in_book(self, market: int, side: int = 0) -> list[Followed]:
        """Orders in the book, of both sides or of one, best to worst."""
        orders = (order for order in self.of_market(market) if order.place and side in (0, order.side))
        return sorted(orders, key=lambda order: (order.side, order.rank))

    def of_market(self, market: int) -> list[Followed]:
        """Live orders of a market, waiting ones included."""
        return [order for order in self.orders.values() if order.market == market]

    def legs(self, order: Followed) -> list[Followed]:
        """The order, and its other leg if it has one."""
        return [order, *([self.orders[order.other_leg]] if order.other_leg else [])]

    def hold(self, order: Followed, units: int) -> None:
        """Units move from available to held for the order; negative: back."""
        asset = self.markets[order.market].asset_of(order)
        order.purse.units += units
        self.available[order.account, asset] -= units
        self.held[order.account, asset] += units

    def check(self, shard: Shard) -> None:
        """The shard is where the events have led, and that is a place where a shard may be."""
        assert shard.trades == self.trades
        assert shard.open_orders == len(self.orders)
        assert shard.orders() == [self.orders[order_id].as_live_order() for order_id in sorted(self.orders)]
        self._check_balances(shard)
        for market in self.markets.values():
            assert shard.state(market.number) == market.as_market_state()
            self._check_book(shard, market)
            self._check_waiting(market)
        assert all(shard.fee_shares(account) == shares for account, shares in self.fee_shares.items())
        accounts = {order.account for order in self.orders.values()} | self.timers.keys() | self.fee_shares.keys()
        assert all(shard.cancel_after(account) == self.timers.get(account, 0) for account in accounts)
        assert shard.next_due_ns == min(self._due(), default=None)

    def _check_balances(self, shard: Shard) -> None:
        balances = shard.balances()
        known = {key: (self.available[key], self.held[key]) for key in self.available.keys() | self.held.keys()}
        assert balances == {key: amounts for key, amounts in known.items() if amounts != (0, 0)}
        sums: defaultdict[int, int] = defaultdict(int)
        for (account, asset), (available, held) in balances.items():
            assert held >= 0
            assert available >= 0 or account == EXTERNAL_ACCOUNT
            sums[asset] += available + held
        assert not any(sums.values()), "what comes in is what is there"
        assert {key: held for key, (_, held) in balances.items() if held} == self._needed()

    def _needed(self) -> dict[tuple[int, int], int]:
        """What live orders need held, by account and asset: of two legs the larger need."""
        needed: defaultdict[tuple[int, int], int] = defaultdict(int)
        for order in self.orders.values():
            market = self.markets[order.market]
            assert order.purse.units == max(market.needs(leg) for leg in self.legs(order))
            if order.order_id > order.other_leg:  # once a pair
                needed[order.account, market.asset_of(order)] += order.purse.units
        return {key: units for key, units in needed.items() if units}

    def _check_book(self, shard: Shard, market: FollowedMarket) -> None:
        resting = self.in_book(market.number)
        rows = [(o.order_id, o.account, o.side, o.price_ticks, o.remaining_lots, o.quantity_lots) for o in resting]
        assert shard.book(market.number) == rows
        assert all(0 < order.shown_lots <= order.remaining_lots <= order.quantity_lots for order in resting)
        bids = [order.price_ticks for order in resting if order.side == Side.BUY]
        asks = [order.price_ticks for order in resting if order.side == Side.SELL]
        crossed = bool(bids and asks and max(bids) >= min(asks))
        assert not crossed or market.mode == Mode.AUCTION, "a book at rest is never crossed but in an auction"
        assert shard.indicative(market.number) == market.clearing(resting)

    def _check_waiting(self, market: FollowedMarket) -> None:
        waiting = [order for order in self.of_market(market.number) if order.waiting == TRIGGER]
        assert not any(order.place for order in waiting)
        last = market.last_price_ticks
        if market.mode == Mode.OPEN and not self.fires_later:
            met = [o.order_id for o in waiting if o.is_met(market.range_low, market.range_high) or o.is_met(last, last)]
            assert not met, f"these should have fired: {met}"

    def _due(self) -> Iterator[int]:
        for number, market in self.markets.items():
            if market.mode == Mode.OPEN and market.next_to_fire(self.of_market(number)):
                yield AT_ONCE_NS
            if market.auction_end_ns:
                yield market.auction_end_ns
        yield from self.timers.values()
        yield from (order.expire_ns for order in self.orders.values() if order.expires)
