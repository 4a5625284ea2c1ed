"""Rate limits: how much a key, or an account's sessions, may ask for.

Two budgets each: requests, and cancels (mass cancels too), which no order can use up. A budget is a token bucket that
holds two seconds' worth. The headers are those of draft-ietf-httpapi-ratelimit-headers-06, the last draft that has
RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset as fields of their own.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

BudgetName = Literal["requests", "cancels"]
BURST_S = 2
SUBJECTS_MAX = 50_000


class Budget(msgspec.Struct, frozen=True, gc=False):
    """What is left of ``per_s`` a second. ``full_s``: seconds until all of it is there again; ``wait_s``: 0 when the
    request was paid for, else in how many seconds it could be. A struct, since one is made for every order.
    """

    per_s: int
    full_s: float
    wait_s: float

    @property
    def limit(self) -> int:
        return BURST_S * self.per_s

    @property
    def remaining(self) -> int:
        return self.told()[1]

    def told(self) -> tuple[int, int, int]:
        """What is told of it: the limit, what remains, and in how many seconds all of it is there again."""
        per_s, full_s = self.per_s, self.full_s
        return BURST_S * per_s, int((BURST_S - full_s) * per_s + 1e-6), math.ceil(full_s)

    def document(self) -> dict[str, int]:
        """What the headers tell, for a message on a stream."""
        limit, remaining, reset = self.told()
        return {"limit": limit, "remaining": remaining, "reset": reset}

    def lines(self) -> bytes:
        """The three headers as they are sent."""
        return b"ratelimit-limit: %d\r\nratelimit-remaining: %d\r\nratelimit-reset: %d\r\n" % self.told()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The three headers: RateLimit-Reset counts whole seconds from now."""
        names = (b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset")
        return [(name, b"%d" % number) for name, number in zip(names, self.told(), strict=True)]


class RateLimits(Protocol):
    """Where budgets are kept.

    It answers at once, for every order asks: what several processes share they tell each other afterwards.
    """

    def take(self, subject: int | str, name: BudgetName, weight: int) -> Budget:
        """Pay for a request, or say how long to wait. Weight 0 only looks; what weighs more than all weighs all."""

    def spend(self, subject: int | str, name: BudgetName, weight: int) -> None:
        """Take what was paid for elsewhere. A budget is never emptier than empty."""


class LocalRateLimits:
    """Budgets in this process's memory.

    At most ``subjects_max`` of each are remembered. At the bound those that are whole again are forgotten, which loses
    nothing; where there is none, the one that was made first is, and is whole again.
    """

    def __init__(
        self,
        per_s: Mapping[BudgetName, int],
        subjects_max: int = SUBJECTS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = dict(per_s)
        self._subjects_max = subjects_max
        self._clock = clock
        # When a bucket is full again: one number says all.
        self._full_at: dict[BudgetName, dict[int | str, float]] = {name: {} for name in per_s}

    def take(self, subject: int | str, name: BudgetName, weight: int) -> Budget:
        per_s, full_at = self._per_s[name], self._full_at[name]
        now = self._clock()
        full_s = full_at.get(subject, now) - now
        if full_s < 0.0:
            full_s = 0.0
        cost_s = weight / per_s
        after_s = full_s + (cost_s if cost_s < BURST_S else BURST_S)
        if after_s > BURST_S + 1e-9:
            return Budget(per_s, full_s, after_s - BURST_S)
        if subject not in full_at and len(full_at) >= self._subjects_max:
            self._make_room(full_at, now)
        full_at[subject] = now + after_s
        return Budget(per_s, after_s, 0.0)

    def spend(self, subject: int | str, name: BudgetName, weight: int) -> None:
        """Take what was paid for elsewhere. A budget is never emptier than empty."""
        per_s, full_at = self._per_s[name], self._full_at[name]
        now = self._clock()
        if subject not in full_at and len(full_at) >= self._subjects_max:
            self._make_room(full_at, now)
        full_at[subject] = min(max(full_at.get(subject, now), now) + weight / per_s, now + BURST_S)

    def _make_room(self, full_at: dict[int | str, float], now: float) -> None:
        for subject in [subject for subject, at in full_at.items() if at <= now]:
            del full_at[subject]
        if len(full_at) >= self._subjects_max:
            del full_at[next(iter(full_at))]
