"""Reach Postgres: SQLAlchemy for queries, asyncpg itself where COPY and notifications are needed.

A server that stands still, or behind a network that swallows, answers nothing and breaks nothing off: each wait for it
has a bound of its own here. Who reaches one is told that it is unreachable, and the connection is thrown away, since
nobody knows what still comes out of it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from sqlalchemy import AsyncAdaptedQueuePool, ExceptionContext, PoolProxiedConnection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_S = 10.0
POOL_SIZE, POOL_TIMEOUT_S = 8, 5.0  # a caller waits so long for a connection, then: sqlalchemy.exc.TimeoutError
STATEMENT_TIMEOUT_S = 5.0  # of what requests ask and change, and of opening a connection for them
#: Exports and statements read more at once, on so many connections apart, which nobody else waits for.
LONG_READS, LONG_STATEMENT_TIMEOUT_S = 4, 30.0


class DatabaseUnreachable(Exception):
    """Postgres cannot be reached or refuses us. The text names where and as whom, never the password."""


@dataclass(frozen=True, slots=True)
class Database:
    """The reading and writing side of everything that is no journal. ``dsn`` is for asyncpg.

    Both engines raise DatabaseUnreachable where Postgres does not answer in time; then what was being changed may have
    been changed. ``long_reads`` waits longer.
    """

    engine: AsyncEngine
    long_reads: AsyncEngine
    dsn: str

    async def close(self) -> None:
        await self.engine.dispose()
        await self.long_reads.dispose()


async def open_database(
    url: str, *, pool_size: int = POOL_SIZE, statement_timeout_s: float | None = STATEMENT_TIMEOUT_S
) -> Database:
    """Return a pool of at most ``pool_size`` connections, after one was tried.

    ``url``: see ``asyncpg_dsn``; ``statement_timeout_s``: None for work of its own that takes as long as it takes.
    Raises DatabaseUnreachable.
    """
    dsn = asyncpg_dsn(url)
    connection = await connect(dsn)
    await connection.close()
    engine = _engine(dsn, pool_size, statement_timeout_s)
    return Database(engine, _engine(dsn, LONG_READS, LONG_STATEMENT_TIMEOUT_S), dsn)


def _engine(dsn: str, pool_size: int, statement_timeout_s: float | None) -> AsyncEngine:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        # One parser of addresses for every connection: asyncpg's, which reads what libpq reads.
        async_creator=lambda: connect(dsn, timeout_s=STATEMENT_TIMEOUT_S, command_timeout_s=statement_timeout_s),
        poolclass=_Pool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
    )
    event.listen(engine.sync_engine, "handle_error", _throw_away)
    return engine


class _Pool(AsyncAdaptedQueuePool):
    """A pool that names a connection whose test is not answered in time as what it is."""

    def connect(self) -> PoolProxiedConnection:
        try:
            return super().connect()
        except TimeoutError as error:
            raise _unanswered() from error


def _throw_away(failed: ExceptionContext) -> None:
    """A statement that was not answered in time: its connection goes, and not back into the pool."""
    if isinstance(failed.original_exception, TimeoutError):
        failed.is_disconnect = True
        failed.invalidate_pool_on_disconnect = False  # of the others each finds out for itself
        raise _unanswered()


def _unanswered() -> DatabaseUnreachable:
    return DatabaseUnreachable("Postgres did not answer in time")


async def connect(
    url: str,
    *,
    timeout_s: float = CONNECT_TIMEOUT_S,
    command_timeout_s: float | None = None,
    settings: Mapping[str, str] | None = None,
) -> "asyncpg.Connection[asyncpg.Record]":
    """Open one asyncpg connection within ``timeout_s``, with server ``settings`` for its session.

    ``command_timeout_s`` bounds every statement that names no timeout of its own. Raises DatabaseUnreachable.
    """
    dsn = asyncpg_dsn(url)
    try:
        return await asyncpg.connect(
            dsn,
            timeout=timeout_s,
            command_timeout=command_timeout_s,
            server_settings=dict(settings) if settings else None,
        )
    except TimeoutError as error:
        raise DatabaseUnreachable(f"{describe(dsn)} did not answer within {timeout_s:.0f} s") from error
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnreachable(f"cannot use {describe(dsn)}: {error}") from error


def heed_cancellation() -> None:
    """Raise CancelledError where the running task was cancelled.

    For loops that go on after the errors of a database: a driver may answer a cancellation with an error of its own.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def asyncpg_dsn(url: str) -> str:
    """Return the address as asyncpg reads it.

    Takes ``postgresql://``, ``postgres://`` and SQLAlchemy's ``postgresql+asyncpg://``, a host or a directory of Unix
    sockets: ``postgresql://user:password@/exchange?host=/directory``. Raises ValueError for anything else.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres", "postgresql+asyncpg"):
        raise ValueError(f"a database address starts with postgresql://, not with {scheme[:20]!r}")
    return f"postgresql://{rest}"


def describe(url: str) -> str:
    """Return where an address leads and as whom, without the password."""
    parts = urlsplit(url)
    host = parts.hostname or parse_qs(parts.query).get("host", ["localhost"])[0]
    place = host if host.startswith("/") else f"{host}:{parts.port or 5432}"
    return f"Postgres at {place}, database {unquote(parts.path.lstrip('/'))!r}, user {unquote(parts.username or '')!r}"
