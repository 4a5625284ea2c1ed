"""A BTC/USD market on an engine alone, as a venue to replay a recording into."""

import asyncio
import random

from engine.records import Side
from exchange.contracts import commands
from exchange.contracts.catalogue import Catalogue
from exchange.simulation.direct import DirectVenue
from tests.support.engines import load_engine

BTC_UNITS, USD_UNITS = 10**8, 10**10
TRADERS = list(range(1000, 1020))

DEFINITIONS = [
    bytes(commands.define_asset(1, "USD", 10)),
    bytes(commands.define_asset(2, "BTC", 8)),
    bytes(
        commands.define_market(
            1,
            "BTC/USD",
            2,
            1,
            lot_units=1,
            tick_lot_units=1,
            quantity_lots_min=1,
            quantity_lots_max=10**13,
            notional_units_min=0,
            price_ticks_max=2**32 - 1,
            maker_fee_ppm=1000,
            taker_fee_ppm=2000,
        )
    ),
]


class EngineMarket:
    """`delays_seed`: answer after a random number of turns of the event loop, so that commands in flight overtake."""

    def __init__(self, delays_seed: int | None = None, engine: str = "reference") -> None:
        self.shard = load_engine(engine).Shard()
        self._random = random.Random(delays_seed) if delays_seed is not None else None
        for definition in DEFINITIONS:
            self._apply(bytearray(definition))
        for account in TRADERS:
            self._apply(commands.deposit(account, 1, 1_000_000 * USD_UNITS))
            self._apply(commands.deposit(account, 2, 1_000 * BTC_UNITS))

    def venue(self) -> DirectVenue:
        return DirectVenue(self.submit, self._place, self.read_book, Catalogue(DEFINITIONS).market("BTC/USD"), TRADERS)

    async def submit(self, command: bytearray) -> bytes:
        await self._wait()
        events = self._apply(command)
        await self._wait()
        return events

    async def _place(self, command: bytearray, account: int, client_order_id: str) -> tuple[bytes, bool]:
        return await self.submit(command), False

    async def _wait(self) -> None:
        if self._random is not None:
            for _ in range(self._random.randrange(4)):
                await asyncio.sleep(0)

    def _apply(self, command: bytearray) -> bytes:
        commands.stamp(command, self.shard.sequence + 1, self.shard.sequence + 1)
        return self.shard.apply(bytes(command))

    def read_book(self, levels: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        sides: dict[int, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        for _, _, side, price_ticks, remaining_lots, _ in self.shard.book(1):
            sides[side][price_ticks] = sides[side].get(price_ticks, 0) + remaining_lots
        return list(sides[Side.BUY].items())[:levels], list(sides[Side.SELL].items())[:levels]
