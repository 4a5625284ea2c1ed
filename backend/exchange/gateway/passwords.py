"""Passwords: argon2id off the event loop, a few at a time."""

import asyncio
import secrets
import unicodedata
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
