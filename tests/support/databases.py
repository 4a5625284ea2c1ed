"""Databases of a test's own on the session's server: copied from a template, dropped afterwards."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from exchange.storage.database import connect


def of_database(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@asynccontextmanager
async def copied_database(server_url: str, template: str) -> AsyncIterator[str]:
    """The address of a copy of ``template`` that lasts as long as the block."""
    name = f"test_{secrets.token_hex(6)}"
    await execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield of_database(server_url, name)
    finally:
        await drop_database(server_url, name)


async def drop_database(server_url: str, name: str) -> None:
    """Autovacuum workers belong to the superuser and may not be terminated: wait until they are done."""
    for attempts_left in reversed(range(40)):
        try:
            await execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")
            return
        except (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectInUseError):
            if not attempts_left:
                raise
            await asyncio.sleep(0.25)


async def execute(url: str, statement: str) -> None:
    """Run a statement on a connection of its own."""
    connection = await connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
