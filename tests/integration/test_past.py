"""What was after any entry: the same as was told then, wherever the nearest state lies."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from engine.matching import Shard
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.refusals import EdgeReason, Refused
from exchange.corridor.live import Live
from exchange.history import past as past_module
from exchange.history import process
from exchange.history.past import NotYet, Past
from exchange.history.process import HistoryProcess
from exchange.storage.database import connect
from exchange.storage.journal import Entry
from tests.support.journal import SHARD
from tests.support.stored import Played, play, store, tamper

LEVELS = 20
ACCOUNTS = (2, 5, 9)


@pytest.fixture(scope="module")
def played() -> Played:
    return play(5, 1_200, every=1)


@pytest.fixture
async def stored_url(database_url: str, played: Played) -> str:
    await store(database_url, played, snapshots=(300, 301, 900))
    return database_url


@pytest.fixture
async def history(stored_url: str) -> AsyncIterator[HistoryProcess]:
    asked = HistoryProcess(stored_url, SHARD)
    yield asked
    await asked.close()


def some(count: int, last: int) -> list[int]:
    return [1, 2, last, *(random.Random(count).randint(1, last) for _ in range(count))]


async def test_books_are_those_that_were_told_then(history: HistoryProcess, played: Played) -> None:
    live = Live(Catalogue())
    told = {}
    for entry in played.entries:
        live.apply([Entry(entry.sequence, entry.command, entry.events)])
        told[entry.sequence] = {market: live.depth(market, LEVELS)[1:] for market in live.markets}
    full = 0
    for sequence in some(150, played.last):
        for market in (1, 2, 3):
            book = await history.book(market, sequence, LEVELS)
            if market not in told[sequence]:
                assert book is None
                continue
            assert book is not None
            timestamp_ns, bids, asks = book
            assert tuple([tuple(level) for level in side] for side in (bids, asks)) == told[sequence][market]
            assert timestamp_ns == int.from_bytes(played.entries[sequence - 1].command[16:24], "little")
            full += bool(bids and asks)
    assert full > 100


async def test_balances_are_those_of_then(history: HistoryProcess, played: Played) -> None:
    for sequence in some(100, played.last):
        for account in ACCOUNTS:
            _, balances = await history.balances(account, sequence)
            then = played.states[sequence].balances()
            assert balances == {asset: balance for (owner, asset), balance in then.items() if owner == account}


async def test_an_entry_that_there_is_not_is_refused_with_the_last_that_there_is(
    history: HistoryProcess, played: Played
) -> None:
    with pytest.raises(Refused) as refused:
        await history.book(1, played.last + 1, LEVELS)
    refusal = refused.value.refusal
    assert (refusal.reason, refusal.field, refusal.nearest) == (EdgeReason.FIELD_INVALID, "sequence", str(played.last))


async def test_the_same_question_is_asked_once_and_too_many_are_refused(history: HistoryProcess) -> None:
    same = [history.book(1, 700, LEVELS) for _ in range(50)]
    books = await asyncio.gather(*same)
    assert all(book == books[0] for book in books)
    many = await asyncio.gather(*[history.book(1, 100 + n, LEVELS) for n in range(40)], return_exceptions=True)
    refused = [answer for answer in many if isinstance(answer, Refused)]
    assert len(refused) == 40 - process.WAITING_MAX
    assert {answer.refusal.reason for answer in refused} == {EdgeReason.OVERLOADED}
    assert await history.balances(2, 700), "another kind of question has a bound of its own"


async def test_a_question_whose_asker_went_away_is_answered_for_the_next(history: HistoryProcess) -> None:
    asking = asyncio.create_task(history.book(1, 650, LEVELS))
    await asyncio.sleep(0)
    asking.cancel()
    assert await history.book(1, 650, LEVELS) is not None


async def test_a_killed_child_is_started_again(history: HistoryProcess) -> None:
    before = await history.book(1, 650, LEVELS)
    child, listening = history._child, history._listening
    assert child is not None and listening is not None
    asking = asyncio.create_task(history.book(1, 640, LEVELS))
    await asyncio.sleep(0)
    child.kill()
    await listening
    with pytest.raises(Refused, match="UNAVAILABLE"):
        await asking
    assert await history.book(1, 650, LEVELS) == before


async def test_what_takes_too_long_is_refused_and_there_the_next_time(
    history: HistoryProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeout_s = process.ANSWER_TIMEOUT_S
    monkeypatch.setattr(process, "ANSWER_TIMEOUT_S", 0.001)
    with pytest.raises(Refused, match="UNAVAILABLE"):
        await history.book(1, 1_100, LEVELS)
    monkeypatch.setattr(process, "ANSWER_TIMEOUT_S", timeout_s)
    assert await history.book(1, 1_100, LEVELS) is not None


async def test_a_damaged_journal_is_not_told_as_the_past(stored_url: str, history: HistoryProcess) -> None:
    await tamper(stored_url, "UPDATE journal SET events = set_byte(events, 60, 7) WHERE sequence = 450")
    with pytest.raises(Refused) as refused:
        await history.book(1, 500, LEVELS)
    assert refused.value.refusal.reason == EdgeReason.UNAVAILABLE
    assert await history.book(1, 440, LEVELS) is not None
    assert await history.book(1, 1_000, LEVELS) is not None, "a snapshot lies behind the damage"


# --- Where it begins ----------------------------------------------------------------------------------------------


async def state(past: Past, url: str, sequence: int) -> Shard:
    connection = await connect(url)
    try:
        return await past.at(connection, sequence)
    finally:
        await connection.close()


async def test_it_begins_from_the_nearest_state_that_is_kept(stored_url: str, played: Played) -> None:
    past = Past(stored_url, SHARD)
    for sequence, executed in ((310, 9), (320, 10), (299, 299), (310, 0), (301, 0), (950, 50), (920, 20), (0, 0)):
        before = past.executed
        shard = await state(past, stored_url, sequence)
        assert (shard.sequence, past.executed - before) == (sequence, executed)
        if sequence:
            assert shard.digest() == played.states[sequence].digest()
    with pytest.raises(NotYet):
        await state(past, stored_url, played.last + 1)


async def test_what_is_kept_in_memory_is_bounded(
    stored_url: str, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 5 * len(played.states[1_000].snapshot())
    monkeypatch.setattr(past_module, "STATES_BYTES_MAX", most)
    past = Past(stored_url, SHARD)
    for sequence in some(60, played.last):
        assert (await state(past, stored_url, sequence)).digest() == played.states[sequence].digest()
        assert past._bytes == sum(len(kept.image) for kept in past._states.values()) <= most
    assert len(past._states) >= 3


async def test_a_long_tail_leaves_snapshots_that_the_next_process_begins_from(
    database_url: str, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(database_url, played)
    monkeypatch.setattr(past_module, "SNAPSHOT_EVERY", 100)
    monkeypatch.setattr(past_module, "snapshot_spacing", lambda sequence, kept: 200)
    monkeypatch.setattr("exchange.storage.journal.SNAPSHOT_EVERY", 200)
    await state(Past(database_url, SHARD), database_url, 1_150)
    connection = await connect(database_url)
    rows = await connection.fetch("SELECT sequence, state FROM snapshots ORDER BY sequence")
    await connection.close()
    assert [row["sequence"] for row in rows] == [200, 400, 600, 800, 1_000]
    assert all(row["state"] == played.states[row["sequence"]].snapshot() for row in rows)
    fresh = Past(database_url, SHARD)
    await state(fresh, database_url, 790)
    assert fresh.executed == 190
