"""The audit log on a real Postgres: sealed as it is written, and every way of damaging it is found."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from engine.records import Reason
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.storage.audit_log import (
    Actor,
    Head,
    Verdict,
    operator,
    page,
    record,
    recorded_change,
    recorded_command,
    verify,
)
from exchange.storage.database import Database, connect, open_database

ROOT = Actor(1000, "root", "203.0.113.7")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url)
    yield opened
    await opened.close()


async def write(database: Database, count: int) -> None:
    for number in range(count):
        async with recorded_change(database.engine, ROOT, "user.freeze", {"account_id": str(number)}):
            pass


async def verdict(database: Database, pinned: Head | None = None) -> Verdict:
    async with database.engine.connect() as connection:
        return await verify(connection, pinned)


async def tamper(url: str, statement: str) -> None:
    """As the table's owner does who is not stopped by triggers."""
    connection = await connect(url)
    try:
        await connection.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
        await connection.execute(statement)
        await connection.execute("ALTER TABLE audit_log ENABLE TRIGGER USER")
    finally:
        await connection.close()


async def test_an_empty_log_is_whole(database: Database) -> None:
    found = await verdict(database)
    assert found.broken is None
    assert str(found.head) == "0:" + "00" * 32


async def test_a_row_is_counted_stamped_and_sealed_as_the_page_says(database: Database) -> None:
    async with database.engine.begin() as connection:
        sequence = await record(connection, ROOT, "user.freeze", {"reason": "café, naïve ✓", "b": 1}, reason=None)
        (row,) = await page(connection, before=None, action=None, limit=10)
    assert sequence == row.sequence == 1
    assert json.loads(row.parameters) == {"b": 1, "reason": "café, naïve ✓"}
    text = (
        f"1:1,{len(str(row.recorded_ns))}:{row.recorded_ns},4:1000,4:root,11:203.0.113.7,11:user.freeze,"
        f"{len(row.parameters.encode())}:{row.parameters},4:Done,-,-,-,"
    )
    assert row.hash == hashlib.sha256(bytes(32) + text.encode()).digest()
    assert (await verdict(database)).head == Head(1, row.hash)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
)
async def test_nobody_changes_a_row(database: Database, database_url: str, statement: str) -> None:
    await write(database, 1)
    connection = await connect(database_url)
    with pytest.raises(asyncpg.PostgresError, match="the audit log is append only") as refused:
        await connection.execute(statement)
    assert refused.value.sqlstate == "EX003"
    await connection.close()


async def test_whoever_inserts_continues_the_chain(database: Database, database_url: str) -> None:
    await write(database, 2)
    connection = await connect(database_url)
    await connection.execute(
        "INSERT INTO audit_log (sequence, recorded_ns, actor, address, action, parameters, outcome, hash) "
        "VALUES (99, 0, 'dba', 'psql', 'by hand', '{}', 'Done', '\\x00')"
    )
    await connection.close()
    found = await verdict(database)
    assert (found.broken, found.head.sequence) == (None, 3)


