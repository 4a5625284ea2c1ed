"""Replaying: nothing is reordered that may not be, nothing is lost or placed twice, and the report adds up."""

import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from aiohttp import web

from exchange.simulation.bitstamp_tape import OrderChange, Side, TapeBook, TapeEvent, TapeOrder
from exchange.simulation.client import Account, ApiClient, Unreachable
from exchange.simulation.latency import LatencyHistogram
from exchange.simulation.replay import Replay, ReplaySettings, RestingPrices
from exchange.simulation.replay_report import Agreement, ReplayReport
from exchange.simulation.venue import CancelOutcome, HttpVenue, PlaceOutcome, ensure_funds
from tests.support.fake_exchange import FakeExchange, Fault
from tests.support.replay_market import EngineMarket

FUNDS = {"USD": Decimal(1_000_000), "BTC": Decimal(1_000)}


def order(change: OrderChange, number: int, side: Side, price: str, quantity: str, at_ms: int = 0) -> TapeOrder:
    return TapeOrder(at_ms, change, number, side, Decimal(price), Decimal(quantity))


def random_tape(seed: int, count: int) -> list[TapeEvent]:
    """Orders at few prices, so that many trade and many share a price; about half are deleted, some are repriced."""
    rng = random.Random(seed)
    events: list[TapeEvent] = []
    live: list[tuple[int, Side]] = []
    for number in range(1, count + 1):
        side: Side = rng.choice(("Buy", "Sell"))
        price = 100 + rng.randint(-4, 2) if side == "Buy" else 100 + rng.randint(-2, 4)
        events.append(order(OrderChange.CREATED, number, side, str(price), f"0.{rng.randint(1, 9)}"))
        live.append((number, side))
        if rng.random() < 0.1:
            other, other_side = rng.choice(live)
            events.append(order(OrderChange.CHANGED, other, other_side, str(100 + rng.randint(-3, 3)), "0.5"))
        if rng.random() < 0.6:
            other, other_side = live.pop(rng.randrange(len(live)))
            events.append(order(OrderChange.DELETED, other, other_side, "100", rng.choice(("0", "0.1"))))
    return events


async def play(market: EngineMarket, events: list[TapeEvent], **settings: object) -> ReplayReport:
    report = ReplayReport()
    chosen = ReplaySettings("test", compare_every=1, warm_up_s=0, **settings)  # type: ignore[arg-type]
    await Replay(market.venue(), chosen, report).run(events)
    return report


def book_of(market: EngineMarket) -> list[tuple[int, ...]]:
    """Accounts, sides, prices and quantities in the book's own order, time priority included."""
    return [row[1:] for row in market.shard.book(1)]


@pytest.mark.parametrize("seed", range(8))
async def test_many_orders_in_flight_give_the_same_book_as_one_at_a_time(seed: int) -> None:
    events = random_tape(seed, 300)
    one, many = EngineMarket(), EngineMarket(delays_seed=seed)
    first = await play(one, events, in_flight=1)
    second = await play(many, events, in_flight=16)
    assert book_of(one) == book_of(many)
    assert one.shard.trades == many.shard.trades == first.trades == second.trades > 20
    assert first.cancels == second.cancels
    assert first.lost == second.lost == 0


async def test_orders_in_flight_do_overtake_each_other_where_that_changes_nothing() -> None:
    market = EngineMarket(delays_seed=3)
    events: list[TapeEvent] = [order(OrderChange.CREATED, n, "Buy", str(10 + n), "1") for n in range(1, 40)]
    await play(market, events, in_flight=16)
    by_sequence = [price for *_, price, _, _ in sorted(market.shard.book(1))]
    assert by_sequence != sorted(by_sequence)


async def test_a_replaced_order_is_never_placed_for_more_than_our_market_left_of_it() -> None:
    market = EngineMarket()
    events: list[TapeEvent] = [
        order(OrderChange.CREATED, 1, "Sell", "100", "1"),
        order(OrderChange.CREATED, 2, "Buy", "100", "0.6"),
        order(OrderChange.CHANGED, 1, "Sell", "99", "0.9"),
    ]
    await play(market, events)
    assert [(row[3], row[4]) for row in market.shard.book(1)] == [(9900, 40_000_000)]


