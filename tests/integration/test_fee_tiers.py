"""Who has traded more pays less: tiers are set from the tables, once, and follow the days."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from engine.records import DAY_NS, EventKind, Side
from exchange.contracts import commands
from exchange.contracts.events import read_events
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway.context import Exchange
from exchange.storage.journal import Entry
from exchange.treasury import fee_tiers as fee_tiers_module
from exchange.treasury.fee_tiers import HOUR_NS, FeeTiers
from tests.support.local_exchange import LocalCorridor, local_exchange

TIERS = "0:1:1, 1000:0.5:0.8, 5000:0:0.25"
ALICE, BOB, CAROL = 1000, 1001, 1002
BTC_USD, ETH_USD, ETH_BTC = 1, 2, 3
FIRST_DAY_NS = 20_000 * DAY_NS
WHOLE = (1_000_000, 1_000_000)


class World:
    """An exchange whose days the test tells."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        assert isinstance(exchange.corridor, LocalCorridor)
        self.corridor = exchange.corridor
        self.submitted: list[bytearray] = []
        self.tiers = FeeTiers(
            exchange.volumes, exchange.settings.fees, exchange.catalogue, self.submit, self.caught_up, self.now_ns
        )
        self.day(0)

    def day(self, number: int, hour: int = 12) -> None:
        self.corridor.now_ns = FIRST_DAY_NS + number * DAY_NS + hour * HOUR_NS

    def now_ns(self) -> int:
        assert self.corridor.now_ns is not None
        return self.corridor.now_ns

    async def caught_up(self) -> None:
        await self.exchange.caught_up(self.corridor.sequence)

    async def submit(self, command: bytearray) -> Entry:
        self.submitted.append(command)
        return await self.corridor.submit(command)

    async def trade(self, maker: int, taker: int, price: str, quantity: str, market: int = BTC_USD) -> Entry:
        """The maker sells, the taker buys."""
        terms = self.exchange.catalogue.markets[market]
        ticks, lots = terms.price_ticks(price), terms.quantity_lots(quantity)
        await self.corridor.submit(commands.place(maker, market, Side.SELL, 2, 1, 0, ticks, lots))
        return await self.corridor.submit(commands.place(taker, market, Side.BUY, 2, 1, 0, ticks, lots))

    def shares(self, *accounts: int) -> list[tuple[int, int]]:
        return [self.corridor.fee_shares(account) for account in accounts]


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with local_exchange(database_url, EXCHANGE_FEE_TIERS=TIERS) as exchange:
        made = World(exchange)
        for account in (ALICE, BOB, CAROL):
            for asset in (1, 2, 3):
                await made.corridor.deposit(account, asset, 10**16)
        yield made


async def test_volume_on_either_side_brings_both_into_their_tier_at_the_next_look(world: World) -> None:
    await world.trade(ALICE, BOB, "100.00", "9.9999")
    assert await world.tiers.assign() == 0, "a cent is missing"
    await world.trade(ALICE, CAROL, "100.00", "0.0001")
    assert await world.tiers.assign() == 1
    assert world.shares(ALICE, BOB, CAROL) == [(500_000, 800_000), WHOLE, WHOLE]
    await world.trade(BOB, ALICE, "1000.00", "4")
    assert await world.tiers.assign() == 2
    assert world.shares(ALICE, BOB, CAROL) == [(0, 250_000), (500_000, 800_000), WHOLE]
    assert await world.tiers.assign() == 0
    assert len(world.submitted) == 3


async def test_the_shares_are_what_the_next_trade_costs(world: World) -> None:
    await world.trade(ALICE, BOB, "1000.00", "1")
    await world.tiers.assign()
    entry = await world.trade(ALICE, BOB, "1000.00", "1")
    trade = next(event for event in read_events(entry.events) if event.kind == EventKind.TRADED)
    usd, btc = world.exchange.catalogue.asset("USD"), world.exchange.catalogue.asset("BTC")
    assert usd.to_text(trade.maker_fee) == "0.5", "half of a thousandth of 1000"
    assert btc.to_text(trade.taker_fee) == "0.0016", "four fifths of two thousandths of 1"


async def test_what_is_traded_with_oneself_counts_for_nothing(world: World) -> None:
    await world.trade(ALICE, ALICE, "1000.00", "5")
    await world.trade(ALICE, BOB, "100.00", "1")
    assert await world.tiers.assign() == 0


