"""Whatever happens in an engine: the market made of its events is its own, and so are the consumers' mirrors."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import records
from engine.market_data import (
    BookOrder,
    Damaged,
    Feed,
    FeedSnapshot,
    Gap,
    L1Update,
    L2Mirror,
    L2Update,
    L3Mirror,
    L3Update,
    Message,
    TradesUpdate,
    depth_at,
)
from engine.market_data.view import KINDS
from engine.records import BandAction, CommandKind, Contingency, EventKind, Mode, OrderType, Side, TimeInForce
from tests.support import commands
from tests.support.engines import ENGINES, Shard, load_engine

MARKETS = (1, 2)
ACCOUNTS = range(2, 7)
SECOND_NS = 10**9
SEEDS = st.integers(0, 2**32)
_CONDITIONAL = [OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT]


class Driver:
    """Sends an engine orders of all kinds around a few prices, much of what may happen to them, and time."""

    def __init__(self, engine: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.shard: Shard = load_engine(engine).Shard()
        self.now_ns = SECOND_NS

    def run(self, count: int) -> Iterator[bytes]:
        """The events of each command: the opening's, then of `count` others."""
        for command in self._opening():
            yield self._apply(command)
        choices = [(self._order, 60), (self._cancel, 10), (self._amend, 15), (self._replace, 4)]
        choices += [(self._rare, 6), (self._reopen, 8)]
        steps, weights = zip(*choices, strict=True)
        for _ in range(count):
            self.now_ns += self.random.choice((1, 1000, SECOND_NS // 10))
            (step,) = self.random.choices(steps, weights)
            yield self._apply(step())

    def _apply(self, command: bytes) -> bytes:
        return self.shard.apply(commands.stamp(command, self.shard.sequence + 1, self.now_ns))

    def _opening(self) -> list[bytes]:
        opening = [commands.define_asset(1, "USD"), commands.define_asset(2, "BTC")]
        opening += [commands.define_market(market, f"M{market}", 2, 1) for market in MARKETS]
        return opening + [commands.deposit(account, asset, 10**9) for account in ACCOUNTS for asset in (1, 2)]

    def _price(self, side: Side) -> int:
        away = self.random.randint(-4 if self.random.random() < 0.1 else -1, 4)
        return 100 - away if side == Side.BUY else 100 + away

    def _order(self) -> bytes:
        chance = self.random
        side = chance.choice((Side.BUY, Side.SELL))
        make = chance.choices((self._limit, self._market_order, self._conditional), (14, 3, 3))[0]
        terms = {"account": chance.choice(ACCOUNTS), "market": chance.choice((1, 1, 1, 2)), "side": side}
        terms |= {"self_trade": chance.choice((0, 0, 1, 2, 3, 4)), "group": chance.choice((0, 0, 7))}
        terms |= {"price_ticks": self._price(side), "quantity_lots": chance.randint(1, 30)}
        return commands.record(CommandKind.PLACE, **{**terms, **make()})

    def _limit(self) -> dict[str, Any]:
        chance = self.random
        terms: dict[str, Any] = {"order_type": OrderType.LIMIT, "time_in_force": chance.choice((0, 1, 1, 1, 3, 4, 6))}
        if terms["time_in_force"] == TimeInForce.GTD:
            terms["expire_ns"] = self.now_ns + chance.randint(1, 5 * SECOND_NS)
        if terms["time_in_force"] not in (TimeInForce.IOC, TimeInForce.FOK):
            if chance.random() < 0.4:
                terms |= {"quantity_lots": chance.randint(10, 60), "display_lots": chance.randint(1, 9)}
            if chance.random() < 0.2:
                terms["flags"] = chance.choice((1, 3))
            terms |= self._link()
        return terms

    def _market_order(self) -> dict[str, Any]:
        terms = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC, "price_ticks": 0}
        terms |= self.random.choice(({}, {"quantity_lots": 0, "amount": 5_000, "self_trade": 1}))
        return terms | self._parenthood()

    def _conditional(self) -> dict[str, Any]:
        order_type = self.random.choice([*_CONDITIONAL, OrderType.TRAILING_STOP])
        terms: dict[str, Any] = {"order_type": order_type, "time_in_force": TimeInForce.GTC}
        if order_type == OrderType.TRAILING_STOP:
            terms |= {"trail_ticks": self.random.randint(1, 3), "price_ticks": 0}
        else:
            terms["trigger_price_ticks"] = 100 + self.random.randint(-6, 6)
        return terms | self._link()

    def _link(self) -> dict[str, Any]:
        """Sometimes a parent to wait for, a child, or another leg, which fits now and then."""
        chance = self.random.random()
        if chance < 0.1:
            return {"contingency": Contingency.WAITS_FOR_PARENT}
        if chance < 0.3:
            return self._parenthood()
        target = self._some_order()
        if target is None or chance > 0.4:
            return {}
        terms = {"contingency": Contingency.ONE_CANCELS_OTHER, "order_id": target.order_id, "account": target.account}
        terms |= {"market": target.market, "side": target.side}
        return terms | {"quantity_lots": target.remaining_lots, "display_lots": 0}

    def _parenthood(self) -> dict[str, Any]:
        child = self._some_order(waiting=2)
        if child is None or child.parent:
            return {}
        terms = {"contingency": Contingency.ONE_TRIGGERS_OTHER, "order_id": child.order_id}
        return terms | {"account": child.account, "market": child.market}

    def _some_order(self, waiting: int | None = None) -> Any:
        live = [order for order in self.shard.orders() if waiting in (None, order.waiting)]
        return self.random.choice(live) if live else None

    def _cancel(self) -> bytes:
        order = self._some_order()
        return commands.cancel(order.account, order.order_id) if order else commands.clock()

    def _amend(self) -> bytes:
        order, chance = self._some_order(), self.random
        if order is None:
            return commands.clock()
        change: dict[str, int] = {}
        if chance.random() < 0.6:
            change["quantity_lots"] = max(1, order.quantity_lots + chance.randint(-8, 4))
        if chance.random() < 0.4 and order.price_ticks:
            change["price_ticks"] = self._price(order.side)
        if chance.random() < 0.2:
            change["display_lots"] = chance.randint(1, 9)
        if order.waiting and chance.random() < 0.3:
            change["trigger_price_ticks"] = 100 + chance.randint(-4, 4)
        return commands.amend(order.account, order.order_id, **change)

    def _replace(self) -> bytes:
        order = self._some_order()
        replacement = commands.override(self._order(), contingency=0)
        if order is None:
            return commands.clock()
        return commands.cancel_replace(order.order_id, replacement, account=order.account)

    def _reopen(self) -> bytes:
        closed = [market for market in MARKETS if self.shard.state(market).mode != Mode.OPEN]
        return commands.set_mode(self.random.choice(closed), Mode.OPEN) if closed else self._order()

    def _rare(self) -> bytes:
        chance, market = self.random, self.random.choice(MARKETS)
        match chance.randrange(7):
            case 0:
                return commands.mass_cancel(
                    account=chance.choice(ACCOUNTS), market=market, side=chance.choice((0, 1, 2))
                )
            case 1:
                until_ns = self.now_ns + chance.randint(1, 2 * SECOND_NS)
                return commands.set_mode(market, Mode.AUCTION, chance.choice((0, until_ns)))
            case 2:
                return commands.set_mode(market, chance.choice((1, 2, 3)))
            case 3:
                band = {"band_ppm": chance.choice((0, 10_000, 20_000)), "band_interval_ns": SECOND_NS}
                return commands.configure_market(
                    market, **band, band_action=chance.choice(list(BandAction)), band_auction_ns=SECOND_NS
                )
            case _:
                self.now_ns += chance.choice((SECOND_NS, records.DAY_NS))
                return commands.clock()


class Consumers:
    """Mirrors of all markets, and the last best prices and trades that were told."""

    def __init__(self, feed: Feed) -> None:
        self.levels = {market: L2Mirror(feed.l2_snapshot(market)) for market in feed.markets}
        self.orders = {market: L3Mirror(feed.l3_snapshot(market)) for market in feed.markets}
        self.best: dict[int, tuple[int, ...]] = {}
        self.trades = 0

    def hear(self, messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, L2Update):
                assert self.levels[message.market].apply(message)
            elif isinstance(message, L3Update):
                assert self.orders[message.market].apply(message)
            elif isinstance(message, L1Update):
                assert self.best.get(message.market) != message[4:]
                self.best[message.market] = message[4:]
            elif isinstance(message, TradesUpdate):
                assert [trade.trade_id for trade in message.trades] == sorted(
                    trade.trade_id for trade in message.trades
                )
                self.trades += len(message.trades)


def visible_orders(shard: Shard, market: int) -> list[BookOrder]:
    """The engine's own book, as far as it is public."""
    book = []
    for order_id, _, side, price_ticks, remaining_lots, _ in shard.book(market):
        order = shard.order(order_id)
        book.append(
            BookOrder(order_id, side, price_ticks, order.visible_lots if order.display_lots else remaining_lots)
        )
    return book


def best_prices(shard: Shard, market: int) -> tuple[int, ...]:
    return tuple(number for side in shard.depth(market, 1) for number in (side[0][:2] if side else (0, 0)))


def assert_all_equal(shard: Shard, feed: Feed, consumers: Consumers) -> None:
    for market in MARKETS:
        orders, (bids, asks) = visible_orders(shard, market), shard.depth(market)
        depth = feed.l2_snapshot(market)
        assert list(feed.l3_snapshot(market).orders) == orders
        assert (list(depth.bids), list(depth.asks)) == (bids, asks)
        assert depth.checksum == shard.checksum(market)
        assert depth.mode == shard.state(market).mode
        assert consumers.orders[market].orders() == orders
        assert consumers.levels[market].depth() == consumers.orders[market].depth() == (bids, asks)
        assert consumers.best.get(market, (0, 0, 0, 0)) == best_prices(shard, market)
    assert consumers.trades == shard.trades


def defined(driver: Driver, count: int) -> tuple[Iterator[bytes], Feed, bytes]:
    """A run of the driver, and a feed that has its markets; the events of these."""
    run = driver.run(count)
    events = b"".join(next(run) for _ in range(2 + len(MARKETS)))
    feed = Feed()
    feed.apply(events)
    return run, feed, events


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=25)
@given(seed=SEEDS)
def test_after_every_command_view_and_mirrors_are_the_engines_own_book(engine: str, seed: int) -> None:
    driver = Driver(engine, seed)
    run, feed, _ = defined(driver, 150)
    consumers = Consumers(feed)
    for events in run:
        consumers.hear(feed.apply(events))
        assert_all_equal(driver.shard, feed, consumers)


