"""The journal's guards are in the schema: whatever a process believes, only the leader's entries are committed."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from exchange.storage.database import connect
from tests.support import commands
from tests.support.commands import Sequencer
from tests.support.journal import COLUMNS, SHARD, Entry, JournalWriter

FENCED = "EX001"
IMMUTABLE = "EX002"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    opened = await connect(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    opened = await connect(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def leader(database_url: str) -> JournalWriter:
    writer = JournalWriter(database_url)
    await writer.lead()
    return writer


@pytest.fixture
def entries(leader: JournalWriter) -> list[Entry]:
    sequencer = Sequencer()
    return leader.apply([sequencer.stamp(commands.define_asset(number, f"A{number}")) for number in (1, 2, 3, 4)])


async def append(connection: "asyncpg.Connection[asyncpg.Record]", writer: JournalWriter, entries: list[Entry]) -> None:
    await connection.copy_records_to_table("journal", records=writer.rows(entries), columns=COLUMNS)


async def sequences(connection: "asyncpg.Connection[asyncpg.Record]") -> list[int]:
    return [row[0] for row in await connection.fetch("SELECT sequence FROM journal ORDER BY sequence")]


async def take_over(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.execute("UPDATE shard_lease SET epoch = epoch + 1 WHERE shard = $1", SHARD)


async def wait_until_blocked(connection: "asyncpg.Connection[asyncpg.Record]", pid: int) -> None:
    async with asyncio.timeout(30):
        while not await connection.fetchval(  # noqa: ASYNC110 - the server tells only when asked
            "SELECT cardinality(pg_blocking_pids($1)) > 0", pid
        ):
            await asyncio.sleep(0.01)


async def test_the_leaders_entries_are_committed(
    connection: "asyncpg.Connection[asyncpg.Record]", leader: JournalWriter, entries: list[Entry]
) -> None:
    await append(connection, leader, entries)
    rows = await connection.fetch("SELECT sequence, command, events FROM journal ORDER BY sequence")
    assert [(row["sequence"], row["command"], row["events"]) for row in rows] == [
        (entry.sequence, entry.command, entry.events) for entry in entries
    ]


async def test_a_stale_leader_cannot_commit(
    connection: "asyncpg.Connection[asyncpg.Record]", leader: JournalWriter, entries: list[Entry]
) -> None:
    await append(connection, leader, entries[:1])
    await take_over(connection)
    with pytest.raises(asyncpg.PostgresError, match="entry 2 of shard 1 has epoch 1, the lease is at 2") as refusal:
        await append(connection, leader, entries[1:2])
    assert refusal.value.sqlstate == FENCED
    assert await sequences(connection) == [1]


async def test_an_epoch_of_the_future_and_a_shard_without_lease_are_refused(
    database_url: str, connection: "asyncpg.Connection[asyncpg.Record]", leader: JournalWriter, entries: list[Entry]
) -> None:
    for stranger in (JournalWriter(database_url, epoch=2), JournalWriter(database_url, shard=2)):
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await append(connection, stranger, entries)
        assert refusal.value.sqlstate == FENCED
    assert await sequences(connection) == []


async def test_one_stale_entry_refuses_its_whole_batch(
    database_url: str, connection: "asyncpg.Connection[asyncpg.Record]", leader: JournalWriter, entries: list[Entry]
) -> None:
    stale = JournalWriter(database_url, epoch=0)
    rows = leader.rows(entries[:3]) + stale.rows(entries[3:])
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await connection.copy_records_to_table("journal", records=rows, columns=COLUMNS)
    assert refusal.value.sqlstate == FENCED
    assert await sequences(connection) == []


async def test_a_plain_insert_is_fenced_too(
    connection: "asyncpg.Connection[asyncpg.Record]", leader: JournalWriter, entries: list[Entry]
) -> None:
    await take_over(connection)
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await connection.execute("INSERT INTO journal VALUES ($1, $2, $3, $4, $5, $6)", *leader.rows(entries)[0])
    assert refusal.value.sqlstate == FENCED


async def test_a_take_over_waits_for_an_append_under_way_and_then_sees_it(
    connection: "asyncpg.Connection[asyncpg.Record]",
    other: "asyncpg.Connection[asyncpg.Record]",
    leader: JournalWriter,
    entries: list[Entry],
) -> None:
    under_way = connection.transaction()
    await under_way.start()
    await append(connection, leader, entries[:2])
    taking_over = asyncio.create_task(take_over(other))
    await wait_until_blocked(connection, other.get_server_pid())
    await under_way.commit()
    await taking_over
    assert await sequences(other) == [1, 2], "the new leader continues after everything the old one committed"


async def test_an_append_that_meets_a_take_over_waits_and_is_refused(
    connection: "asyncpg.Connection[asyncpg.Record]",
    other: "asyncpg.Connection[asyncpg.Record]",
    leader: JournalWriter,
    entries: list[Entry],
) -> None:
    taking_over = other.transaction()
    await taking_over.start()
    await take_over(other)
    appending = asyncio.create_task(append(connection, leader, entries))
    await wait_until_blocked(other, connection.get_server_pid())
    await taking_over.commit()
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await appending
    assert refusal.value.sqlstate == FENCED
    assert await sequences(other) == []


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_a_leader_paused_inside_its_transaction_cannot_commit(
    connection: "asyncpg.Connection[asyncpg.Record]",
    other: "asyncpg.Connection[asyncpg.Record]",
    leader: JournalWriter,
    entries: list[Entry],
    isolation: str,
) -> None:
    paused = connection.transaction(isolation=isolation)  # type: ignore[arg-type]
    await paused.start()
    await connection.fetchval("SELECT epoch FROM shard_lease WHERE shard = $1", SHARD)
    await take_over(other)
    with pytest.raises(asyncpg.PostgresError):
        await append(connection, leader, entries)
    await paused.rollback()
    assert await sequences(other) == []


async def test_a_sequence_is_taken_once(
    connection: "asyncpg.Connection[asyncpg.Record]", leader: JournalWriter, entries: list[Entry]
) -> None:
    await append(connection, leader, entries)
    with pytest.raises(asyncpg.UniqueViolationError):
        await append(connection, leader, entries[-1:])


@pytest.mark.parametrize("column", ["command", "events", "chain"])
async def test_bytes_that_are_no_whole_records_are_refused(
    connection: "asyncpg.Connection[asyncpg.Record]", leader: JournalWriter, entries: list[Entry], column: str
) -> None:
    row: list[object] = [*leader.rows(entries)[0]]
    row[COLUMNS.index(column)] = bytes(7)
    with pytest.raises(asyncpg.CheckViolationError, match=f"ck_journal_{column}_size"):
        await connection.copy_records_to_table("journal", records=[tuple(row)], columns=COLUMNS)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET events = ''",
        "DELETE FROM journal",
        "TRUNCATE journal",
        "INSERT INTO journal SELECT * FROM journal ON CONFLICT (shard, sequence) DO UPDATE SET events = ''",
    ],
)
async def test_an_entry_is_never_changed(
    connection: "asyncpg.Connection[asyncpg.Record]", leader: JournalWriter, entries: list[Entry], statement: str
) -> None:
    await append(connection, leader, entries)
    with pytest.raises(asyncpg.PostgresError, match="the journal is append only") as refusal:
        await connection.execute(statement)
    assert refusal.value.sqlstate == IMMUTABLE
    assert await sequences(connection) == [1, 2, 3, 4]


async def test_a_session_that_says_so_may_truncate_it(
    connection: "asyncpg.Connection[asyncpg.Record]", leader: JournalWriter, entries: list[Entry]
) -> None:
    await append(connection, leader, entries)
    await connection.execute("SET exchange.allow_journal_truncation = 'on'")
    await connection.execute("DELETE FROM journal WHERE sequence <= 2")
    assert await sequences(connection) == [3, 4]
    await connection.execute("SET exchange.allow_journal_truncation = 'off'")
    with pytest.raises(asyncpg.PostgresError, match="append only"):
        await connection.execute("DELETE FROM journal")
