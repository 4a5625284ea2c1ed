"""Bring a database to the schema of this version. Safe to run at once from several processes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from exchange.storage.database import connect, open_database

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

MIGRATIONS = Path(__file__).parent / "migrations"
# Any number that nothing else in the database locks: the letters of "exchange" as bytes.
LOCK = int.from_bytes(b"exchange")


class SchemaError(Exception):
    """The database has a schema that this version cannot work with."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema. ``revision`` is its number, "0001" the first."""

    revision: str
    title: str


def history() -> list[Migration]:
    """Return the migrations of this version, oldest first.

    File names tell them (`0001_what_it_does.py`), so that a start need not load Alembic to find nothing to do.
    """
    names = sorted(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))
    return [
        Migration(revision, title.replace("_", " ")) for revision, _, title in (name.partition("_") for name in names)
    ]


async def current(url: str) -> str | None:
    """Return the revision that the database is at, None when it is empty. Raises DatabaseUnreachable."""
    connection = await connect(url)
    try:
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        return revision
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()


async def upgrade(url: str) -> list[Migration]:
    """Apply the migrations that the database lacks, all or none, and return them.

    Raises DatabaseUnreachable, and SchemaError when the database was made by a newer version.
    """
    migrations = history()
    if not _lacking(migrations, await current(url)):
        return []
    async with _locked(url) as connection:
        # Another process may have done it while this one waited for the lock.
        lacking = _lacking(migrations, await connection.run_sync(_revision))
        if lacking:
            await connection.run_sync(_upgrade)
        return lacking


async def downgrade(url: str, revision: str) -> None:
    """Go back to ``revision``, or "base" for an empty database. Drops what the schema then has no place for."""
    async with _locked(url) as connection:
        await connection.run_sync(_downgrade, revision)


@asynccontextmanager
async def _locked(url: str) -> "AsyncIterator[AsyncConnection]":
    """One transaction that no other migration runs beside."""
    from sqlalchemy import text

    database = await open_database(url, pool_size=1, statement_timeout_s=None)
    try:
        async with database.engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            yield connection
    finally:
        await database.close()


def _lacking(migrations: list[Migration], revision: str | None) -> list[Migration]:
    if revision is None:
        return migrations
    known = [migration.revision for migration in migrations]
    if revision not in known:
        raise SchemaError(
            f"the database has schema {revision}, this version of exchange knows {known[0]} to {known[-1]}: "
            "start the version that made it, or a newer one"
        )
    return migrations[known.index(revision) + 1 :]


# Alembic takes longer to load than a start has time for: it is loaded when there is something to do.


def _revision(connection: "Connection") -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: "Connection") -> None:
    from alembic import command

    command.upgrade(_config(connection), "head")


def _downgrade(connection: "Connection", revision: str) -> None:
    from alembic import command

    command.downgrade(_config(connection), revision)


def _config(connection: "Connection") -> "Config":
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    # The option is read with % as its escape character.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
