"""Rate limits: how much a key, or an account's sessions, may ask for.

Two budgets each: requests, and cancels (mass cancels too), which no order can use up. A budget is a token bucket that
holds two seconds' worth. The headers are those of draft-ietf-httpapi-ratelimit-headers-06, the last draft that has
RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset as fields of their own.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol

BudgetName = Literal["requests", "cancels"]
BURST_S = 2
SUBJECTS_MAX = 50_000


class Budget(NamedTuple):
    """What is left. ``limit`` and ``remaining``: weights; ``full_s``: seconds until all of it is there again;

    ``wait_s``: 0 when the request was paid for, else in how many seconds it could be.
    """

    limit: int
    remaining: int
    full_s: float
    wait_s: float

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The three headers: RateLimit-Reset counts whole seconds from now."""
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % math.ceil(self.full_s)),
        ]


class RateLimits(Protocol):
    """Where budgets are kept.

    It answers at once, for every order asks: what several processes share has to be fetched ahead, in portions.
    """

    def take(self, subject: int | str, name: BudgetName, weight: int) -> Budget:
        """Pay for a request, or say how long to wait. Weight 0 only looks; what weighs more than all weighs all."""


class LocalRateLimits:
    """Budgets in this process's memory.

    At most ``subjects_max`` are remembered; at the bound the one that was used longest ago is forgotten, and has its
    whole budget again.
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
        # (subject, budget) -> when the bucket is full again: one number says all
        self._full_at: OrderedDict[tuple[int | str, BudgetName], float] = OrderedDict()

    def take(self, subject: int | str, name: BudgetName, weight: int) -> Budget:
        per_s = self._per_s[name]
        now = self._clock()
        entry = (subject, name)
        full_at = max(self._full_at.get(entry, now), now)
        after = full_at + min(weight / per_s, BURST_S)
        wait_s = after - now - BURST_S
        if wait_s > 1e-9:
            after = full_at
        else:
            wait_s = 0.0
            self._remember(entry, after)
        full_s = after - now
        return Budget(BURST_S * per_s, int((BURST_S - full_s) * per_s + 1e-6), full_s, wait_s)

    def _remember(self, entry: tuple[int | str, BudgetName], full_at: float) -> None:
        self._full_at[entry] = full_at
        self._full_at.move_to_end(entry)
        if len(self._full_at) > self._subjects_max:
            self._full_at.popitem(last=False)
