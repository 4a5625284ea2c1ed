"""The demo's robots: decisions that repeat for a seed and stay within bounds, and robots that outlive the exchange."""

import asyncio
import random
import socket
import statistics
from decimal import Decimal

import pytest

from exchange.simulation.account_view import ENDED_MEMORY, AccountView
from exchange.simulation.client import Order
from exchange.simulation.demo import Demo, DemoError, DemoSettings
from exchange.simulation.robots import (
    STYLES,
    FairPrice,
    Grid,
    Maker,
    Quote,
    Requote,
    Taker,
    TakerView,
    inventory_of,
    maker_styles,
    quote_mark,
    quote_of,
    start_ticks,
)
from tests.support.fake_exchange import FakeExchange

GRID = Grid("BTC/USD", Decimal("0.01"), Decimal("0.00000001"))
STYLE = STYLES[0]
FAIR = 6_500_000


def maker(number: int = 0, seed: int = 1) -> Maker:
    return Maker(maker_styles(STYLE, GRID, 3)[number], random.Random(seed))


def held(quotes: list[Quote]) -> list[Quote]:
    return [Quote(q.side, q.level, q.price_ticks, q.quantity_lots, str(n)) for n, q in enumerate(quotes)]


def carry_out(quotes: list[Quote], work: list[Requote], serial: int) -> list[Quote]:
    gone = {requote.cancel for requote in work}
    placed = [requote.place for requote in work if requote.place is not None]
    new = [Quote(q.side, q.level, q.price_ticks, q.quantity_lots, f"{serial}-{n}") for n, q in enumerate(placed)]
    return [quote for quote in quotes if quote.order_id not in gone] + new


def simulate(seed: int, rounds: int) -> list[list[Requote]]:
    rng = random.Random(seed)
    fair, robot, quotes, log = FairPrice(FAIR, 550.0, rng), maker(seed=seed), list[Quote](), []
    for number in range(rounds):
        fair.advance(0.5)
        work = robot.decide(fair.ticks, 0.0, quotes, 12)
        quotes = carry_out(quotes, work, number)
        log.append(work)
    return log


def test_a_maker_decides_the_same_for_the_same_seed_and_differently_for_another() -> None:
    assert simulate(1, 200) == simulate(1, 200)
    assert simulate(1, 200) != simulate(2, 200)


def test_a_taker_decides_the_same_for_the_same_seed() -> None:
    views = {"BTC/USD": TakerView(FAIR, 0.0, 1000, 1), "ETH/USD": TakerView(340_000, 0.0, 1000, 1)}
    first, second, other = (Taker(1.0, random.Random(seed)) for seed in (1, 1, 2))
    decided = [[taker.decide(views) for _ in range(100)] for taker in (first, second, other)]
    assert decided[0] == decided[1] != decided[2]


