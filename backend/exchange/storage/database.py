"""Reach Postgres: SQLAlchemy for queries, asyncpg itself where COPY and notifications are needed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_S = 10.0


class DatabaseUnreachable(Exception):
    """Postgres cannot be reached or refuses us. The text names where and as whom, never the password."""


@dataclass(frozen=True, slots=True)
class Database:
    """The reading and writing side of everything that is no journal. ``dsn`` is for asyncpg."""

    engine: AsyncEngine
    dsn: str

    async def close(self) -> None:
        await self.engine.dispose()


async def open_database(url: str, *, pool_size: int = 8, pool_timeout_s: float = 5.0) -> Database:
    """Return a pool of at most ``pool_size`` connections, of which one was tried.

    ``url``: see ``asyncpg_dsn``. Raises DatabaseUnreachable. A caller that finds every connection taken for
    ``pool_timeout_s`` gets sqlalchemy.exc.TimeoutError.
    """
    dsn = asyncpg_dsn(url)
    connection = await connect(dsn)
    await connection.close()
    engine = create_async_engine(
        "postgresql+asyncpg://",
        # One parser of addresses for every connection: asyncpg's, which reads what libpq reads.
        async_creator=lambda: connect(dsn),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout_s,
        pool_pre_ping=True,
    )
    return Database(engine, dsn)


async def connect(
    url: str, *, command_timeout_s: float | None = None, settings: Mapping[str, str] | None = None
) -> "asyncpg.Connection[asyncpg.Record]":
    """Open one asyncpg connection, with server ``settings`` for its session. Raises DatabaseUnreachable.

    ``command_timeout_s`` bounds every statement that names no timeout of its own.
    """
    dsn = asyncpg_dsn(url)
    try:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=command_timeout_s,
            server_settings=dict(settings) if settings else None,
        )
    except TimeoutError as error:
        raise DatabaseUnreachable(f"{describe(dsn)} did not answer within {CONNECT_TIMEOUT_S:.0f} s") from error
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
