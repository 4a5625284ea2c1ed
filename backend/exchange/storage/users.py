"""What operators and admins do to users: on any database of an exchange, a running one included.

Running processes know of every change within a second.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.contracts.refusals import EdgeReason, refuse
from exchange.storage.audit_log import operator, recorded_change
from exchange.storage.database import open_database
from exchange.storage.tables import second_factors, sessions, users

Role = Literal["user", "admin"]
ACCOUNT_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user as an admin sees it. ``frozen_ns``: since when it is frozen, None if it is not."""

    account_id: int
    username: str
    role: str
    created_ns: int
    frozen_ns: int | None
    second_factor: bool
    sessions: int  # that can still be refreshed


async def find_account(connection: AsyncConnection, username: str) -> int | None:
    """Return the account of a username in any letter case."""
    found: int | None = await connection.scalar(
        select(users.c.account_id).where(users.c.username == username.casefold())
    )
    return found


async def set_frozen(connection: AsyncConnection, account: int, frozen: bool) -> None:
    """Freeze or thaw an account; freezing it again keeps since when it is frozen."""
    since = func.coalesce(users.c.frozen_ns, time.time_ns()) if frozen else None
    await connection.execute(update(users).where(users.c.account_id == account).values(frozen_ns=since))


async def set_role(connection: AsyncConnection, account: int, role: Role) -> None:
    """Make a user an admin, or a plain user again."""
    await connection.execute(update(users).where(users.c.account_id == account).values(role=role))


async def remove_second_factor(connection: AsyncConnection, account: int) -> None:
    """Turn the second factor of a user off, who has lost it. Raises Refused NOT_FOUND where none is on."""
    removing = delete(second_factors).where(second_factors.c.account_id == account)
    if not (await connection.execute(removing)).rowcount:
        raise refuse(EdgeReason.NOT_FOUND, "the user has no second factor")


async def page_of_users(
    connection: AsyncConnection,
    *,
    account: int | None = None,
    search: str | None = None,
    username: str | None = None,
    role: Role | None = None,
    frozen: bool | None = None,
    before: int | None = None,
    limit: int = 1,
) -> Sequence[UserRow]:
    """Return users, the newest first. ``search``: a part of the username, or the whole account number."""
    which: list[ColumnElement[bool]] = []
    if account is not None and account > ACCOUNT_MAX:
        return []
    if account is not None:
        which.append(users.c.account_id == account)
    if search:
        named = users.c.username.contains(search.casefold(), autoescape=True)
        which.append(named | (users.c.account_id == int(search)) if _is_number(search) else named)
    if username is not None:
        which.append(users.c.username == username.casefold())
    if role is not None:
        which.append(users.c.role == role)
    if frozen is not None:
        which.append(users.c.frozen_ns.is_not(None) if frozen else users.c.frozen_ns.is_(None))
    if before is not None:
        which.append(users.c.account_id < before)
    factor = select(second_factors.c.account_id).where(
        second_factors.c.account_id == users.c.account_id, second_factors.c.confirmed_ns.is_not(None)
    )
    living = select(func.count()).where(
        sessions.c.account_id == users.c.account_id,
        sessions.c.revoked_ns.is_(None),
        sessions.c.expires_ns > time.time_ns(),
    )
    columns = [users.c[name] for name in ("account_id", "username", "role", "created_ns", "frozen_ns")]
    query: Select[Any] = select(*columns, factor.exists(), living.scalar_subquery()).where(*which)
    rows = await connection.execute(query.order_by(users.c.account_id.desc()).limit(limit))
    return [UserRow(*row) for row in rows]


def _is_number(search: str) -> bool:
    return search.isascii() and search.isdigit() and len(search) <= 18


async def by_operator(
    url: str, username: str, action: str, change: Callable[[AsyncConnection, int], Awaitable[None]]
) -> None:
    """Let the operator of an installation change a user, recorded in the audit log.

    Raises Refused NOT_FOUND where there is no such user, or as ``change`` does; DatabaseUnreachable.
    """
    database = await open_database(url, pool_size=1)
    try:
        async with database.engine.connect() as connection:
            account = await find_account(connection, username)
        if account is None:
            raise refuse(EdgeReason.NOT_FOUND, f"there is no user {username}")
        parameters = {"account_id": str(account), "username": username.casefold()}
        async with recorded_change(database.engine, operator(), action, parameters) as connection:
            await change(connection, account)
    finally:
        await database.close()
