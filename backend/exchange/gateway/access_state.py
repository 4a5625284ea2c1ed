"""What every request is held against: API keys, ended sessions, frozen accounts, admins. In memory, up to a second old.

A change that this process makes is known to it at once; what others make is read from the tables when they say so, and
every POLL_S seconds. While the tables cannot be read nothing is forgotten.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from exchange.gateway.api_keys import ApiKey, read_key
from exchange.gateway.sealing import Sealer
from exchange.gateway.tokens import ACCESS_TOKEN_LIFETIME_S, CLOCK_SKEW_S
from exchange.storage.database import DatabaseUnreachable, heed_cancellation
from exchange.storage.tables import api_keys, second_factors, sessions, users

POLL_S = 1.0
REVOKED_MAX = 10_000  # at the bound the key that was revoked first is answered like one that never was
SECOND_NS = 1_000_000_000
#: A change is stamped before it is visible: how far back each look goes.
OVERLAP_NS = 30 * SECOND_NS
#: How long an access token can outlive its session.
ENDED_KEPT_NS = (ACCESS_TOKEN_LIFETIME_S + CLOCK_SKEW_S) * SECOND_NS + OVERLAP_NS

logger = logging.getLogger("exchange.auth")


@dataclass(frozen=True, slots=True)
class Admin:
    """An account that may administer the exchange."""

    username: str
    has_second_factor: bool


class AccessState:
    """See the module. ``loaded``: whether it has been read at all; until then nobody is let in."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sealer = sealer
        self._used: dict[str, int] = {}  # key id -> used_ns, not yet written
        self._revoked: OrderedDict[str, None] = OrderedDict()
        self._read_ns = 0
        self.loaded = False
        self.keys: dict[str, ApiKey] = {}
        self.frozen: set[int] = set()
        self.admins: dict[int, Admin] = {}  # by account
        self.ended_sessions: dict[str, int] = {}  # session id -> revoked_ns
        self._hurried = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None
        self.on_own_change: Callable[[], None] = lambda: None  # to tell other processes

    # What this process does itself

    def key_changed(self, key: ApiKey) -> None:
        """A key was made or revoked."""
        self._learn(key)
        self._changed()

    def sessions_ended(self, session_ids: Iterable[str]) -> None:
        """Sessions were revoked: their access tokens are not good any more."""
        now_ns = time.time_ns()
        self.ended_sessions.update(dict.fromkeys(session_ids, now_ns))
        self._changed()

    def account_frozen(self, account: int, frozen: bool) -> None:
        """An account was frozen or thawed."""
        if frozen:
            self.frozen.add(account)
        else:
            self.frozen.discard(account)
        self._changed()

    def key_used(self, key_id: str) -> None:
        """Note a key's use; it is written with the next look at the tables."""
        self._used[key_id] = time.time_ns()

    # What the tables tell

    async def run(self) -> None:
        """Read now and every POLL_S seconds until cancelled."""
        while True:
            try:
                await self.refresh()
            except (DatabaseUnreachable, SQLAlchemyError, OSError) as error:
                heed_cancellation()
                logger.warning("access state not refreshed: %s", error)
            self.on_change()  # time alone ends access too
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._hurried.wait()
            self._hurried.clear()

    def hurry(self) -> None:
        """Another process has changed something: look now."""
        self._hurried.set()

    def _changed(self) -> None:
        self.on_change()
        self.on_own_change()

    async def refresh(self) -> None:
        """Read what has changed, and write which keys were used."""
        now_ns = time.time_ns()
        changed = select(api_keys).where(api_keys.c.changed_ns >= self._read_ns - OVERLAP_NS)
        ended = select(sessions.c.session_id, sessions.c.revoked_ns).where(
            sessions.c.revoked_ns >= max(self._read_ns - OVERLAP_NS, now_ns - ENDED_KEPT_NS)
        )
        frozen = select(users.c.account_id).where(users.c.frozen_ns.is_not(None))
        factor_on = second_factors.c.confirmed_ns.is_not(None)
        admins = select(users.c.account_id, users.c.username, factor_on).where(users.c.role == "admin")
        admins = admins.outerjoin(second_factors, second_factors.c.account_id == users.c.account_id)
        async with self._engine.connect() as connection:
            for row in await connection.execute(changed):
                self._learn(read_key(row, self._sealer))
            for session_id, revoked_ns in await connection.execute(ended):
                self.ended_sessions[str(session_id)] = revoked_ns
            self.frozen = set((await connection.execute(frozen)).scalars())
            self.admins = {account: Admin(*about) for account, *about in await connection.execute(admins)}
            used, self._used = self._used, {}
            for key_id, used_ns in used.items():
                mine = update(api_keys).where(api_keys.c.key_id == key_id)
                await connection.execute(mine.values(used_ns=used_ns))
        self._read_ns = now_ns
        self._forget(now_ns)
        self.loaded = True

    def _learn(self, key: ApiKey) -> None:
        if key.key_id in self._revoked:  # for ever, whatever an older look at the table says
            return
        self.keys[key.key_id] = key
        if key.revoked_ns is not None:
            self._revoked[key.key_id] = None
            if len(self._revoked) > REVOKED_MAX:
                del self.keys[self._revoked.popitem(last=False)[0]]

    def _forget(self, now_ns: int) -> None:
        for session_id in [known for known, at_ns in self.ended_sessions.items() if at_ns < now_ns - ENDED_KEPT_NS]:
            del self.ended_sessions[session_id]
