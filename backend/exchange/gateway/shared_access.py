"""What API processes tell each other so that they admit as one: what was spent of budgets, and signatures taken.

Each decides at once by what it knows, and tells the others every TELL_EVERY_S. So a key or an account may overspend by
what it gets through other processes within that time, and a recorded request be played again to another process only
within it. While Redis is away each process is on its own.
"""

import asyncio
import secrets
from collections import Counter
from contextlib import suppress
from typing import NoReturn

import msgspec

from exchange.cluster.channels import Channels
from exchange.cluster.messages import NotUnderstood, decoder, encode
from exchange.cluster.relay import Relay
from exchange.gateway.rate_limits import Budget, BudgetName, RateLimits
from exchange.gateway.signatures import SeenFull, Signatures

TELL_EVERY_S = 0.05


class Spending(msgspec.Struct, array_like=True, frozen=True):
    """``spent``: (whose budget, its name, weight); ``signatures``: (signature, Unix milliseconds it is good until)."""

    sender: str
    spent: list[tuple[int | str, BudgetName, int]]
    signatures: list[tuple[bytes, int]]


_read = decoder(Spending)


class SharedAccess:
    """The budgets and the taken signatures of one API process among others. ``run`` beside it."""

    def __init__(self, relay: Relay, shard: int, limits: RateLimits, seen: Signatures) -> None:
        self._relay = relay
        self._channel = Channels(shard).spending
        self._sender = secrets.token_hex(8)
        self._limits = limits
        self._seen = seen
        self._spent: Counter[tuple[int | str, BudgetName]] = Counter()
        self._taken: list[tuple[bytes, int]] = []

    def take(self, subject: int | str, name: BudgetName, weight: int) -> Budget:
        """Pay for a request, or say how long to wait."""
        left = self._limits.take(subject, name, weight)
        if weight and not left.wait_s:
            self._spent[subject, name] += weight
        return left

    def spend(self, subject: int | str, name: BudgetName, weight: int) -> None:
        """Take what was paid for elsewhere."""
        self._limits.spend(subject, name, weight)

    def first_time(self, signature: bytes, good_until_ms: int) -> bool:
        """Remember a signature; False where this process or another one took it before. Raises SeenFull."""
        if not self._seen.first_time(signature, good_until_ms):
            return False
        self._taken.append((signature, good_until_ms))
        return True

    async def run(self) -> NoReturn:
        """Tell and hear until cancelled."""
        await self._relay.listen({self._channel: self._hear})
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            if self._spent or self._taken:
                self._tell()

    def _tell(self) -> None:
        spent = [(subject, name, weight) for (subject, name), weight in self._spent.items()]
        taken, self._taken = self._taken, []
        self._spent.clear()
        self._relay.speak(self._channel, encode(Spending(self._sender, spent, taken)))

    def _hear(self, message: bytes) -> None:
        with suppress(NotUnderstood):
            told = _read(message)
            if told.sender == self._sender:
                return
            for subject, name, weight in told.spent:
                self._limits.spend(subject, name, weight)
            for signature, good_until_ms in told.signatures:
                with suppress(SeenFull):
                    self._seen.first_time(signature, good_until_ms)
