"""Who leads a shard: a lock that goes with its holder's connection, an epoch that fences, and a lease by time.

lock      a session advisory lock: a leader that dies gives it up at once
epoch     grows with every leader; the journal takes entries of the newest alone (migration 0002)
renewal   a leader that stands still (paused, cut off, its machine gone) keeps its connection and so its lock: once
          it has not renewed for LAPSED_S, who stands by ends its session. Should it wake up, its epoch is over.
"""

import asyncio
import time
from typing import NoReturn

import asyncpg

from exchange.storage.database import connect, describe
from exchange.storage.journal import BROKEN, Fenced, JournalError, JournalLeader, JournalReader

RENEW_EVERY_S = 0.5
LAPSED_S = 3.5  # as the database's clock tells it: no other clock is asked

#: Session advisory locks, (class, shard): who holds it leads.
_LOCK_CLASS = 0x45584C44

_RAISE_EPOCH = """
INSERT INTO shard_lease AS lease (shard, epoch, holder, acquired_ns) VALUES ($1, 1, $2, $3)
ON CONFLICT (shard) DO UPDATE SET epoch = lease.epoch + 1, holder = $2, acquired_ns = $3 RETURNING epoch
"""
# A table of its own: an append shares the lock of its lease's row, and no renewal may make it wait.
_BEGIN_RENEWALS = """
INSERT INTO lease_renewals (shard, epoch, renewed_at) VALUES ($1, $2, clock_timestamp())
ON CONFLICT (shard) DO UPDATE SET epoch = $2, renewed_at = clock_timestamp()
"""
_RENEW = "UPDATE lease_renewals SET renewed_at = clock_timestamp() WHERE shard = $1 AND epoch = $2"
_END_LAPSED = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = $1 AND objid = $2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND EXISTS (SELECT FROM lease_renewals WHERE shard = $2
              AND renewed_at < clock_timestamp() - make_interval(secs => $3))
"""


class Candidate(JournalReader):
    """A connection that reads a shard's journal and may come to lead it. Made by ``stand``."""

    async def take_lead(self, holder: str) -> JournalLeader | None:
        """Take the lock, and a new epoch that fences every leader before; None while another process leads.

        The leader goes on with this connection. Raises JournalError.
        """
        try:
            async with self._connection.transaction():
                if not await self._connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", _LOCK_CLASS, self._shard):
                    return None
                epoch = await self._connection.fetchval(_RAISE_EPOCH, self._shard, holder, time.time_ns())
                await self._connection.execute(_BEGIN_RENEWALS, self._shard, epoch)
        except (asyncpg.PostgresError, *BROKEN) as error:
            self._connection.terminate()
            raise JournalError(f"cannot take the lead of shard {self._shard}: {error}") from error
        return JournalLeader(self._connection, self._shard, epoch)

    async def end_lapsed_leader(self) -> bool:
        """End the session of a leader that has not renewed its lease for LAPSED_S, and return whether there was one."""
        return bool(await self._connection.fetch(_END_LAPSED, _LOCK_CLASS, self._shard, LAPSED_S))

    async def close(self) -> None:
        """Stand no more."""
        try:
            await self._connection.close(timeout=2)
        except (asyncpg.PostgresError, *BROKEN):
            self._connection.terminate()


async def stand(dsn: str, shard: int) -> Candidate:
    """Connect to follow a shard's journal and to lead it one day. Raises DatabaseUnreachable."""
    settings = {"application_name": f"exchange leader {shard}", "tcp_keepalives_idle": "5"}
    return Candidate(await connect(dsn, settings=settings), shard)


async def keep_renewing(dsn: str, shard: int, epoch: int) -> NoReturn:
    """Renew the lease of an epoch until cancelled.

    Raises Fenced once it is another's, DatabaseUnreachable, JournalError.
    """
    # Losing a renewal in a crash of Postgres costs nothing: the leader's session and its lock go with it.
    settings = {"application_name": f"exchange lease {shard}", "synchronous_commit": "off"}
    connection = await connect(dsn, settings=settings)
    try:
        while True:
            if await connection.execute(_RENEW, shard, epoch, timeout=LAPSED_S) != "UPDATE 1":
                raise Fenced(f"epoch {epoch} of shard {shard} is over: another leader has taken over")
            await asyncio.sleep(RENEW_EVERY_S)
    except (asyncpg.PostgresError, *BROKEN) as error:
        raise JournalError(f"the lease cannot be renewed at {describe(dsn)}: {error}") from error
    finally:
        connection.terminate()
