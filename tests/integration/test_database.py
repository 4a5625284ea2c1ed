"""A Postgres that does not answer: within a bound it is called unreachable, and no connection is used again that is
owed an answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy.exc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from exchange.storage import database as storage
from exchange.storage.database import Database, DatabaseUnreachable, open_database

BOUND_S = 0.3
SOCKET = ".s.PGSQL.5432"


class Network:
    """Between an exchange and its Postgres: it holds what is sent while it is ``cut``, or loses it."""

    def __init__(self, server: str, *, loses: bool) -> None:
        self._server = server
        self._loses = loses
        self._flows = asyncio.Event()
        self._flows.set()
        self._pumps: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[None]:
        listener = await asyncio.start_unix_server(self._join, path)
        try:
            yield
        finally:
            listener.close()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._server)
        for pumping in (self._pump(reader, far_writer), self._pump(far_reader, writer)):
            self._pumps.add(asyncio.create_task(pumping))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while taken := await reader.read(65536):
                if self._loses and not self._flows.is_set():
                    continue
                await self._flows.wait()
                writer.write(taken)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def behind(url: str, directory: Path, *, loses: bool) -> AsyncIterator[tuple[Network, str]]:
    """A network before the server of ``url``, and the address on its near side."""
    parts = urlsplit(url)
    host = parse_qs(parts.query)["host"][0]
    network = Network(f"{host}/{SOCKET}", loses=loses)
    async with network.listening(directory / SOCKET):
        yield network, parts._replace(query=f"host={directory}").geturl()


@pytest.fixture(params=[False, True], ids=["held", "lost"])
async def networked(
    request: pytest.FixtureRequest, database_url: str, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[Network, Database]]:  # fmt: skip
    """A database of two connections behind a network."""
    monkeypatch.setattr(storage, "STATEMENT_TIMEOUT_S", BOUND_S)  # of opening a connection
    directory = tmp_path_factory.mktemp("net")
    async with behind(database_url, directory, loses=request.param) as (network, url):
        database = await open_database(url, pool_size=2, statement_timeout_s=BOUND_S)
        try:
            yield network, database
        finally:
            await database.close()


async def answer(database: Database, number: int) -> int:
    async with database.engine.connect() as connection:
        return int((await connection.execute(text(f"SELECT {number}"))).scalar_one())


async def check_clean(database: Database) -> None:
    """Everybody gets the answer to their own question again, and no connection is missing."""
    assert await asyncio.gather(*(answer(database, number) for number in range(20))) == list(range(20))
    assert database.engine.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_statement_that_is_not_answered(networked: tuple[Network, Database]) -> None:
    network, database = networked
    async with database.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        async with network.cut():
            with pytest.raises(DatabaseUnreachable):
                await connection.execute(text("SELECT 2"))
    await check_clean(database)


async def test_a_connection_that_does_not_answer_when_it_is_taken(networked: tuple[Network, Database]) -> None:
    network, database = networked
    await answer(database, 1)
    async with network.cut():
        with pytest.raises(DatabaseUnreachable):
            await answer(database, 2)
    await check_clean(database)


async def test_a_connection_that_is_not_opened(networked: tuple[Network, Database]) -> None:
    network, database = networked
    async with network.cut():
        with pytest.raises(DatabaseUnreachable):
            await answer(database, 1)
    await check_clean(database)


async def test_a_commit_that_is_not_answered(networked: tuple[Network, Database]) -> None:
    network, database = networked
    async with database.engine.connect() as connection:
        await connection.execute(text("CREATE TEMPORARY TABLE here (number int)"))
        async with network.cut():
            with pytest.raises(DatabaseUnreachable):
                await connection.commit()
    await check_clean(database)


async def test_rows_that_do_not_come_any_more(networked: tuple[Network, Database]) -> None:
    network, database = networked
    async with database.engine.connect() as connection:
        rows = await connection.stream(text("SELECT repeat('x', 100000), number FROM generate_series(1, 1000) number"))
        async with network.cut():
            with pytest.raises(DatabaseUnreachable):
                async for _ in rows:
                    pass
    await check_clean(database)


async def test_many_who_ask_at_once(networked: tuple[Network, Database]) -> None:
    network, database = networked
    await asyncio.gather(answer(database, 1), answer(database, 2))
    async with network.cut():
        asking = [answer(database, number) for number in range(6)]
        refused = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(error) for error in refused} <= {DatabaseUnreachable, sqlalchemy.exc.TimeoutError}
    await check_clean(database)


async def test_what_takes_longer_has_a_longer_bound_or_none(database_url: str) -> None:
    database = await open_database(database_url, statement_timeout_s=BOUND_S)
    patient = await open_database(database_url, statement_timeout_s=None)
    try:
        with pytest.raises(DatabaseUnreachable):
            await sleep(database.engine, 2 * BOUND_S)
        await sleep(database.long_reads, 2 * BOUND_S)
        await sleep(patient.engine, 2 * BOUND_S)
        await check_clean(database)
    finally:
        await database.close()
        await patient.close()


async def sleep(engine: AsyncEngine, seconds: float) -> None:
    async with engine.connect() as connection:
        await connection.execute(text(f"SELECT pg_sleep({seconds})"))
