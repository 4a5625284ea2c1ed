"""Opening an account and logging in: password, second factor, and how often anybody may try."""

import logging
import math
import re
import time
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.gateway.attempts import Allowance, Attempts
from exchange.gateway.passwords import PasswordHashing
from exchange.gateway.sessions import Device, Sessions, TokenPair, log_event
from exchange.gateway.totp import SecondFactors
from exchange.storage.audit_log import Actor, record
from exchange.storage.tables import users

USERNAME = re.compile(r"[a-z0-9_.-]{3,32}")
PASSWORD_LENGTH_MIN, PASSWORD_LENGTH_MAX = 10, 128
BY_ACCOUNT = Allowance("account", burst=10, interval_s=30)
BY_ADDRESS = Allowance("address", burst=60, interval_s=3)


@dataclass(frozen=True, slots=True)
class User:
    """Who may log in."""

    account_id: int
    username: str
    created_ns: int
    role: str = "user"


_USER_COLUMNS = [users.c[name] for name in User.__dataclass_fields__]


class Logins:
    """Accounts and their passwords, over the table users.

    Attempts are limited by account and by address, whether the account exists or not; a good one does not count. What
    does not exist takes as long and gets the same answer as what does.
    """

    def __init__(self, engine: AsyncEngine, sessions: Sessions, second_factors: SecondFactors) -> None:
        self._engine = engine
        self._sessions = sessions
        self._second_factors = second_factors
        self._passwords = PasswordHashing()
        self.attempts = Attempts(engine)

    async def register(self, username: str, password: str, device: Device) -> tuple[User, TokenPair]:
        """Open an account and its first session.

        Raises Refused FIELD_INVALID, USERNAME_TAKEN, THROTTLED, OVERLOADED.
        """
        name = checked_username(username)
        check_password(password)
        await self._throttle(BY_ADDRESS, device.address, device)
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
            pair = await self._sessions.begin(connection, account, device)
        await self.attempts.give_back(BY_ADDRESS, device.address)
        log_event("login account registered", account, device)
        return User(account, name, now_ns), pair

    async def login(
        self, username: str, password: str, device: Device, code: str | None = None
    ) -> tuple[User, TokenPair]:
        """Begin a session. ``code``: of the second factor, for accounts that have one.

        Raises Refused CREDENTIALS_INVALID (never telling which was wrong), SECOND_FACTOR_REQUIRED and
        SECOND_FACTOR_INVALID (only to who knows the password), THROTTLED, OVERLOADED.
        """
        name = username.casefold()
        known_form = USERNAME.fullmatch(name) is not None
        subject = name if known_form else "-"
        await self._throttle(BY_ADDRESS, device.address, device)
        await self._throttle(BY_ACCOUNT, subject, device)
        found = await self._credentials(name) if known_form else None
        user, encoded = found or (None, None)
        if not await self._passwords.verify(encoded, password) or user is None or encoded is None:
            log_event("login refused: unauthorized", user.account_id if user else None, device)
            raise wrong_credentials()
        await self._check_second_factor(user.account_id, code, subject, device)
        fresh = await self._passwords.hash(password) if self._passwords.needs_rehash(encoded) else None
        async with self._engine.begin() as connection:
            if fresh is not None:
                mine = update(users).where(users.c.account_id == user.account_id)
                await connection.execute(mine.values(password_hash=fresh))
            pair = await self._sessions.begin(connection, user.account_id, device)
            if user.role == "admin":
                actor = Actor(user.account_id, user.username, device.address)
                await record(connection, actor, "admin.login", {"user_agent": device.user_agent})
        await self._good(subject, device)
        log_event("login accepted", user.account_id, device)
        return user, pair

    async def prove(self, account: int, password: str, code: str | None, device: Device) -> User:
        """Check once more that it is the owner who asks, as a login does, and return the user.

        Raises Refused CREDENTIALS_INVALID, SECOND_FACTOR_REQUIRED, SECOND_FACTOR_INVALID, THROTTLED, OVERLOADED.
        """
        user = await self.user(account)
        await self._throttle(BY_ACCOUNT, user.username, device)
        found = await self._credentials(user.username)
        if not await self._passwords.verify(found[1] if found else None, password):
            log_event("proof refused: unauthorized", account, device)
            raise wrong_credentials()
        await self._check_second_factor(account, code, user.username, device)
        await self.attempts.give_back(BY_ACCOUNT, user.username)
        return user

    async def user(self, account: int) -> User:
        """Return the user of an account. Raises Refused UNAUTHENTICATED when there is none."""
        query = select(*_USER_COLUMNS).where(users.c.account_id == account)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise refuse(EdgeReason.UNAUTHENTICATED, "the access token's account does not exist here; log in again")
        return User(*row)

    def close(self) -> None:
        self._passwords.close()

    async def _check_second_factor(self, account: int, code: str | None, subject: str, device: Device) -> None:
        if not await self._second_factors.is_on(account):
            return
        if code is None:
            await self._good(subject, device)  # the password was right, and nothing was guessed at
            raise refuse(
                EdgeReason.SECOND_FACTOR_REQUIRED,
                "send the password again with `code`: the six digits that your authenticator shows, or a recovery code",
                field="code",
                limit="required",
            )
        if not await self._second_factors.use(account, code):
            log_event("second factor refused: unauthorized", account, device, logging.WARNING)
            detail = "the code is wrong, too old or was used before: wait for the next one"
            raise refuse(EdgeReason.SECOND_FACTOR_INVALID, detail, field="code", limit="the code of now")

    async def _throttle(self, allowance: Allowance, subject: str, device: Device) -> None:
        wait_s = await self.attempts.take(allowance, subject)
        if wait_s:
            log_event("login throttled", None, device)
            seconds = math.ceil(wait_s)
            raise refuse(EdgeReason.THROTTLED, f"too many attempts; try again in {seconds} s", retry_after_s=seconds)

    async def _good(self, subject: str, device: Device) -> None:
        await self.attempts.give_back(BY_ADDRESS, device.address)
        await self.attempts.give_back(BY_ACCOUNT, subject)

    async def _credentials(self, username: str) -> tuple[User, str] | None:
        query = select(*_USER_COLUMNS, users.c.password_hash).where(users.c.username == username)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else (User(*row[:-1]), row.password_hash)


def wrong_credentials() -> Refused:
    return refuse(EdgeReason.CREDENTIALS_INVALID, "the username or the password is wrong")


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
