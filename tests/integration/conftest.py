"""A real Postgres of the session's own, and a fresh database with the current schema for every test that asks."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from exchange.storage.database import connect
from exchange.storage.embedded import EmbeddedPostgres
from exchange.storage.migrate import upgrade

TEMPLATE = "exchange_template"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Where the session's server is. Its own database is empty: make others, or ask for `database_url`."""
    # Not under tmp_path: when root runs the tests, the server runs as somebody who could not reach it.
    home = Path(tempfile.mkdtemp(prefix="exchange-test-"))
    server = EmbeddedPostgres(home, secrets.token_urlsafe(16))
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template_database(postgres_url: str) -> str:
    """The name of a database with the current schema, to copy."""
    await _execute(postgres_url, f"CREATE DATABASE {TEMPLATE}")
    await upgrade(of_database(postgres_url, TEMPLATE))
    return TEMPLATE


@pytest.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database without a schema."""
    async for url in _database(postgres_url, "template1"):
        yield url


@pytest.fixture
async def database_url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """A fresh database with the current schema."""
    async for url in _database(postgres_url, template_database):
        yield url


def of_database(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _database(postgres_url: str, template: str) -> AsyncIterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    await _execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield of_database(postgres_url, name)
    finally:
        await _drop_database(postgres_url, name)


async def _drop_database(url: str, name: str) -> None:
    """Autovacuum workers belong to the superuser and may not be terminated: wait until they are done."""
    for attempts_left in reversed(range(40)):
        try:
            await _execute(url, f"DROP DATABASE {name} WITH (FORCE)")
            return
        except (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectInUseError):
            if not attempts_left:
                raise
            await asyncio.sleep(0.25)


async def _execute(url: str, statement: str) -> None:
    connection = await connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