async def test_a_tier_lasts_as_long_as_its_days(world: World) -> None:
    await world.trade(ALICE, BOB, "1000.00", "1")
    world.day(10)
    await world.trade(ALICE, BOB, "1000.00", "4")
    await world.tiers.assign()
    assert world.shares(ALICE) == [(0, 250_000)]
    world.day(30, hour=23)
    assert await world.tiers.assign() == 0, "of today and the 30 days before"
    world.day(31, hour=0)
    assert await world.tiers.assign() == 2
    assert world.shares(ALICE, BOB) == [(500_000, 800_000)] * 2
    world.day(41)
    assert await world.tiers.assign() == 2
    assert world.shares(ALICE, BOB) == [WHOLE, WHOLE]


async def test_volume_in_another_quote_counts_at_the_average_of_the_market_between(world: World) -> None:
    btc = {"lot_units": 10**4, "tick_lot_units": 1, "price_ticks_max": 10**9, "notional_units_min": 1}
    terms = {"quantity_lots_min": 1, "quantity_lots_max": 10**13, "maker_fee_ppm": 0, "taker_fee_ppm": 0, **btc}
    await world.corridor.submit(commands.define_market(ETH_BTC, "ETH/BTC", 3, 2, **terms))
    await world.trade(ALICE, BOB, "0.1000", "200", ETH_BTC)  # 20 BTC
    assert await world.tiers.assign() == 0, "nobody knows what a bitcoin is worth"
    await world.trade(CAROL, CAROL, "40.00", "1")
    await world.trade(CAROL, CAROL, "70.00", "1")
    assert await world.tiers.assign() == 2, "20 BTC at 55 are 1100 USD"
    assert world.shares(ALICE, BOB, CAROL) == [(500_000, 800_000), (500_000, 800_000), WHOLE]
    usd = world.exchange.catalogue.asset("USD")
    await world.caught_up()
    found = await world.exchange.volumes.of_account(ALICE, usd, world.now_ns())
    assert (usd.to_text(found.units), found.shares) == ("1100", (500_000, 800_000))


async def test_many_accounts_are_read_one_after_the_other_and_set_together(world: World) -> None:
    accounts = range(2000, 2120)
    for account in accounts:
        await world.corridor.deposit(account, 1, 10**16)
    await asyncio.gather(*[world.trade(ALICE, account, "1000.00", "1") for account in accounts])
    assert await world.tiers.assign() == len(accounts) + 1
    assert set(world.shares(*accounts)) == {(500_000, 800_000)}
    assert world.shares(ALICE) == [(0, 250_000)]


async def test_an_asset_that_is_not_listed_leaves_everybody_as_they_are(database_url: str) -> None:
    async with local_exchange(database_url, EXCHANGE_FEE_TIERS=TIERS, EXCHANGE_FEE_ASSET="XAU") as exchange:
        assert await World(exchange).tiers.assign() == 0


async def test_tiers_are_set_at_the_start_of_a_term_and_of_every_hour(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By who leads, and again soon where it failed."""
    monkeypatch.setattr(fee_tiers_module, "POLL_S", 0.001)
    monkeypatch.setattr(fee_tiers_module, "RETRY_S", 0.001)
    looks: list[str] = []
    failing = [True]

    class Counting(FeeTiers):
        async def assign(self) -> int:
            if failing:
                failing.pop()
                looks.append("failed")
                raise refuse(EdgeReason.UNAVAILABLE, "not now")
            looks.append(f"hour {self._clock_ns() // HOUR_NS % 24}")
            return 0

    async def until(count: int) -> None:
        async with asyncio.timeout(30):
            while len(looks) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)

    leads = False
    tiers = Counting(
        world.exchange.volumes, world.exchange.settings.fees, world.exchange.catalogue, world.submit, world.caught_up,
        world.now_ns,
    )  # fmt: skip
    running = asyncio.create_task(tiers.run(lambda: leads))
    await asyncio.sleep(0.02)
    assert looks == [], "it does not lead"
    leads = True
    await until(2)
    world.day(0, hour=13)
    await until(3)
    leads = False
    await asyncio.sleep(0.1)
    leads = True
    await until(4)
    running.cancel()
    assert looks == ["failed", "hour 12", "hour 13", "hour 13"]
