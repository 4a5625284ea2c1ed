"""The reference engine alone: random commands of every kind, and after each of them a look at its whole inside."""

import random
import zlib
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from engine.records import (
    EXTERNAL_ACCOUNT,
    FLAG_ALLOW_FAILURE,
    CommandKind,
    Contingency,
    EventKind,
    LiveOrder,
    Mode,
    OrderType,
    Side,
    TimeInForce,
)
from engine.reference import Shard
from engine.reference.state import State
from tests.support import commands
from tests.support.commands import BUY, SELL, Sequencer, read_events

ACCOUNTS = range(2, 7)
LIMIT_TYPES = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
LASTING = (TimeInForce.GTC, TimeInForce.GTC, TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY)
PREFIXES = (b"", b"a", b"ab", b"b")
LAST_MARKET = 3  # of wide numbers, so that amounts reach their bounds
WIDE_PRICES = (1, 2**16, 2**31, 2**32 - 1)
WIDE_LOTS = (1, 2**15, 2**31, 2**32, 2**41)


def opening() -> list[bytes]:
    """Three markets: a plain one, one with fees and limits, one of wide numbers."""
    fees = {"maker_fee_ppm": 12_345, "taker_fee_ppm": 100_000, "notional_units_min": 12}
    wide = {"lot_units": 2**20 + 1, "tick_lot_units": 2**30 - 1, "quantity_lots_max": 2**41}
    return [
        *(commands.define_asset(asset, name) for asset, name in enumerate(("USD", "BTC", "ETH"), 1)),
        commands.define_market(1, "BTC/USD", 2, 1, price_ticks_max=40),
        commands.define_market(2, "ETH/USD", 3, 1, price_ticks_max=40, tick_lot_units=3, **fees),
        commands.define_market(3, "ETH/BTC", 3, 2, price_ticks_max=2**32 - 1, **wide),
        *(commands.deposit(account, asset, 20_000 * account) for account in ACCOUNTS for asset in (1, 2, 3)),
        *(commands.deposit(account, asset, 2**61) for account in (2, 3) for asset in (1, 2, 3)),
    ]