async def test_books_are_compared_after_the_warm_up_at_every_so_many_snapshots() -> None:
    bid = (Decimal(100), Decimal(1))
    events: list[TapeEvent] = [order(OrderChange.CREATED, 1, "Buy", "100.00", "1.0")]
    events += [TapeBook(second * 1000, [bid], []) for second in range(10)]
    report = ReplayReport()
    await Replay(EngineMarket().venue(), ReplaySettings("test", compare_every=3, warm_up_s=4), report).run(events)
    assert (report.snapshots, report.agreement.books, report.agreement.best_equal) == (6, 2, 2)


async def test_a_refused_order_is_counted_by_reason_and_its_cancel_is_not_sent() -> None:
    events: list[TapeEvent] = [
        order(OrderChange.CREATED, 1, "Sell", "100", "5000"),
        order(OrderChange.DELETED, 1, "Sell", "100", "5000"),
    ]
    report = await play(EngineMarket(), events)
    assert report.rejections == {"INSUFFICIENT_FUNDS": 1}
    assert (report.cancels_sent, report.cancels_unsent, report.lost) == (0, 1, 0)


def rarely(seed: int) -> Callable[[web.Request], Fault | None]:
    rng = random.Random(seed)
    return lambda request: rng.choice(list(Fault)) if rng.random() < 0.15 else None


async def play_http(fake: FakeExchange, url: str, events: list[TapeEvent], run: str) -> ReplayReport:
    report = ReplayReport()
    async with ApiClient(url, in_flight=8, give_up_s=30) as client:
        traders = [Account(client, f"replay-{run}-{number:02d}", "a password") for number in range(5)]
        for trader in traders:
            await trader.open()
            await ensure_funds(trader, FUNDS)
        settings = ReplaySettings(run, in_flight=8, compare_every=1, warm_up_s=0)
        await Replay(HttpVenue(client, "BTC-USD", traders), settings, report).run(events)
        report.unknown_outcomes = client.counts.unknown_outcomes
    return report


async def test_lost_answers_and_outages_lose_nothing_and_double_nothing() -> None:
    events = random_tape(11, 120)
    calm, troubled = FakeExchange(), FakeExchange(rarely(5))
    async with calm.serve() as url:
        await play_http(calm, url, events, "a")
    async with troubled.serve() as url:
        report = await play_http(troubled, url, events, "a")
    assert report.unknown_outcomes > 10
    assert report.lost == 0
    assert len(set(troubled.acted)) == len(troubled.acted) == report.orders_acknowledged + report.rejections.total()
    assert [row[2:] for row in troubled.market.shard.book(1)] == [row[2:] for row in calm.market.shard.book(1)]


async def test_the_same_run_played_again_changes_nothing_and_a_broken_off_one_is_played_on() -> None:
    events = random_tape(12, 80)
    whole, broken = FakeExchange(), FakeExchange()
    async with whole.serve() as url:
        await play_http(whole, url, events, "a")
        book = whole.market.shard.book(1)
        again = await play_http(whole, url, events, "a")
    assert whole.market.shard.book(1) == book
    assert again.orders_repeated == again.orders_acknowledged
    async with broken.serve() as url:
        await play_http(broken, url, events[:50], "a")
        await play_http(broken, url, events, "a")
    assert [row[2:] for row in broken.market.shard.book(1)] == [row[2:] for row in book]


async def test_books_that_an_earlier_playing_went_beyond_are_not_compared() -> None:
    events: list[TapeEvent] = [
        order(OrderChange.CREATED, 1, "Buy", "100", "1"),
        TapeBook(1, [(Decimal(100), Decimal(1))], []),
        order(OrderChange.DELETED, 1, "Buy", "100", "1"),
    ]
    fake = FakeExchange()
    async with fake.serve() as url:
        await play_http(fake, url, events, "a")
        again = await play_http(fake, url, events, "a")
    assert (again.agreement.books, again.snapshots_passed) == (0, 1)


