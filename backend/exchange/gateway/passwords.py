"""Passwords: argon2id off the event loop, a few at a time; and how many attempts at one are allowed."""

import asyncio
import secrets
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from exchange.contracts.refusals import EdgeReason, refuse

Result = TypeVar("Result")

#: OWASP's second choice of parameters: 19 MiB, two passes, about 20 ms of a core.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
CONCURRENT_HASHES = 2
WAITING_HASHES_MAX = 128  # at the bound: refused with OVERLOADED


class PasswordHashing:
    """Hashes and verifies in a small thread pool: at most CONCURRENT_HASHES at once, WAITING_HASHES_MAX under way."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(CONCURRENT_HASHES, thread_name_prefix="argon2")
        self._under_way = 0
        # What an unknown user's password is checked against, so that the answer takes as long as a known one's.
        self._nobody = HASHER.hash(secrets.token_urlsafe(32))

    async def hash(self, password: str) -> str:
        """Return the encoded argon2id hash. Raises Refused OVERLOADED."""
        return await self._run(HASHER.hash, _normal(password))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Return whether a password fits a hash; with None it never does, after the same work.

        Raises Refused OVERLOADED.
        """
        fits = await self._run(_fits, encoded or self._nobody, _normal(password))
        return fits and encoded is not None

    def needs_rehash(self, encoded: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return HASHER.check_needs_rehash(encoded)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[..., Result], *args: str | bytes) -> Result:
        if self._under_way >= WAITING_HASHES_MAX:
            raise refuse(
                EdgeReason.OVERLOADED, "too many people are signing in at once; try again in a moment", retry_after_s=2
            )
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
        finally:
            self._under_way -= 1


def _normal(password: str) -> bytes:
    # The same password typed on another keyboard may arrive as other code points (NIST SP 800-63B).
    return unicodedata.normalize("NFKC", password).encode()


def _fits(encoded: str, password: bytes) -> bool:
    try:
        return HASHER.verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False


class AttemptLimit:
    """A token bucket a key: ``burst`` attempts at once, then one every ``interval_s`` seconds.

    At most ``keys_max`` keys are remembered; at the bound the one that was used longest ago is forgotten.
    """

    def __init__(
        self, burst: int, interval_s: float, keys_max: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._interval_s = interval_s
        self._keys_max = keys_max
        self._clock = clock
        # key -> when its bucket is full again: one number says all
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one attempt and return 0, or return in how many seconds the next one is there."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + self._interval_s
        wait_s = full_at - now - self._burst * self._interval_s
        if wait_s > 1e-9:
            return wait_s
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._keys_max:
            self._full_at.popitem(last=False)
        return 0.0

    def give_back(self, key: str) -> None:
        """Undo a ``take``: the attempt was a good one."""
        if key in self._full_at:
            self._full_at[key] -= self._interval_s
