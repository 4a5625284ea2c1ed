"""Sessions: register, log in, refresh with reuse detection, log out.

A refresh token is 256 random bits, stored as its SHA-256 only and good for one use. All tokens that descend from one
login are a family; a token that comes a second time was stolen on one of the two occasions, and ends its family.
"""

import hashlib
import logging
import math
import re
import secrets
import time
import uuid
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway.passwords import AttemptLimit, PasswordHashing
from exchange.gateway.tokens import ACCESS_TOKEN_LIFETIME_S, issue_access_token
from exchange.storage.tables import refresh_tokens, sessions, users

REFRESH_TOKEN_LIFETIME_NS = 30 * 24 * 3600 * 1_000_000_000  # from its issue: a session slides as long as it is used
USERNAME = re.compile(r"[a-z0-9_.-]{3,32}")
PASSWORD_LENGTH_MIN, PASSWORD_LENGTH_MAX = 10, 128
REFRESH_TOKEN_LENGTH_MAX = 128

logger = logging.getLogger("exchange.auth")


@dataclass(frozen=True, slots=True)
class User:
    """Who may log in."""

    account_id: int
    username: str
    created_ns: int


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client holds of a session."""

    account_id: int
    access_token: str
    refresh_token: str
    expires_in: int = ACCESS_TOKEN_LIFETIME_S  # seconds


class Sessions:
    """Sessions over the tables users and refresh_tokens. Attempts are limited by account and by address."""

    def __init__(self, engine: AsyncEngine, jwt_secret: str) -> None:
        self._engine = engine
        self._jwt_secret = jwt_secret
        self._passwords = PasswordHashing()
        self._by_account = AttemptLimit(burst=10, interval_s=30)
        self._by_address = AttemptLimit(burst=60, interval_s=3)

    async def register(self, username: str, password: str, address: str) -> tuple[User, TokenPair]:
        """Open an account and its first session.

        Raises Refused FIELD_INVALID, USERNAME_TAKEN, THROTTLED, OVERLOADED.
        """
        name = checked_username(username)
        check_password(password)
        self._throttle(self._by_address, address)
        encoded = await self._passwords.hash(password)
        now_ns = time.time_ns()
        row = {"username": name, "password_hash": encoded, "created_ns": now_ns}
        new_user = upsert(users).values(row).on_conflict_do_nothing(index_elements=[users.c.username])
        async with self._engine.begin() as connection:
            account = (await connection.execute(new_user.returning(users.c.account_id))).scalar()
            if account is None:
                raise refuse(
                    EdgeReason.USERNAME_TAKEN, f"the username {name} is taken", field="username", limit="unique"
                )
            pair = await self._begin(connection, account, now_ns)
        self._by_address.give_back(address)
        _log("login account registered", account, address)
        return User(account, name, now_ns), pair

    async def login(self, username: str, password: str, address: str) -> tuple[User, TokenPair]:
        """Begin a session.

        Raises Refused CREDENTIALS_INVALID (never telling which was wrong), THROTTLED, OVERLOADED.
        """
        name = username.casefold()
        known_form = USERNAME.fullmatch(name) is not None
        bucket = name if known_form else "-"
        self._throttle(self._by_address, address)
        self._throttle(self._by_account, bucket, address)
        found = await self._credentials(name) if known_form else None
        user, encoded = found or (None, None)
        if not await self._passwords.verify(encoded, password) or user is None or encoded is None:
            _log("login refused: unauthorized", user.account_id if user else None, address)
            raise refuse(EdgeReason.CREDENTIALS_INVALID, "the username or the password is wrong")
        fresh = await self._passwords.hash(password) if self._passwords.needs_rehash(encoded) else None
        async with self._engine.begin() as connection:
            pair = await self._begin_session(connection, user.account_id, fresh)
        self._by_address.give_back(address)
        self._by_account.give_back(bucket)
        _log("login accepted", user.account_id, address)
        return user, pair

    async def refresh(self, token: str, address: str) -> TokenPair:
        """Use a refresh token up and return the next pair. Raises Refused UNAUTHENTICATED."""
        now_ns = time.time_ns()
        async with self._engine.begin() as connection:
            row = await self._locked(connection, token)
            if row is not None and row.used_ns is None and row.revoked_ns is None and now_ns < row.expires_ns:
                used = update(refresh_tokens).where(refresh_tokens.c.token_hash == row.token_hash)
                await connection.execute(used.values(used_ns=now_ns))
                return await self._issue(connection, row.account_id, row.session_id, now_ns)
            if row is not None and row.used_ns is not None and row.revoked_ns is None:
                await self._end(connection, row.session_id, now_ns)
                _log("auth refresh token used twice: session ended", row.account_id, address, logging.WARNING)
        # Raised outside the transaction, which must keep the end of the family.
        _log("auth refresh refused: unauthorized", row.account_id if row else None, address)
        raise refuse(EdgeReason.UNAUTHENTICATED, "the refresh token is not valid any more; log in again")

    async def logout(self, token: str, address: str) -> None:
        """End the session of a refresh token; an unknown token is no error."""
        async with self._engine.begin() as connection:
            row = await self._locked(connection, token)
            if row is not None:
                await self._end(connection, row.session_id, time.time_ns())
                _log("auth logout", row.account_id, address)

    async def user(self, account: int) -> User:
        """Return the user of an account. Raises Refused UNAUTHENTICATED when there is none."""
        query = select(users.c.account_id, users.c.username, users.c.created_ns).where(users.c.account_id == account)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise refuse(EdgeReason.UNAUTHENTICATED, "the access token's account does not exist here; log in again")
        return User(*row)

    def close(self) -> None:
        self._passwords.close()

    def _throttle(self, limit: AttemptLimit, key: str, address: str | None = None) -> None:
        wait_s = limit.take(key)
        if wait_s:
            _log("login throttled", None, address or key)
            seconds = math.ceil(wait_s)
            raise refuse(EdgeReason.THROTTLED, f"too many attempts; try again in {seconds} s", retry_after_s=seconds)

    async def _credentials(self, username: str) -> tuple[User, str] | None:
        query = select(users.c.account_id, users.c.username, users.c.created_ns, users.c.password_hash)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query.where(users.c.username == username))).first()
        return None if row is None else (User(*row[:3]), row.password_hash)

    async def _begin_session(self, connection: AsyncConnection, account: int, password_hash: str | None) -> TokenPair:
        now_ns = time.time_ns()
        if password_hash is not None:
            await connection.execute(
                update(users).where(users.c.account_id == account).values(password_hash=password_hash)
            )
        expired = (sessions.c.account_id == account) & (sessions.c.expires_ns < now_ns)
        await connection.execute(delete(sessions).where(expired))
        return await self._begin(connection, account, now_ns)

    async def _begin(self, connection: AsyncConnection, account: int, now_ns: int) -> TokenPair:
        row = {"session_id": uuid.uuid4(), "account_id": account, "created_ns": now_ns, "used_ns": now_ns}
        expires_ns = now_ns + REFRESH_TOKEN_LIFETIME_NS
        await connection.execute(insert(sessions).values(row | {"expires_ns": expires_ns}))
        return await self._issue(connection, account, row["session_id"], now_ns)

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
        used = {"used_ns": now_ns, "expires_ns": row["expires_ns"]}
        await connection.execute(update(sessions).where(sessions.c.session_id == session_id).values(used))
        return TokenPair(account, issue_access_token(self._jwt_secret, account), token)

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

    async def _end(self, connection: AsyncConnection, session_id: uuid.UUID, now_ns: int) -> None:
        living = (sessions.c.session_id == session_id) & sessions.c.revoked_ns.is_(None)
        await connection.execute(update(sessions).where(living).values(revoked_ns=now_ns))


@dataclass(frozen=True, slots=True)
class RefreshRow:
    """A stored refresh token."""

    token_hash: bytes
    session_id: uuid.UUID
    account_id: int
    expires_ns: int
    used_ns: int | None
    revoked_ns: int | None


def checked_username(username: str) -> str:
    """Return the username in its one spelling. Raises Refused FIELD_INVALID."""
    name = username.casefold()
    if USERNAME.fullmatch(name):
        return name
    limit = "3-32 of a-z 0-9 _ . -"
    raise refuse(
        EdgeReason.FIELD_INVALID,
        f"the username must be {limit} (letter case does not matter)",
        field="username",
        limit=limit,
    )


def check_password(password: str) -> None:
    """Raises Refused FIELD_INVALID for a password that is too short or too long."""
    if PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        return
    limit = f"{PASSWORD_LENGTH_MIN}-{PASSWORD_LENGTH_MAX} characters"
    raise refuse(
        EdgeReason.FIELD_INVALID,
        f"the password must have {limit}; it has {len(password)}",
        field="password",
        limit=limit,
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _log(message: str, account: int | None, address: str, level: int = logging.INFO) -> None:
    logger.log(
        level, message, extra={"fields": {"account": account if account is not None else "unknown", "address": address}}
    )
