"""How many attempts at a secret are allowed: token buckets in Postgres, the same for all processes of an exchange."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from exchange.storage.database import DatabaseUnreachable, heed_cancellation
from exchange.storage.tables import attempts

ROWS_MAX = 100_000
TIDY_S = 60.0
SECOND_NS = 1_000_000_000

logger = logging.getLogger("exchange.auth")


@dataclass(frozen=True, slots=True)
class Allowance:
    """``burst`` attempts at once, then one every ``interval_s`` seconds."""

    name: str
    burst: int
    interval_s: int


class Attempts:
    """Counts attempts by subject. Subjects are kept as hashes: what people tried need not be written down.

    A bucket that is whole again is deleted; at ``rows_max`` those go first that would be whole soonest.
    """

    def __init__(
        self, engine: AsyncEngine, rows_max: int = ROWS_MAX, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._rows_max = rows_max
        self._clock_ns = clock_ns

    async def take(self, allowance: Allowance, subject: str) -> float:
        """Take one attempt and return 0, or return in how many seconds the next one is there."""
        now_ns, interval_ns = self._clock_ns(), allowance.interval_s * SECOND_NS
        hashed = _hash(allowance, subject)
        first = upsert(attempts).values(subject=hashed, full_at_ns=now_ns + interval_ns)
        full_at_ns = func.greatest(attempts.c.full_at_ns, now_ns) + interval_ns
        taking = first.on_conflict_do_update(
            index_elements=[attempts.c.subject],
            set_={"full_at_ns": full_at_ns},
            where=full_at_ns <= now_ns + allowance.burst * interval_ns,
        ).returning(attempts.c.full_at_ns)
        async with self._engine.connect() as connection:
            if (await connection.execute(taking)).first() is not None:
                return 0.0
            stands = select(attempts.c.full_at_ns).where(attempts.c.subject == hashed)
            known_ns: int | None = await connection.scalar(stands)
        over_ns = (known_ns or now_ns) - now_ns - (allowance.burst - 1) * interval_ns
        return max(over_ns / SECOND_NS, 0.001)

    async def give_back(self, allowance: Allowance, subject: str) -> None:
        """Undo a ``take``: the attempt was a good one."""
        mine = attempts.c.subject == _hash(allowance, subject)
        less = attempts.c.full_at_ns - allowance.interval_s * SECOND_NS
        async with self._engine.connect() as connection:
            await connection.execute(update(attempts).where(mine).values(full_at_ns=less))

    async def run(self) -> None:
        """Tidy every TIDY_S seconds until cancelled."""
        while True:
            await asyncio.sleep(TIDY_S)
            try:
                await self.tidy()
            except (DatabaseUnreachable, SQLAlchemyError, OSError) as error:
                heed_cancellation()
                logger.warning("attempts not tidied: %s", error)

    async def tidy(self) -> None:
        """Delete what is whole again, and what is beyond the bound."""
        async with self._engine.connect() as connection:
            await connection.execute(delete(attempts).where(attempts.c.full_at_ns <= self._clock_ns()))
            rows = await connection.scalar(select(func.count()).select_from(attempts)) or 0
            if rows > self._rows_max:
                soonest = select(attempts.c.subject).order_by(attempts.c.full_at_ns).limit(rows - self._rows_max)
                await connection.execute(delete(attempts).where(attempts.c.subject.in_(soonest)))


def _hash(allowance: Allowance, subject: str) -> bytes:
    return hashlib.sha256(f"{allowance.name}:{subject}".encode()).digest()