async def test_an_exchange_that_never_answers_stops_the_replay_and_the_report_counts_what_is_lost() -> None:
    fake = FakeExchange(lambda request: Fault.LOST_AFTER if request.path == "/api/v1/orders" else None)
    report = ReplayReport()
    async with fake.serve() as url, ApiClient(url, give_up_s=0.3) as client:
        trader = Account(client, "trader", "a password")
        await ensure_funds(trader, FUNDS)
        with pytest.raises(Unreachable, match=r"POST /api/v1/orders|no answer"):
            await Replay(HttpVenue(client, "BTC-USD", [trader]), ReplaySettings("a"), report).run(random_tape(1, 5))
    assert report.lost >= 1


async def test_a_speed_makes_the_replay_last_as_long_as_it_says() -> None:
    events: list[TapeEvent] = [TapeBook(at_ms, [], []) for at_ms in (0, 1000, 3000)]
    report = ReplayReport()
    await Replay(EngineMarket().venue(), ReplaySettings("test", speed=10.0, compare_every=0), report).run(events)
    assert report.duration_s >= 0.3


def test_resting_prices_tell_when_an_order_may_trade() -> None:
    resting = RestingPrices()
    assert not resting.may_trade("Buy", Decimal(100))
    resting.add("Sell", Decimal(100))
    resting.add("Sell", Decimal(100))
    resting.add("Buy", Decimal(98))
    resting.remove("Sell", Decimal(100))
    assert resting.may_trade("Buy", Decimal(100))
    assert not resting.may_trade("Buy", Decimal(99))
    assert resting.may_trade("Sell", Decimal(98))
    assert not resting.may_trade("Sell", Decimal(99))
    resting.remove("Sell", Decimal(100))
    assert not resting.may_trade("Buy", Decimal(1000))


def test_agreement_counts_equal_best_prices_and_levels() -> None:
    agreement = Agreement()
    one, two = (Decimal(1), Decimal(1)), (Decimal(2), Decimal(2))
    agreement.compare(([two, one], [one]), ([two, one], [one]))
    agreement.compare(([two], [one]), ([two, one], [one]))
    agreement.compare(([one], []), ([two], [one]))
    assert (agreement.books, agreement.best_equal) == (3, 2)
    assert (agreement.levels, agreement.levels_equal) == (8, 5)
    assert agreement.document()["levels_fraction"] == 0.625


def test_the_report_adds_up_and_says_so_in_words_and_json() -> None:
    report = ReplayReport(events=5, orders_sent=3, cancels_sent=2, duration_s=2.0)
    report.placed(PlaceOutcome("1", fills=2))
    report.placed(PlaceOutcome("2", repeated=True))
    report.placed(PlaceOutcome(None, "PRICE_OFF_TICK"))
    report.cancelled(CancelOutcome(True, Decimal(1)), filled=False)
    assert report.lost == 1
    document = report.document()
    assert document["orders"] == {"sent": 3, "acknowledged": 2, "repeated": 1, "rejected": {"PRICE_OFF_TICK": 1}}
    assert (document["trades"]["ours"], document["lost"], document["commands_per_second"]) == (2, 1, 2.5)
    assert "1 PRICE_OFF_TICK" in report.text()


def test_percentiles_are_at_most_half_a_percent_above_the_true_ones() -> None:
    rng = random.Random(1)
    latencies = [int(rng.lognormvariate(13, 1)) for _ in range(5000)]
    histogram = LatencyHistogram()
    for latency in latencies:
        histogram.add(latency)
    latencies.sort()
    for percent in (Fraction(50), Fraction(99), Fraction(999, 10), Fraction(100)):
        true = latencies[-(-len(latencies) * percent // 100) - 1]
        assert true <= histogram.percentile_ns(percent) <= true * 1.005
    assert histogram.max_ns == latencies[-1]
    assert LatencyHistogram().summary_ms() == {"p50": 0.0, "p90": 0.0, "p99": 0.0, "p99.9": 0.0, "max": 0.0}


@pytest.mark.parametrize("wrong", [{"run": "UPPER"}, {"run": "a" * 13}, {"in_flight": 0}, {"speed": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        ReplaySettings(**({"run": "a"} | wrong))  # type: ignore[arg-type]


def test_the_replay_names_fit_the_limits_of_the_api(tmp_path: Path) -> None:
    run = "a" * 12
    assert len(f"replay-{run}-499") <= 32
    assert len(f"{run}-{10**15}-999") <= 36
