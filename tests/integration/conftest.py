"""A real Postgres of the session's own, and a fresh database with the current schema for every test that asks."""

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from exchange.storage.embedded import EmbeddedPostgres
from exchange.storage.migrate import upgrade
from tests.support.databases import copied_database, execute, of_database

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
    await execute(postgres_url, f"CREATE DATABASE {TEMPLATE}")
    await upgrade(of_database(postgres_url, TEMPLATE))
    return TEMPLATE


@pytest.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database without a schema."""
    async with copied_database(postgres_url, "template1") as url:
        yield url


@pytest.fixture
async def database_url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """A fresh database with the current schema."""
    async with copied_database(postgres_url, template_database) as url:
        yield url
