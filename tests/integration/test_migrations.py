"""The schema: migrations make what the tables declare, from every side and from several at once."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from exchange.storage import migrate
from exchange.storage.database import DatabaseUnreachable, asyncpg_dsn, connect, open_database
from exchange.storage.tables import metadata

ALL = [migration.revision for migration in migrate.history()]


def differences(connection: Connection) -> list[object]:
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def schema_differences(url: str) -> list[object]:
    database = await open_database(url)
    async with database.engine.connect() as connection:
        found = await connection.run_sync(differences)
    await database.close()
    return found


async def objects_in(url: str) -> set[str]:
    """Names of the tables and functions of the schema."""
    connection = await connect(url)
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    )
    await connection.close()
    return {row[0] for row in rows}


async def test_the_migrated_schema_is_the_declared_one(database_url: str) -> None:
    assert await schema_differences(database_url) == []


async def test_a_missing_column_and_a_missing_index_would_be_noticed(database_url: str) -> None:
    connection = await connect(database_url)
    await connection.execute("ALTER TABLE orders DROP COLUMN end_reason; DROP INDEX ix_fills_shard_order_id_trade_id")
    await connection.close()
    assert len(await schema_differences(database_url)) == 2


async def test_an_upgrade_tells_what_it_applied_and_the_next_one_has_nothing_to_do(empty_database_url: str) -> None:
    assert await migrate.current(empty_database_url) is None
    applied = await migrate.upgrade(empty_database_url)
    assert [migration.revision for migration in applied] == ALL
    assert await migrate.current(empty_database_url) == ALL[-1]
    assert await migrate.upgrade(empty_database_url) == []


async def test_going_back_to_the_base_leaves_nothing_and_forward_again_everything(database_url: str) -> None:
    await migrate.downgrade(database_url, "base")
    assert await objects_in(database_url) == {"alembic_version"}
    await migrate.upgrade(database_url)
    assert await schema_differences(database_url) == []


@pytest.mark.parametrize("revision", ALL)
async def test_every_migration_can_be_taken_back_to_and_left_again(database_url: str, revision: str) -> None:
    await migrate.downgrade(database_url, revision)
    assert await migrate.current(database_url) == revision
    await migrate.upgrade(database_url)
    assert await migrate.current(database_url) == ALL[-1]
    assert {"journal_fence", "journal_immutable"} <= await objects_in(database_url)


async def test_processes_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    program = (
        "import asyncio, sys; from exchange.storage.migrate import upgrade;"
        "print(len(asyncio.run(upgrade(sys.argv[1]))))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, empty_database_url, stdout=subprocess.PIPE, env=environment
        )
        for _ in range(3)
    ]
    applied = [int((await process.communicate())[0]) for process in started]
    assert sorted(applied) == [0, 0, len(ALL)]
    assert await schema_differences(empty_database_url) == []


async def test_a_failing_migration_leaves_the_database_as_it_was(empty_database_url: str) -> None:
    connection = await connect(empty_database_url)
    # The name is taken, so a statement in the middle fails.
    await connection.execute(
        "CREATE FUNCTION journal_fence() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    )
    with pytest.raises(Exception, match="journal_fence"):
        await migrate.upgrade(empty_database_url)
    assert await objects_in(empty_database_url) == {"journal_fence"}
    await connection.execute("DROP FUNCTION journal_fence()")
    await connection.close()
    assert len(await migrate.upgrade(empty_database_url)) == len(ALL)


async def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    connection = await connect(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    with pytest.raises(migrate.SchemaError, match=f"schema 9999, this version of exchange knows {ALL[0]} to {ALL[-1]}"):
        await migrate.upgrade(database_url)


def test_finding_nothing_to_do_does_not_load_alembic(database_url: str) -> None:
    program = (
        "import asyncio, sys; from exchange.storage.migrate import upgrade;"
        "assert asyncio.run(upgrade(sys.argv[1])) == []; assert 'alembic' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", program, database_url], check=True, env=environment)


def test_the_history_is_alembics_own() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    assert [script.revision for script in reversed(scripts)] == ALL


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
async def test_every_spelling_of_an_address_opens_the_database(database_url: str, scheme: str) -> None:
    url = scheme + "://" + database_url.partition("://")[2]
    database = await open_database(url)
    async with database.engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM journal"))).scalar_one() == 0
    await database.close()


def test_an_address_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="starts with postgresql://, not with 'mysql'"):
        asyncpg_dsn("mysql://user:secret@host/exchange")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://ann:hunter2secret@127.0.0.1:1/exchange", "127.0.0.1:1"),
        ("postgresql://ann:hunter2secret@/exchange?host=/nowhere", "/nowhere"),
    ],
)
async def test_an_unreachable_database_is_named_without_its_password(url: str, place: str) -> None:
    with pytest.raises(DatabaseUnreachable) as failure:
        await open_database(url)
    message = str(failure.value)
    assert f"Postgres at {place}, database 'exchange', user 'ann'" in message
    assert "hunter2" not in message


async def test_a_wrong_password_is_not_shown(database_url: str) -> None:
    user, _, rest = database_url.partition("://")[2].partition(":")
    url = f"postgresql://{user}:hunter2secret@{rest.partition('@')[2]}"
    with pytest.raises(DatabaseUnreachable, match="password authentication failed") as failure:
        await open_database(url)
    assert "hunter2" not in str(failure.value)
