"""A transfer with a reference happens once: asked again at any time, whatever crashed or was lost in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from engine.records import Reason
from exchange.contracts import commands
from exchange.contracts.refusals import EdgeReason, Refused
from exchange.corridor import corridor as corridor_module
from exchange.corridor.corridor import Corridor
from exchange.projections.process import ProjectionProcess
from exchange.storage.database import connect
from exchange.storage.journal import Entry, JournalError, JournalLeader
from exchange.storage.store import PostgresStore
from exchange.treasury.transfers import Transfers
from tests.support.journal import SHARD

USD, BTC = 1, 2
ALICE, BOB = 1000, 1001


@asynccontextmanager
async def leading(url: str) -> AsyncIterator[Corridor]:
    """A corridor that takes commands, from its start to its orderly end."""
    projections = ProjectionProcess(url, SHARD)
    corridor = Corridor(PostgresStore(url, SHARD, 8), projections)
    running = asyncio.create_task(corridor.run())
    try:
        await until_leading(corridor)
        yield corridor
        await projections.wait_for(corridor.sequence, 60)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until_leading(corridor: Corridor) -> None:
    async with asyncio.timeout(60):
        while corridor.role != "leader":  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    connection: asyncpg.Connection[asyncpg.Record] = await connect(url)
    found = [tuple(row) for row in await connection.fetch(query)]
    await connection.close()
    return found


async def test_asked_again_at_once_or_after_a_restart_it_is_the_same_transfer(database_url: str) -> None:
    async with leading(database_url) as corridor:
        transfers = Transfers(corridor)
        asked = [transfers.execute(ALICE, USD, 700, "deposit", "wire-1") for _ in range(20)]
        entries = await asyncio.gather(*asked)
        assert len({entry.sequence for entry in entries}) == 1
        out = await transfers.execute(ALICE, USD, 200, "withdrawal", "out-1")
        assert corridor.balance(ALICE, USD) == (500, 0)
    async with leading(database_url) as corridor:
        transfers = Transfers(corridor)
        assert await transfers.execute(ALICE, USD, 700, "deposit", "wire-1") == entries[0]
        assert await transfers.execute(ALICE, USD, 200, "withdrawal", "out-1") == out
        assert corridor.balance(ALICE, USD) == (500, 0)
        await transfers.execute(ALICE, USD, 1, "deposit", "wire-2")
        await transfers.execute(BOB, USD, 700, "deposit", "wire-1")  # another account's is another one
        assert (corridor.balance(ALICE, USD), corridor.balance(BOB, USD)) == ((501, 0), (700, 0))


async def test_a_reference_names_one_transfer_only(database_url: str) -> None:
    async with leading(database_url) as corridor:
        transfers = Transfers(corridor)
        await transfers.execute(ALICE, USD, 700, "deposit", "wire-1")
        await transfers.execute(ALICE, BTC, 700, "deposit", "wire-3")
        for other in ((USD, 701, "deposit"), (BTC, 700, "deposit"), (USD, 700, "withdrawal")):
            with pytest.raises(Refused) as refused:
                await transfers.execute(ALICE, *other, "wire-1")  # type: ignore[arg-type]
            assert refused.value.refusal.reason == EdgeReason.REFERENCE_REUSED
            assert refused.value.refusal.field == "reference"
        assert corridor.balance(ALICE, USD) == (700, 0)


async def test_references_and_client_order_ids_do_not_meet(database_url: str) -> None:
    async with leading(database_url) as corridor:
        transfers = Transfers(corridor)
        await transfers.execute(ALICE, USD, 10**12, "deposit", "mine")
        order = commands.place(ALICE, 1, 1, 2, 1, 0, 100, 10**8, b"mine")
        placed, was_there = await corridor.place(order, ALICE, "mine")
        assert not was_there
    async with leading(database_url) as corridor:
        again, was_there = await corridor.place(
            commands.place(ALICE, 1, 1, 2, 1, 0, 100, 10**8, b"mine"), ALICE, "mine"
        )
        assert was_there and again == placed
        await Transfers(corridor).execute(ALICE, USD, 10**12, "deposit", "mine")
        assert sum(corridor.balance(ALICE, USD)) == 10**12


async def test_what_was_refused_for_want_of_funds_stays_refused(database_url: str) -> None:
    sequences = []
    for _ in range(2):
        async with leading(database_url) as corridor:
            transfers = Transfers(corridor)
            with pytest.raises(Refused) as refused:
                await transfers.execute(ALICE, USD, 5, "withdrawal", "too-much")
            assert refused.value.refusal.reason == Reason.INSUFFICIENT_FUNDS
            assert "withdrawal" in refused.value.refusal.detail
            sequences.append(refused.value.refusal.sequence)
            await transfers.execute(ALICE, USD, 5, "deposit", "later")
    assert sequences[0] == sequences[1] is not None
    found = await rows(database_url, "SELECT kind, reference, reason FROM transfers ORDER BY sequence")
    assert found == [(2, "too-much", Reason.INSUFFICIENT_FUNDS), (1, "later", 0)]


@pytest.mark.parametrize("was_kept", [True, False])
async def test_a_lost_answer_is_learned_by_asking_again(
    database_url: str, was_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection to the journal breaks while the entry is written, once before and once after it is durable."""
    monkeypatch.setattr(corridor_module, "RETRY_S", 0.05)
    append = JournalLeader.append
    breaks = False

    async def breaking(journal: JournalLeader, entries: Sequence[Entry]) -> None:
        nonlocal breaks
        if not breaks:
            return await append(journal, entries)
        breaks = False
        if was_kept:
            await append(journal, entries)
        raise JournalError("the connection is gone")

    monkeypatch.setattr(JournalLeader, "append", breaking)
    async with leading(database_url) as corridor:
        transfers = Transfers(corridor)
        await transfers.execute(ALICE, USD, 700, "deposit", "wire-1")
        breaks = True
        with pytest.raises(Refused) as refused:
            await transfers.execute(ALICE, USD, 300, "withdrawal", "out-1")
        assert refused.value.refusal.reason == EdgeReason.OUTCOME_UNKNOWN
        await until_leading_again(corridor)
        first = await transfers.execute(ALICE, USD, 300, "withdrawal", "out-1")
        assert await transfers.execute(ALICE, USD, 300, "withdrawal", "out-1") == first
        assert corridor.balance(ALICE, USD) == (400, 0)


async def until_leading_again(corridor: Corridor) -> None:
    """The term that failed has ended, and the next has begun."""
    epoch = 1
    async with asyncio.timeout(60):
        while corridor.role != "leader" or corridor.epoch == epoch:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