@settings(max_examples=15)
@given(seed=SEEDS, split=st.integers(0, 120))
def test_a_restored_feed_tells_the_same_as_one_that_went_on(seed: int, split: int) -> None:
    driver = Driver("matching", seed)
    run, feed, _ = defined(driver, 120)
    for _ in range(split):
        feed.apply(next(run))
    restored = Feed.restore(FeedSnapshot.from_bytes(feed.snapshot().to_bytes()))
    late = Consumers(restored)
    for events in run:
        messages = feed.apply(events)
        assert restored.apply(events) == messages
        late.hear(messages)
    assert restored.snapshot() == feed.snapshot()
    for market in MARKETS:
        assert late.orders[market].orders() == visible_orders(driver.shard, market)


@settings(max_examples=15)
@given(seed=SEEDS, batches=st.lists(st.integers(1, 40), min_size=1))
def test_batches_of_any_size_tell_the_same_as_one_command_at_a_time(seed: int, batches: list[int]) -> None:
    events = list(Driver("matching", seed).run(120))
    one_by_one, batched = Feed(), Feed()
    singly = [message for each in events for message in one_by_one.apply(each)]
    together, at = [], 0
    for size in [*batches, len(events)]:
        together += batched.apply(b"".join(events[at : at + size]))
        at += size
    assert together == singly


