"""The demo: seeded market makers and takers that keep the markets alive through the public API.

A robot holds nothing that it cannot read again: when the exchange goes away, it waits, signs in, takes a new snapshot
of its orders and goes on.
"""

import asyncio
import contextlib
import logging
import random
import time
from dataclasses import dataclass, field

from exchange.simulation.client import Account, ApiClient, Market, Refused, Unreachable
from exchange.simulation.demo_robots import DemoCounts, Desk, LiveMarket, MakerRobot, Robot, TakerRobot
from exchange.simulation.robots import STYLES, FairPrice, Grid, Taker, maker_styles, start_ticks
from exchange.simulation.stream import StreamLost, read_stream

FAIR_STEP_S = 0.5
SNAPSHOT_WAIT_S = 20.0
RETRY_FIRST_S, RETRY_MAX_S = 0.5, 10.0
STEADY_S = 30.0  # a connection that lasted so long starts the waits anew
MAKER_SHARE = 0.8  # of all messages
GOODBYE_S = 4.0  # a parent that stops the demo does not wait for ever

logger = logging.getLogger("exchange.demo")


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """`rate`: messages a second of all robots together. `suffix` goes to the end of every robot's name."""

    url: str
    password: str = field(repr=False)
    suffix: str = ""
    seed: int = 1
    rate: float = 15.0
    makers: int = 3
    takers: int = 2


class DemoError(Exception):
    """The demo cannot trade here, and waiting would not help; the message says what would."""


class Demo:
    """All robots of one demo. `run` returns after `stop`."""

    def __init__(self, settings: DemoSettings) -> None:
        self.counts = DemoCounts()
        self._settings = settings
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let every robot cancel its quotes and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Trade until stopped. Raises DemoError."""
        async with ApiClient(self._settings.url, in_flight=8, timeout_s=5.0, give_up_s=15.0) as client:
            markets = await self._open_markets(client)
            if markets is None:
                return
            logger.info("trading %s", ", ".join(market.grid.symbol for market in markets))
            wandering = asyncio.create_task(self._wander(markets))
            errors: list[Exception] = []
            try:
                async with asyncio.TaskGroup() as living:
                    for name, robot in self._robots(markets):
                        account = Account(client, name + self._settings.suffix, self._settings.password)
                        living.create_task(self._live(account, robot))
            except* DemoError as group:
                errors += group.exceptions  # what is raised here would come out in a group, too
            finally:
                wandering.cancel()
            if errors:
                raise errors[0]

    async def _open_markets(self, client: ApiClient) -> list[LiveMarket] | None:
        """The demo's markets, as soon as the exchange answers; None when stopped before."""
        while not self._stopping.is_set():
            try:
                if listed := await client.markets():
                    return self._live_markets(listed)
                logger.warning("waiting for the exchange: it lists no markets yet")
            except (Refused, Unreachable) as error:
                logger.warning("waiting for the exchange: %s", error)
            await self._pause(RETRY_FIRST_S)
        return None

    def _live_markets(self, listed: list[Market]) -> list[LiveMarket]:
        by_symbol = {market.symbol: market for market in listed}
        live = []
        for style in STYLES:
            if (market := by_symbol.get(style.symbol)) is not None:
                grid = Grid.of(market)
                rng = random.Random(f"{self._settings.seed} fair {style.symbol}")
                fair = FairPrice(start_ticks(grid, style, market.last_price), float(style.step / grid.tick), rng)
                live.append(LiveMarket(style, grid, fair))
        if not live:
            raise DemoError(f"the exchange lists none of {', '.join(style.symbol for style in STYLES)}")
        return live

    def _robots(self, markets: list[LiveMarket]) -> list[tuple[str, Robot]]:
        settings = self._settings
        maker_rate = settings.rate * MAKER_SHARE / max(settings.makers * len(markets), 1)
        taker_rate = settings.rate * (1 - MAKER_SHARE) / max(settings.takers, 1)
        robots: list[tuple[str, Robot]] = []
        for number in range(settings.makers):
            ladders = [(market, maker_styles(market.style, market.grid, settings.makers)[number]) for market in markets]
            rng = random.Random(f"{settings.seed} maker {number}")
            robots.append((f"demo-maker-{number + 1}", MakerRobot(ladders, maker_rate, rng)))
        for number in range(settings.takers):
            taker = Taker(taker_rate, random.Random(f"{settings.seed} taker {number}"))
            robots.append((f"demo-taker-{number + 1}", TakerRobot(markets, taker)))
        return robots

    async def _wander(self, markets: list[LiveMarket]) -> None:
        while True:
            await asyncio.sleep(FAIR_STEP_S)
            for market in markets:
                market.fair.advance(FAIR_STEP_S)

    async def _live(self, account: Account, robot: Robot) -> None:
        """Keep one robot trading until stopped, whatever the exchange does."""
        retry_s = RETRY_FIRST_S
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                await self._trade(account, robot)
            except (Refused, Unreachable, StreamLost, TimeoutError) as error:
                if isinstance(error, Refused) and error.reason == "CREDENTIALS_INVALID":
                    raise DemoError(
                        f"{account.username} exists with another password: give the one it was made with, "
                        "or none to trade with new accounts"
                    ) from error
                self.counts.reconnects += 1
                steady = time.monotonic() - started > STEADY_S
                retry_s = RETRY_FIRST_S if steady else min(retry_s * 2, RETRY_MAX_S)
                logger.warning("%s connects again in %.1f s: %s", account.username, retry_s, error)
                await self._pause(retry_s)
        if account.signed_in:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leave(account), GOODBYE_S)

    async def _leave(self, account: Account) -> None:
        """Cancel what still rests, as the exchange tells it."""
        desk = Desk(account, {}, self.counts, self._stopping)
        try:
            for order in await account.open_orders():
                await desk.cancel(order.order_id)
        except (Refused, Unreachable) as error:
            logger.warning("%s leaves orders behind: %s", account.username, error)

    async def _trade(self, account: Account, robot: Robot) -> None:
        """Trade for as long as the connection lasts."""
        desk = Desk(account, robot.funds, self.counts, self._stopping)
        await desk.fund()
        following = asyncio.create_task(_follow(account, desk))
        try:
            ready = asyncio.create_task(desk.view.ready.wait())
            await asyncio.wait([ready, following], timeout=SNAPSHOT_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            while not self._stopping.is_set():
                if following.done():
                    following.result()
                if not desk.view.ready.is_set():
                    raise StreamLost(f"no snapshot of the account's orders within {SNAPSHOT_WAIT_S:g} s")
                await robot.act(desk)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


async def _follow(account: Account, desk: Desk) -> None:
    async for document in read_stream(account.client, [("orders", None)], account):
        desk.view.take(document)
