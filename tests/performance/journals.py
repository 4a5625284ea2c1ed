"""Long journals in a Postgres of their own, made by the engine and appended by a leader, as an exchange would."""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from engine.matching import Shard
from engine.records import OrderType, SelfTrade, Side, TimeInForce
from exchange.contracts import commands
from exchange.corridor.genesis import genesis
from exchange.corridor.writer import split_entries
from exchange.storage.embedded import EmbeddedPostgres
from exchange.storage.journal import GENESIS, Entry, JournalLeader
from exchange.storage.lease import stand
from exchange.storage.migrate import upgrade

SHARD = 1
BATCH = 1_000
ACCOUNTS = range(1_000, 1_400)
ASSETS = (1, 2)  # of the first market of genesis: USD and BTC
MARKET = 1
FUNDS = 10**17
MID_TICKS, LEVELS, LOTS = 5_000_000, 10_000, 100_000


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an embedded Postgres with the settings of an installation, and its data until the block ends."""
    home = Path(tempfile.mkdtemp(prefix="exchange-bench-"))
    os.chmod(home, 0o755)  # the server's unprivileged user passes through
    server = EmbeddedPostgres(home, secrets.token_urlsafe(16))
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


class Flow:
    """Commands in a row, stamped, and the engine that has executed them. Everything has a client order id."""

    def __init__(self) -> None:
        self.shard = Shard()
        self._timestamp_ns = time.time_ns()

    def opening(self) -> Iterator[bytearray]:
        """The markets, and accounts with money."""
        yield from genesis()
        for account in ACCOUNTS:
            for asset in ASSETS:
                yield commands.deposit(account, asset, FUNDS)

    def resting(self, count: int) -> Iterator[bytearray]:
        """So many orders that rest on both sides of the middle."""
        for number in range(count):
            side, away = (Side.BUY, -2) if number % 2 else (Side.SELL, 2)
            price_ticks = MID_TICKS + away * (1 + number // 2 % LEVELS)
            yield order(number, side, price_ticks, f"rest-{number}")

    def living(self, count: int, begin: int = 0) -> Iterator[bytearray]:
        """So many commands that leave nothing: an order rests, is traded with, another rests and is cancelled."""
        for number in range(begin, begin + count):
            step = number % 4
            if step == 3:
                yield commands.cancel(ACCOUNTS[(number - 1) % len(ACCOUNTS)], self.shard.sequence + self._ahead)
            else:
                side = Side.SELL if step == 1 else Side.BUY
                yield order(number, side, MID_TICKS - 1, f"live-{number}")

    def entries(self, flow: Iterator[bytearray]) -> Iterator[list[Entry]]:
        """What the engine makes of a flow, in batches."""
        while True:
            batch: list[bytearray] = []
            self._ahead = 0  # how many commands of this batch the engine has not seen yet
            for command in flow:
                self._timestamp_ns += 1_000_000
                commands.stamp(command, self.shard.sequence + self._ahead + 1, self._timestamp_ns)
                batch.append(command)
                self._ahead += 1
                if len(batch) == BATCH:
                    break
            if not batch:
                return
            yield split_entries(batch, self.shard.apply(b"".join(batch)))


def order(number: int, side: Side, price_ticks: int, client_order_id: str) -> bytearray:
    """A limit order of one of the accounts."""
    return commands.place(
        ACCOUNTS[number % len(ACCOUNTS)], MARKET, side, OrderType.LIMIT, TimeInForce.GTC, 0, price_ticks, LOTS,
        client_order_id.encode(), self_trade=SelfTrade.NONE,
    )  # fmt: skip


@asynccontextmanager
async def leading(url: str, chain: bytes = GENESIS) -> AsyncIterator[JournalLeader]:
    """The leader of a migrated database whose journal ends with ``chain``."""
    await upgrade(url)
    candidate = await stand(url, SHARD)
    leader = await candidate.take_lead("benchmark")
    assert leader is not None
    leader.start_after(chain)
    try:
        yield leader
    finally:
        await leader.close()


async def write(leader: JournalLeader, flow: Flow, commands_of: Iterator[bytearray]) -> int:
    """Append what a flow makes; return how many entries."""
    count = 0
    for entries in flow.entries(commands_of):
        await leader.append(entries)
        count += len(entries)
    return count