class Driver:
    """Makes commands that mostly fit what the shard holds."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.shard = Shard()
        self.sequencer = Sequencer()
        self.shard.apply(self.sequencer.stamp(*opening()))

    def step(self) -> bytes:
        """One command, with a time near the last one's."""
        time_ns = self.sequencer.timestamp_ns + self.rng.choice([-1_000, 0, 0, 0, 0, 0, 0, 0, 10**12])
        if self.rng.random() < 0.003:
            time_ns = self.rng.choice([-(2**63), -1, 0, 5])
        self.sequencer.timestamp_ns = min(time_ns, 2**63 - 1)
        return self.sequencer.stamp(self.command())

    def command(self) -> bytes:
        """Half of them orders."""
        closed = [n for n in (1, 2, 3) if self.shard.state(n).mode != Mode.OPEN]
        if closed and self.rng.random() < 0.15:
            return commands.set_mode(self.rng.choice(closed), Mode.OPEN)
        others = [self.cancel, self.replace, self.operate, self.mass_cancel, self.of_account]
        return self.rng.choice([self.order] * 20 + [self.amend] * 3 + others)()

    def of_account(self) -> bytes:
        account = self.rng.choice(ACCOUNTS)
        if self.rng.random() < 0.5:
            return commands.cancel_after(account, self.rng.choice([0, self.until()]))
        return commands.set_fees(account, self.rng.choice([0, 333_333, 1_000_000]), self.rng.choice([0, 10**6]))

    def market(self) -> int:
        return self.rng.choice([1, 1, 1, 1, 2, 2, 3])

    def live(self) -> LiveOrder | None:
        orders = self.shard.orders()
        return self.rng.choice(orders) if orders else None

    def lots(self, market: int) -> int:
        return self.rng.choice(WIDE_LOTS) if market == LAST_MARKET else self.rng.randint(1, 9)

    def price(self, market: int) -> int:
        return self.rng.choice(WIDE_PRICES) if market == LAST_MARKET else self.rng.randint(15, 25)

    def until(self) -> int:
        return self.sequencer.timestamp_ns + self.rng.choice([2_000, 30_000, 90_000, 10**13])

    def order(self) -> bytes:
        rng, market = self.rng, self.market()
        order_type = rng.choice([*OrderType, *[OrderType.LIMIT] * 10, *[OrderType.MARKET] * 3])
        lasting = order_type != OrderType.MARKET and (order_type != OrderType.LIMIT or rng.random() < 0.8)
        fields: dict[str, Any] = {"order_type": order_type, "self_trade": rng.randrange(5)}
        fields["time_in_force"] = rng.choice(LASTING if lasting else [TimeInForce.IOC, TimeInForce.FOK])
        fields["group"] = rng.choice([0, 0, 1, 2])
        fields["client_order_id"] = rng.choice([b"", b"", b"abc", b"axe", b"b"])
        if fields["time_in_force"] == TimeInForce.GTD:
            fields["expire_ns"] = self.until()
        price, lots = self.price(market), self.lots(market)
        if order_type not in LIMIT_TYPES:
            price = rng.choice([0, price]) if order_type != OrderType.TRAILING_STOP else 0
        if order_type in list(OrderType)[2:]:
            self._trigger(fields, order_type, market)
        elif order_type == OrderType.LIMIT and lasting:
            fields["flags"] = rng.choice([0, 0, 0, 0, 1, 3])
            fields["display_lots"] = rng.choice([0, 0, 0, max(1, lots // 3)])
        if order_type == OrderType.LIMIT and not fields.get("flags") and rng.random() < 0.1:
            fields["min_quantity_lots"] = rng.randint(1, min(4, lots))
        if order_type == OrderType.MARKET and rng.random() < 0.4:
            fields |= {"amount": rng.choice([2**61, rng.randint(1, 1_000)]), "time_in_force": TimeInForce.IOC}
            lots = 0
        account = rng.choice(ACCOUNTS)
        order = commands.place(account, market, rng.choice([BUY, SELL]), price, lots, **fields)
        return self._link(order) if lasting and rng.random() < 0.4 else self._parent(order)

    def _trigger(self, fields: dict[str, Any], order_type: int, market: int) -> None:
        last = self.shard.state(market).last_price_ticks or self.price(market)
        fields["trigger_price_ticks"] = max(1, last + self.rng.randint(-4, 4))
        if order_type == OrderType.TRAILING_STOP:
            fields["trail_ticks"] = self.rng.randint(1, 4)
            fields["trigger_price_ticks"] *= self.rng.choice([0, 0, 1])

    def _link(self, order: bytes) -> bytes:
        """The order waits for a parent, or is the other leg of a live one."""
        if self.rng.random() < 0.5:
            return commands.override(order, contingency=Contingency.WAITS_FOR_PARENT)
        if not (named := self.live()):
            return order
        link = {"contingency": Contingency.ONE_CANCELS_OTHER, "order_id": named.order_id}
        terms = {"account": named.account, "market": named.market, "side": named.side}
        return commands.override(order, **link, **terms, quantity_lots=named.remaining_lots)

    def _parent(self, order: bytes) -> bytes:
        children = [child for child in self.shard.orders() if child.waiting == 2 and not child.parent]
        if not children or self.rng.random() < 0.4:
            return order
        child = self.rng.choice(children)
        link = {"contingency": Contingency.ONE_TRIGGERS_OTHER, "order_id": child.order_id}
        return commands.override(order, **link, account=child.account, market=child.market)

    def amend(self) -> bytes:
        if not (order := self.live()):
            return commands.clock()
        fields: dict[str, int] = {}
        if self.rng.random() < 0.5:
            fields["price_ticks"] = self.price(order.market)
        if self.rng.random() < 0.5:
            fields["quantity_lots"] = self.lots(order.market) + order.quantity_lots - order.remaining_lots
        if self.rng.random() < 0.2:
            fields["trigger_price_ticks"] = self.price(order.market)
        if self.rng.random() < 0.1:
            fields["display_lots"] = self.rng.randint(1, 4)
        return commands.amend(order.account, order.order_id, **fields)

    def cancel(self) -> bytes:
        order = self.live()
        return commands.cancel(order.account, order.order_id) if order else commands.cancel(2, 1)

    def replace(self) -> bytes:
        order = self.live()
        flags = self.rng.choice([0, FLAG_ALLOW_FAILURE])
        account = order.account if order and self.rng.random() < 0.9 else self.rng.choice(ACCOUNTS)
        new = commands.override(self.order(), account=account, contingency=0, flags=flags)
        return commands.cancel_replace(order.order_id if order else 1, new)

    def mass_cancel(self) -> bytes:
        if self.rng.random() < 0.8:
            return commands.clock()
        low, high = sorted((self.rng.randint(15, 25), self.rng.randint(15, 25)))
        prices = self.rng.choice([(0, 0), (low, high)])
        scope = self.rng.choice([0, *ACCOUNTS]), self.rng.randrange(4), self.rng.randrange(3)
        return commands.mass_cancel(*scope, *prices, self.rng.choice(PREFIXES))

    def operate(self) -> bytes:
        rng, choice = self.rng, self.rng.random()
        if choice < 0.2:
            return commands.deposit(rng.choice(ACCOUNTS), rng.randint(1, 3), rng.randint(1, 3_000))
        if choice < 0.3:
            return commands.withdraw(rng.choice(ACCOUNTS), rng.randint(1, 3), rng.randint(1, 3_000))
        if choice < 0.8:
            mode = rng.choice([0, 0, 0, 0, 1, 2, 3, 4, 4])
            until_ns = self.until() if mode == Mode.AUCTION and rng.random() < 0.7 else 0
            return commands.set_mode(self.market(), mode, until_ns)
        terms = {"band_ppm": rng.choice([0, 50_000, 100_000, 200_000]), "band_action": rng.randrange(2)}
        terms |= {"band_interval_ns": rng.choice([0, 9_000, 10**13]), "band_auction_ns": rng.choice([1, 9_000])}
        terms |= {"open_orders_max": rng.choice([0, 0, 30]), "position_lots_max": rng.choice([0, 0, 5_000])}
        terms |= {"maker_fee_ppm": rng.choice([0, 1_000]), "reference_price_ticks": rng.choice([0, 0, 20])}
        return commands.configure_market(rng.choice([1, 2]), **terms)


class Inside:
    """What must be true of a state between two commands."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.state: State = shard._state
        self.orders = {order.order_id: order for order in shard.orders()}

    def check(self) -> None:
        self._money()
        for order in self.orders.values():
            self._order(order)
            self._links(order)
        for market in range(1, len(self.state.markets) + 1):
            self._market(market)
        due_ns = self.shard.next_due_ns
        assert due_ns is None or due_ns > self.state.timestamp_ns or due_ns == 2**63 - 1
        assert not self.state.activations

    def _need(self, order: LiveOrder) -> int:
        definition = self.state.markets[order.market - 1].definition
        if order.waiting == 2:
            return 0
        if order.side == Side.SELL:
            return order.remaining_lots * definition.lot_units
        return order.price_ticks * order.remaining_lots * definition.tick_lot_units

    def _money(self) -> None:
        sums: defaultdict[int, int] = defaultdict(int)
        held: defaultdict[tuple[int, int], int] = defaultdict(int)
        for order in self.orders.values():
            leg = self.orders.get(order.other_leg)
            if leg and leg.order_id < order.order_id:
                continue
            definition = self.state.markets[order.market - 1].definition
            asset = definition.quote if order.side == Side.BUY else definition.base
            held[order.account, asset] += max(self._need(order), self._need(leg) if leg else 0)
        for (account, asset), (available, held_units) in self.shard.balances().items():
            sums[asset] += available + held_units
            assert available >= 0 or account == EXTERNAL_ACCOUNT
            assert held_units == held.pop((account, asset), 0), "held is what live orders need"
        assert not any(held.values())
        assert not any(sums.values()), "every asset sums to zero"

    def _order(self, order: LiveOrder) -> None:
        inner = self.state.orders[order.order_id]
        assert 0 < order.remaining_lots <= order.quantity_lots
        assert inner.exact_units is None, "only takers hold the exact cost"
        assert inner.resting == (order.waiting == 0)
        assert not order.flags & ~3
        assert self._need(order) < 2**62
        if order.waiting == 0:
            assert order.order_type in LIMIT_TYPES
            assert (order.visible_lots > 0) == (order.display_lots > 0)
            assert order.visible_lots <= min(order.display_lots, order.remaining_lots)
        else:
            assert inner.place == (order.order_id, 0)
        if order.waiting == 1:
            self._waits_rightly(order)

    def _waits_rightly(self, order: LiveOrder) -> None:
        market = self.state.markets[order.market - 1]
        assert order.trigger_price_ticks > 0
        if market.range_high == 0 and market.last_price:
            profit = order.order_type in (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)
            above = (order.side == Side.BUY) != profit
            distance = order.trigger_price_ticks - market.last_price
            assert (distance if above else -distance) > 0, "an order whose trigger is met has fired"

    def _links(self, order: LiveOrder) -> None:
        if order.other_leg:
            leg = self.orders[order.other_leg]
            assert leg.other_leg == order.order_id
            assert (leg.account, leg.market, leg.side) == (order.account, order.market, order.side)
            assert leg.remaining_lots == order.remaining_lots
            assert (leg.waiting == 2) == (order.waiting == 2)
            assert (leg.waiting, order.waiting) != (0, 0), "two legs are never both in the book"
            assert not order.child and not leg.child
        if order.child:
            assert self.orders[order.child].parent == order.order_id
            assert self.orders[order.child].waiting == 2
            assert order.waiting != 2
        if order.parent:
            assert self.orders[order.parent].child == order.order_id

    def _market(self, number: int) -> None:
        market = self.state.markets[number - 1]
        resting = [order.order_id for order in self.orders.values() if order.waiting == 0 and order.market == number]
        assert sorted(resting) == sorted(row[0] for row in self.shard.book(number))
        for side in (market.book.bids, market.book.asks):
            for one, other in pairwise(side):
                worse = one.price_ticks - other.price_ticks if one.is_buy else other.price_ticks - one.price_ticks
                assert worse > 0 or (worse == 0 and one.place < other.place), "price, then place"
        crossed = 0 < market.book.best_price(SELL) <= market.book.best_price(BUY)
        assert not crossed or market.mode is Mode.AUCTION
        assert (self.shard.indicative(number)[1] > 0) == crossed
        assert 0 <= market.range_low <= market.range_high
        if market.range_high:
            mine = [o for o in self.state.orders.values() if o.market == number and o.waiting == 1]
            assert any(market.is_met(order) for order in mine), "a range that meets nobody is empty"
            assert market.mode is not Mode.OPEN


def test_whatever_is_commanded_money_books_links_and_triggers_stay_right() -> None:
    happened: Counter[EventKind] = Counter()
    for seed in range(4):
        driver = Driver(seed)
        for number in range(1_200):
            happened.update(event.kind for event in read_events(driver.shard.apply(driver.step())))
            Inside(driver.shard).check()
            if number % 100 == 0:
                restored = Shard.restore(driver.shard.snapshot())
                assert restored.digest() == driver.shard.digest()
                assert restored.snapshot() == driver.shard.snapshot()
                driver.shard = restored
    unseen = set(EventKind) - set(happened) - {EventKind.ASSET_DEFINED, EventKind.MARKET_DEFINED}
    assert not unseen, "the commands make everything happen that can"


def test_the_indicative_price_is_the_best_of_all_prices_between_ask_and_bid() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        shard, sequencer = Shard(), Sequencer()
        shard.apply(sequencer.stamp(*opening(), commands.place(2, 1, BUY, rng.randint(1, 30), 1)))
        shard.apply(sequencer.stamp(commands.place_market(3, 1, SELL, 1), commands.set_mode(1, Mode.AUCTION)))
        for _ in range(rng.randint(2, 12)):
            place = commands.place(2, 1, rng.choice([BUY, SELL]), rng.randint(1, 30), rng.randint(1, 5))
            shard.apply(sequencer.stamp(place))
        bids, asks = shard.depth(1)
        best = (0, 0)
        if bids and asks and bids[0][0] >= asks[0][0]:
            ranked = []
            for price in range(asks[0][0], bids[0][0] + 1):
                demand = sum(lots for at, lots, _ in bids if at >= price)
                supply = sum(lots for at, lots, _ in asks if at <= price)
                distance = abs(price - shard.state(1).last_price_ticks)
                ranked.append((-min(demand, supply), abs(demand - supply), distance, price))
            best = (min(ranked)[3], -min(ranked)[0])
        assert shard.indicative(1)[:2] == best


class Trader:
    """A shard with the opening, told what to do one command at a time."""

    def __init__(self) -> None:
        self.shard, self.sequencer = Shard(), Sequencer()
        self.tell(*opening())

    def tell(self, *batch: bytes) -> list[EventKind]:
        return [event.kind for event in read_events(self.shard.apply(self.sequencer.stamp(*batch)))]

    def place(self, *terms: int, **fields: int) -> int:
        self.tell(commands.place(*terms, **fields))
        return self.sequencer.sequence


def test_a_price_from_before_a_child_was_activated_does_not_trigger_it() -> None:
    trader = Trader()
    for price in (16, 20, 24):
        trader.place(2, 1, SELL, price, 1)
    stop = {"order_type": OrderType.STOP, "contingency": Contingency.WAITS_FOR_PARENT, "trigger_price_ticks": 20}
    child = trader.place(3, 1, SELL, 0, 3, **stop)
    link = {"contingency": Contingency.ONE_TRIGGERS_OTHER, "order_id": child}
    kinds = trader.tell(commands.place(3, 1, BUY, 24, 3, **link))
    assert EventKind.ACTIVATED in kinds and EventKind.TRIGGERED not in kinds
    waits = trader.shard.order(child)
    assert waits is not None and waits.waiting == 1


def test_a_sweep_upwards_moves_a_trailing_sell_and_does_not_fire_it() -> None:
    trader = Trader()
    trader.place(2, 1, SELL, 16, 1)
    trader.place(3, 1, BUY, 16, 1)
    trailing = trader.place(3, 1, SELL, 0, 1, order_type=OrderType.TRAILING_STOP, trail_ticks=3)
    for price in (17, 20, 24):
        trader.place(2, 1, SELL, price, 1)
    assert EventKind.TRIGGERED not in trader.tell(commands.place(4, 1, BUY, 24, 3))
    waits = trader.shard.order(trailing)
    assert waits is not None and waits.trigger_price_ticks == 21


def test_what_is_left_to_fire_after_a_thousand_fires_with_the_next_command() -> None:
    trader = Trader()
    trader.place(2, 1, SELL, 20, 1)
    stop = {"order_type": OrderType.STOP, "trigger_price_ticks": 20, "contingency": 0}
    trader.tell(*(commands.place(2, 1, BUY, 0, 1, **stop) for _ in range(1_003)))
    assert trader.tell(commands.place(3, 1, BUY, 20, 1)).count(EventKind.TRIGGERED) == 1_000
    assert trader.shard.state(1).range_high == 20
    assert trader.shard.next_due_ns == -(2**63)
    assert trader.tell(commands.clock()).count(EventKind.TRIGGERED) == 3
    assert trader.shard.state(1).range_high == 0
    assert trader.shard.next_due_ns is None


def test_a_market_that_is_not_defined_cannot_be_asked_about() -> None:
    shard = Trader().shard
    for ask in (shard.book, shard.depth, shard.state, shard.indicative, shard.checksum):
        for market in (0, 4):
            with pytest.raises(KeyError):
                ask(market)
    with pytest.raises(KeyError):
        shard.orders(market=4)


def test_the_checksum_leaves_out_the_levels_that_a_side_has_not() -> None:
    trader = Trader()
    assert trader.shard.checksum(1) == 0
    trader.tell(commands.place(2, 1, BUY, 10, 5, display_lots=2), commands.place(2, 1, BUY, 9, 1))
    trader.tell(commands.place(2, 1, SELL, 12, 4))
    assert trader.shard.checksum(1) == zlib.crc32(b"10:2:12:4:9:1")
    assert trader.shard.checksum(1, levels=1) == zlib.crc32(b"10:2:12:4")
    assert trader.shard.depth(1, 1) == ([(10, 2, 1)], [(12, 4, 1)])


def test_commands_are_kept_as_accepted_for_whoever_needs_the_definitions() -> None:
    trader = Trader()
    trader.tell(commands.configure_market(2, maker_fee_ppm=5), commands.configure_market(1))
    trader.tell(commands.configure_market(2, maker_fee_ppm=7))
    kinds = [record[1] for record in trader.shard.definitions()]
    assert (
        kinds == [CommandKind.DEFINE_ASSET] * 3 + [CommandKind.DEFINE_MARKET] * 3 + [CommandKind.CONFIGURE_MARKET] * 2
    )
    assert commands.read_command(trader.shard.definitions()[-1])["maker_fee_ppm"] == 7