DAMAGE = {
    "a field": ("UPDATE audit_log SET actor = 'somebody' WHERE sequence = 3", 3),
    "what was done": ("UPDATE audit_log SET parameters = replace(parameters, '2', '3') WHERE sequence = 3", 3),
    "a field that was none": ("UPDATE audit_log SET reason = '' WHERE sequence = 3", 3),
    "fields that read the same": ("UPDATE audit_log SET actor = 'roo', address = 't' || address WHERE sequence = 3", 3),
    "the time": ("UPDATE audit_log SET recorded_ns = recorded_ns + 1 WHERE sequence = 3", 3),
    "a hash": ("UPDATE audit_log SET hash = sha256('x') WHERE sequence = 3", 3),
    "a removed row": ("DELETE FROM audit_log WHERE sequence = 3", 3),
    "the first row": ("DELETE FROM audit_log WHERE sequence = 1", 1),
    "a removed row, the others moved up": (
        "DELETE FROM audit_log WHERE sequence = 3; UPDATE audit_log SET sequence = sequence - 1 WHERE sequence > 3",
        3,
    ),
    "an inserted row": (
        "UPDATE audit_log SET sequence = sequence + 100 WHERE sequence > 2; "
        "UPDATE audit_log SET sequence = sequence - 99 WHERE sequence > 100; "
        "INSERT INTO audit_log SELECT 3, recorded_ns, actor_account, actor, address, action, parameters, outcome, "
        "reason, intent, journal_sequence, sha256('x') FROM audit_log WHERE sequence = 2",
        3,
    ),
    "two rows that changed places": (
        "UPDATE audit_log SET sequence = CASE sequence WHEN 3 THEN -4 ELSE -3 END WHERE sequence IN (3, 4); "
        "UPDATE audit_log SET sequence = -sequence WHERE sequence < 0",
        3,
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
async def test_the_first_row_that_was_damaged_is_named(database: Database, database_url: str, name: str) -> None:
    statement, broken = DAMAGE[name]
    await write(database, 6)
    await tamper(database_url, statement)
    found = await verdict(database)
    assert found.broken == broken, found
    assert found.head.sequence == broken - 1


async def test_a_tail_that_is_gone_is_found_by_who_noted_a_head(database: Database, database_url: str) -> None:
    await write(database, 5)
    noted = (await verdict(database)).head
    await write(database, 1)
    assert (await verdict(database, noted)).broken is None, "the log may have grown since"
    await tamper(database_url, "DELETE FROM audit_log WHERE sequence > 3")
    assert (await verdict(database)).broken is None, "what is left is whole by itself"
    found = await verdict(database, noted)
    assert found.broken == 4
    await write(database, 4)  # history made anew, of the same length
    found = await verdict(database, noted)
    assert (found.broken, found.why) == (5, "row 5 is sealed, and is not the one that was pinned")


async def test_writers_at_once_make_one_chain_without_gaps(database: Database) -> None:
    async def one(number: int) -> None:
        try:
            async with recorded_change(database.engine, ROOT, "user.thaw", {"account_id": str(number)}):
                if number % 4 == 0:
                    raise refuse(EdgeReason.NOT_FOUND, "there is no user")
        except Refused:
            pass

    await asyncio.gather(*(one(number) for number in range(60)))
    found = await verdict(database)
    assert (found.broken, found.head.sequence) == (None, 60)
    async with database.engine.connect() as connection:
        rows = await page(connection, before=None, action=None, limit=100)
    assert sum(row.outcome == "Refused" for row in rows) == 15


async def test_a_transaction_that_fails_leaves_neither_change_nor_row(database: Database) -> None:
    await write(database, 1)
    with pytest.raises(RuntimeError):
        async with recorded_change(database.engine, ROOT, "user.freeze", {}):
            raise RuntimeError("half way")
    found = await verdict(database)
    assert (found.broken, found.head.sequence) == (None, 1)


async def test_a_command_is_two_rows_intent_before_and_outcome_after(database: Database) -> None:
    async with recorded_command(database.engine, ROOT, "market.set_mode", {"symbol": "BTC/USD"}) as command:
        async with database.engine.connect() as connection:
            (intent,) = await page(connection, before=None, action=None, limit=10)
        assert (intent.outcome, intent.journal_sequence) == ("Intended", None)
        command.journal_sequence = 17
    with pytest.raises(Refused):
        async with recorded_command(database.engine, ROOT, "market.set_mode", {}):
            raise refuse(Reason.MODE_INVALID, "no such mode", sequence=18)
    with pytest.raises(Refused):
        async with recorded_command(database.engine, ROOT, "market.set_mode", {}):
            raise refuse(EdgeReason.OUTCOME_UNKNOWN, "the answer was lost")
    with pytest.raises(asyncio.CancelledError):
        async with recorded_command(database.engine, ROOT, "market.set_mode", {}):
            raise asyncio.CancelledError
    async with database.engine.connect() as connection:
        rows = list(reversed(await page(connection, before=None, action=None, limit=10)))
    assert [(row.outcome, row.intent, row.journal_sequence) for row in rows] == [
        ("Intended", None, None), ("Done", 1, 17), ("Intended", None, None), ("Refused", 3, 18),
        ("Intended", None, None), ("Unknown", 5, None), ("Intended", None, None), ("Unknown", 7, None),
    ]  # fmt: skip
    assert rows[3].reason == "MODE_INVALID: no such mode"


async def test_pages_go_back_and_are_of_one_action_where_asked(database: Database) -> None:
    await write(database, 5)
    async with recorded_change(database.engine, operator(), "admin.grant", {}):
        pass
    async with database.engine.connect() as connection:
        newest = await page(connection, before=None, action=None, limit=2)
        older = await page(connection, before=newest[-1].sequence, action=None, limit=10)
        grants = await page(connection, before=None, action="admin.grant", limit=10)
    assert [row.sequence for row in newest] == [6, 5]
    assert [row.sequence for row in older] == [4, 3, 2, 1]
    assert [(row.sequence, row.actor_account) for row in grants] == [(6, None)]
    assert grants[0].actor.startswith("operator ")


@pytest.mark.parametrize("written", ["", "1", "1:zz", "x:" + "00" * 32, "1:00", "-1:" + "00" * 32])
def test_what_is_no_head_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        Head.parse(written)
