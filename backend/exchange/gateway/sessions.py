"""Sessions: begin, refresh with reuse detection, list, end.

A refresh token is 256 random bits, stored as its SHA-256 only and good for one use. All tokens that descend from one
login are its session; a token that comes a second time was stolen on one of the two occasions, and ends its session.
"""

import hashlib
import logging
import secrets
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway.tokens import ACCESS_TOKEN_LIFETIME_S, issue_access_token
from exchange.storage.tables import refresh_tokens, sessions

REFRESH_TOKEN_LIFETIME_NS = 30 * 24 * 3600 * 1_000_000_000  # from its issue: a session slides as long as it is used
REFRESH_TOKEN_LENGTH_MAX = 128
SESSIONS_MAX = 100  # an account; at the bound a login ends the one that was used longest ago

logger = logging.getLogger("exchange.auth")


@dataclass(frozen=True, slots=True)
class Device:
    """From where somebody asks: network address, and what their program calls itself."""

    address: str
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client holds of a session."""

    account_id: int
    access_token: str
    refresh_token: str
    expires_in: int = ACCESS_TOKEN_LIFETIME_S  # seconds


@dataclass(frozen=True, slots=True)
class Session:
    """A session that can still be refreshed."""

    session_id: uuid.UUID
    created_ns: int
    used_ns: int
    address: str
    user_agent: str


_SESSION_COLUMNS = [sessions.c[name] for name in Session.__dataclass_fields__]


class Sessions:
    """Sessions over the tables sessions and refresh_tokens. ``ended`` hears at once of those that are ended."""

    def __init__(
        self, engine: AsyncEngine, jwt_secret: str, ended: Callable[[Iterable[str]], None] = lambda ids: None
    ) -> None:
        self._engine = engine
        self._jwt_secret = jwt_secret
        self._ended = ended

    async def begin(self, connection: AsyncConnection, account: int, device: Device) -> TokenPair:
        """Begin a session within the caller's transaction."""
        now_ns = time.time_ns()
        mine = sessions.c.account_id == account
        await connection.execute(delete(sessions).where(mine, sessions.c.expires_ns < now_ns))
        living = select(sessions.c.session_id).where(mine, sessions.c.revoked_ns.is_(None))
        too_many = living.order_by(sessions.c.used_ns.desc()).offset(SESSIONS_MAX - 1)
        await self._end(connection, sessions.c.session_id.in_(too_many))
        session_id = uuid.uuid4()
        row = {"session_id": session_id, "account_id": account, "created_ns": now_ns, "user_agent": device.user_agent}
        await connection.execute(insert(sessions).values(row | _use(now_ns, device)))
        return await self._issue(connection, account, session_id, now_ns)

    async def refresh(self, token: str, device: Device) -> TokenPair:
        """Use a refresh token up and return the next pair. Raises Refused UNAUTHENTICATED."""
        now_ns = time.time_ns()
        async with self._engine.begin() as connection:
            row = await self._locked(connection, token)
            if row is not None and row.used_ns is None and row.revoked_ns is None and now_ns < row.expires_ns:
                this_token = refresh_tokens.c.token_hash == row.token_hash
                await connection.execute(update(refresh_tokens).where(this_token).values(used_ns=now_ns))
                this_session = sessions.c.session_id == row.session_id
                await connection.execute(update(sessions).where(this_session).values(_use(now_ns, device)))
                return await self._issue(connection, row.account_id, row.session_id, now_ns)
            if row is not None and row.used_ns is not None and row.revoked_ns is None:
                await self._end(connection, sessions.c.session_id == row.session_id)
                log_event("auth refresh token used twice: session ended", row.account_id, device, logging.WARNING)
        # Raised outside the transaction, which must keep the end of the session.
        log_event("auth refresh refused: unauthorized", row.account_id if row else None, device)
        raise refuse(EdgeReason.UNAUTHENTICATED, "the refresh token is not valid any more; log in again")

    async def logout(self, token: str, device: Device) -> None:
        """End the session of a refresh token; an unknown token is no error."""
        async with self._engine.begin() as connection:
            row = await self._locked(connection, token)
            if row is not None:
                await self._end(connection, sessions.c.session_id == row.session_id)
                log_event("auth logout", row.account_id, device)

    async def of_account(self, account: int) -> list[Session]:
        """Return an account's living sessions, the one that was used last first."""
        living = (sessions.c.revoked_ns.is_(None)) & (sessions.c.expires_ns > time.time_ns())
        query = select(*_SESSION_COLUMNS).where(sessions.c.account_id == account, living)
        async with self._engine.connect() as connection:
            rows = await connection.execute(query.order_by(sessions.c.used_ns.desc(), sessions.c.session_id))
            return [Session(*row) for row in rows]

    async def end(self, account: int, session_id: uuid.UUID) -> bool:
        """End one session; False where the account has no such session."""
        mine = (sessions.c.account_id == account) & (sessions.c.session_id == session_id)
        async with self._engine.begin() as connection:
            await self._end(connection, mine)
            return await connection.scalar(select(sessions.c.session_id).where(mine)) is not None

    async def end_all(self, account: int, keep: uuid.UUID | None) -> int:
        """End all sessions of an account but one; return how many were living."""
        which = sessions.c.account_id == account
        if keep is not None:
            which &= sessions.c.session_id != keep
        async with self._engine.begin() as connection:
            return await self._end(connection, which)

    async def end_all_within(self, connection: AsyncConnection, account: int) -> int:
        """End all sessions of an account within the caller's transaction; return how many were living."""
        return await self._end(connection, sessions.c.account_id == account)

    async def _issue(self, connection: AsyncConnection, account: int, session_id: uuid.UUID, now_ns: int) -> TokenPair:
        token = secrets.token_urlsafe(32)
        row = {
            "token_hash": _hash(token),
            "session_id": session_id,
            "account_id": account,
            "issued_ns": now_ns,
            "expires_ns": now_ns + REFRESH_TOKEN_LIFETIME_NS,
        }
        await connection.execute(insert(refresh_tokens).values(row))
        return TokenPair(account, issue_access_token(self._jwt_secret, account, session_id), token)

    async def _locked(self, connection: AsyncConnection, token: str) -> "RefreshRow | None":
        if len(token) > REFRESH_TOKEN_LENGTH_MAX:
            return None
        table = refresh_tokens.c
        query = select(
            table.token_hash,
            table.session_id,
            table.account_id,
            table.expires_ns,
            table.used_ns,
            sessions.c.revoked_ns,
        ).join(sessions, sessions.c.session_id == table.session_id)
        # Two uses at once are one after the other: the second one sees the first.
        row = (await connection.execute(query.where(table.token_hash == _hash(token)).with_for_update())).first()
        return None if row is None else RefreshRow(*row)

    async def _end(self, connection: AsyncConnection, which: ColumnElement[bool]) -> int:
        living = update(sessions).where(which, sessions.c.revoked_ns.is_(None)).values(revoked_ns=time.time_ns())
        ended = [str(found) for found in (await connection.execute(living.returning(sessions.c.session_id))).scalars()]
        # Before the transaction ends: a token that is refused a moment early harms nobody.
        self._ended(ended)
        return len(ended)


@dataclass(frozen=True, slots=True)
class RefreshRow:
    """A stored refresh token, and whether its session was ended."""

    token_hash: bytes
    session_id: uuid.UUID
    account_id: int
    expires_ns: int
    used_ns: int | None
    revoked_ns: int | None


def log_event(message: str, account: int | None, device: Device, level: int = logging.INFO) -> None:
    """Log what happened to an account's access, and from where."""
    fields = {"account": account if account is not None else "unknown", "address": device.address}
    logger.log(level, message, extra={"fields": fields})


def _use(now_ns: int, device: Device) -> dict[str, int | str]:
    return {"used_ns": now_ns, "expires_ns": now_ns + REFRESH_TOKEN_LIFETIME_NS, "address": device.address}


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