@settings(max_examples=15)
@given(seed=SEEDS, saved=st.lists(st.integers(0, 120), max_size=3), asked=st.integers(5, 130))
def test_the_depth_of_any_sequence_is_what_it_was(seed: int, saved: list[int], asked: int) -> None:
    journal, depths, snapshots, feed = [], {}, [], Feed()
    driver = Driver("matching", seed)
    for events in driver.run(120):
        feed.apply(events)
        journal.append(events)
        if driver.shard.sequence > 4:
            depths[driver.shard.sequence] = driver.shard.depth(1), driver.shard.checksum(1)
        if len(journal) in saved:
            snapshots.append(feed.snapshot())
    batches = [b"".join(journal[at : at + 7]) for at in range(0, len(journal), 7)]
    found = depth_at(1, asked, snapshots, lambda after, until: batches)
    assert ((list(found.bids), list(found.asks)), found.checksum) == depths[asked]


@settings(max_examples=15)
@given(seed=SEEDS, missing=st.integers(0, 10**6))
def test_a_lost_message_is_always_found_with_the_next(seed: int, missing: int) -> None:
    run, feed, _ = defined(Driver("matching", seed), 120)
    start = feed.l2_snapshot(1), feed.l3_snapshot(1)
    messages = [message for events in run for message in feed.apply(events) if message.market == 1]
    for kind, mirror in ((L2Update, L2Mirror(start[0])), (L3Update, L3Mirror(start[1]))):
        stream: list[Any] = [message for message in messages if isinstance(message, kind)]
        lost = missing % (len(stream) - 1)
        for message in stream[:lost]:
            mirror.apply(message)
        with pytest.raises(Gap):
            mirror.apply(stream[lost + 1])


@settings(max_examples=15)
@given(seed=SEEDS, damaged=st.integers(0, 10**6), by=st.sampled_from((-1, 1, 7)))
def test_a_wrong_quantity_among_the_best_ten_levels_is_found_at_once(seed: int, damaged: int, by: int) -> None:
    run, feed, _ = defined(Driver("matching", seed), 120)
    mirror = L2Mirror(feed.l2_snapshot(1))
    stream = [message for events in run for message in feed.apply(events) if isinstance(message, L2Update)]
    stream = [message for message in stream if message.market == 1]
    at = damaged % len(stream)
    for message in stream[:at]:
        mirror.apply(message)
    level = stream[at].levels[0]
    wrong = level._replace(visible_lots=level.visible_lots + by if level.visible_lots + by > 0 else 5)
    with pytest.raises(Damaged):
        mirror.apply(stream[at]._replace(levels=(wrong, *stream[at].levels[1:])))


def test_the_driver_makes_everything_happen_that_a_view_must_know_of() -> None:
    happened = Counter[tuple[int, int]]()
    for seed in range(30):
        for events in Driver("matching", seed).run(400):
            happened.update((event.kind, event.flags & records.FLAG_AUCTION) for event in commands.read_events(events))
    assert {kind for kind, _ in happened} >= KINDS
    assert happened[EventKind.TRADED, records.FLAG_AUCTION] > 10