@pytest.mark.parametrize("inventory", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_ladder_never_crosses_itself_nor_the_fair_price(number: int, inventory: float) -> None:
    for fair in (1, 2, 50, FAIR):
        ladder = maker(number).ladder(fair, inventory)
        bids = [quote.price_ticks for quote in ladder if quote.side == "Buy"]
        asks = [quote.price_ticks for quote in ladder if quote.side == "Sell"]
        assert len(bids) == len(asks) == 6
        assert all(1 <= bid <= max(fair - 1, 1) for bid in bids)
        assert all(ask > fair for ask in asks)


def test_three_makers_give_fifteen_levels_a_side_and_a_spread_of_a_few_dollars() -> None:
    ladders = [maker(number, seed=number).ladder(FAIR, 0.0) for number in range(3)]
    bids = {quote.price_ticks for ladder in ladders for quote in ladder if quote.side == "Buy"}
    asks = {quote.price_ticks for ladder in ladders for quote in ladder if quote.side == "Sell"}
    assert len(bids) >= 15
    assert len(asks) >= 15
    assert 100 <= min(asks) - max(bids) <= 1000


def test_what_it_has_bought_moves_a_maker_down() -> None:
    def middle(inventory: float) -> float:
        return statistics.mean(quote.price_ticks for quote in maker().ladder(FAIR, inventory))

    assert middle(1.0) < middle(0.0) < middle(-1.0)


def test_a_maker_with_the_ladder_it_wants_does_nothing() -> None:
    robot = maker()
    assert robot.decide(FAIR, 0.0, held(robot.ladder(FAIR, 0.0)), 100) == []


def test_a_maker_keeps_within_its_budget_and_never_has_more_orders_than_its_ladder() -> None:
    rng = random.Random(4)
    fair, robot, quotes = FairPrice(FAIR, 2000.0, rng), maker(), list[Quote]()
    for number in range(500):
        fair.advance(1)
        budget = rng.randint(0, 5)
        work = robot.decide(fair.ticks, rng.uniform(-1, 1), quotes, budget)
        assert sum((r.cancel is not None) + (r.place is not None) for r in work) <= budget
        quotes = carry_out(quotes, work, number)
        assert len(quotes) <= 12


def test_superfluous_quotes_go_first_and_those_on_the_wrong_side_before_those_far_off() -> None:
    robot = maker()
    quotes = held(robot.ladder(FAIR, 0.0))
    doubled = Quote("Buy", 0, FAIR - 100, 10, "doubled")
    beyond = Quote("Sell", 9, FAIR + 100, 10, "beyond")
    work = robot.decide(FAIR, 0.0, [*quotes, doubled, beyond], 2)
    assert {requote.cancel for requote in work} == {"doubled", "beyond"}
    lowest_ask = min(quote.price_ticks for quote in quotes if quote.side == "Sell")
    first = robot.decide(lowest_ask + 1, 0.0, quotes, 2)[0]
    assert first.cancel == next(quote.order_id for quote in quotes if quote.price_ticks == lowest_ask)


def test_a_quote_that_was_mostly_filled_is_renewed() -> None:
    robot = maker()
    quotes = held(robot.ladder(FAIR, 0.0))
    eaten = quotes[0]
    quotes[0] = Quote(eaten.side, eaten.level, eaten.price_ticks, eaten.quantity_lots // 3, eaten.order_id)
    (requote,) = robot.decide(FAIR, 0.0, quotes, 10)
    assert requote.cancel == eaten.order_id
    assert requote.place is not None
    assert requote.place.quantity_lots == eaten.quantity_lots


def order(**fields: object) -> Order:
    known = {"order_id": "1", "symbol": "BTC/USD", "side": "Buy", "quantity": "1", "filled_quantity": "0"}
    known |= {"remaining_quantity": "1", "status": "Open", "sequence": 1, "price": "65000.00"}  # type: ignore[dict-item]
    return Order(**(known | fields))  # type: ignore[arg-type]


def test_a_maker_knows_its_quotes_again_by_their_client_ids() -> None:
    quote = Quote("Sell", 3, FAIR, 50_000_000, "1")
    again = order(side="Sell", client_order_id=f"{quote_mark(quote)}.19a-1", remaining_quantity="0.5")
    assert quote_of(again, GRID) == quote
    for stranger in (None, "my-1", "s3", "b.1", "bx.1"):
        assert quote_of(order(side="Buy", client_order_id=stranger), GRID) is None


def test_takers_hold_their_rate_their_size_and_their_limit() -> None:
    taker = Taker(2.0, random.Random(7))
    takes = [take for _ in range(4000) for take in taker.decide({"BTC/USD": TakerView(FAIR, 0.0, 1000, 1)})]
    assert len(takes) / sum(take.delay_s for take in takes) == pytest.approx(2.0, rel=0.15)
    assert all(1 <= take.quantity_lots <= 6000 for take in takes)
    assert all(abs(take.limit_ticks - FAIR) <= FAIR / 500 for take in takes)
    assert len(takes) > 4000  # there were bursts
    buys = sum(take.side == "Buy" for take in takes) / len(takes)
    assert 0.4 < buys < 0.6


def test_a_taker_that_has_bought_too_much_sells() -> None:
    taker = Taker(2.0, random.Random(7))
    takes = [taker.decide({"BTC/USD": TakerView(FAIR, 1.0, 1000, 1)})[0] for _ in range(500)]
    assert sum(take.side == "Sell" for take in takes) > 400


def test_the_fair_price_repeats_for_a_seed_moves_and_stays_in_bounds() -> None:
    def walk(seed: int, step: float) -> list[int]:
        fair = FairPrice(FAIR, step, random.Random(seed))
        path = []
        for _ in range(3000):
            fair.advance(0.5)
            path.append(fair.ticks)
        return path

    path = walk(1, 550.0)
    assert path == walk(1, 550.0) != walk(2, 550.0)
    assert len(set(path)) > 1000
    assert all(FAIR / 8 <= ticks <= FAIR * 8 for ticks in [*path, *walk(1, 1e6)])


def test_the_fair_price_starts_at_a_believable_last_price_only() -> None:
    assert start_ticks(GRID, STYLE, "70000.00") == 7_000_000
    assert start_ticks(GRID, STYLE, None) == start_ticks(GRID, STYLE, "236.47") == 6_500_000


def test_inventory_is_measured_against_its_target_and_bounded() -> None:
    target = Decimal(60)
    assert [inventory_of(Decimal(total), target) for total in (0, 30, 60, 90, 600)] == [-1.0, -0.5, 0.0, 0.5, 1.0]


def test_late_answers_do_not_bring_an_ended_order_back() -> None:
    view = AccountView()
    view.apply(order(sequence=5))
    view.apply(order(sequence=3, remaining_quantity="9"))
    assert view.orders["1"].remaining_quantity == "1"
    view.apply(order(sequence=7, status="Filled", remaining_quantity="0"))
    view.apply(order(sequence=5))
    assert view.orders == {}
    for number in range(2 * ENDED_MEMORY):
        view.forget(f"other {number}")
    assert len(view._ended) == ENDED_MEMORY


def test_a_snapshot_replaces_what_it_includes_and_keeps_what_was_answered_after_it() -> None:
    view = AccountView()
    view.apply(order(order_id="1", sequence=5))
    view.apply(order(order_id="9", sequence=9))
    balances = [{"asset": "USD", "available": "1", "held": "2", "total": "3"}]
    view.take({"type": "snapshot", "sequence": 8, "orders": [], "balances": balances})
    assert list(view.orders) == ["9"]
    assert view.totals == {"USD": Decimal(3)}
    assert view.ready.is_set()


async def eventually(condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (what is waited for is in the engine)
            await asyncio.sleep(0.05)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def test_robots_fill_the_book_outlive_a_restart_and_cancel_their_quotes_at_the_end() -> None:
    fake, port = FakeExchange(), free_port()
    demo = Demo(DemoSettings(f"http://127.0.0.1:{port}", "a password", rate=400, makers=2, takers=1))
    running = asyncio.create_task(demo.run())
    async with fake.serve(port):
        await eventually(lambda: len(fake.market.shard.book(1)) >= 20)
        await eventually(lambda: fake.market.shard.trades >= 3)
    trades = fake.market.shard.trades
    async with fake.serve(port):
        await eventually(lambda: demo.counts.reconnects >= 3 and fake.market.shard.trades > trades + 3)
        makers = [account for name, (_, account) in fake.users.items() if "maker" in name]
        for account in makers:
            mine = [row for row in fake.market.shard.book(1) if row[1] == account]
            assert len(mine) <= 24
        fake.skip_update()
        await eventually(lambda: fake.market.shard.trades > trades + 6)
        demo.stop()
        await asyncio.wait_for(running, 20)
        assert fake.market.shard.book(1) == []


async def test_robots_that_exist_with_another_password_end_the_demo_and_say_what_helps() -> None:
    fake = FakeExchange()
    fake.users["demo-maker-1"] = ("its own password", 5000)
    async with fake.serve() as url:
        demo = Demo(DemoSettings(url, "a password", makers=1, takers=1))
        with pytest.raises(DemoError, match="demo-maker-1 exists with another password"):
            await asyncio.wait_for(demo.run(), 20)


async def test_robots_pass_over_refused_orders() -> None:
    fake = FakeExchange()
    async with fake.serve() as url:
        demo = Demo(DemoSettings(url, "a password", rate=400, makers=1, takers=1))
        running = asyncio.create_task(demo.run())
        await eventually(lambda: demo.counts.placed > 5)
        for asset, account in ((1, 5000), (2, 5000), (1, 5001), (2, 5001)):  # everything they have is taken away
            available, _ = fake.market.shard.balance(account, asset)
            await fake.withdraw(account, asset, available)
        await eventually(lambda: demo.counts.refused["INSUFFICIENT_FUNDS"] > 0)
        assert not running.done()
        demo.stop()
        await asyncio.wait_for(running, 20)
