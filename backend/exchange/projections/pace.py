"""When the tables make way: orders are taken first, and what was not followed in a burst is followed after it.

Tables that keep up with the journal never rest. Where it grows faster than they follow, as when batches come at full
speed, they rest as long as each slice took, so that the machine that both share belongs to orders for half of the time;
but not while somebody waits for them (runner.py), nor once they are BURST_LAG_MAX behind.
"""

import time
from collections.abc import Callable

BURST_LAG_MAX = 250_000  # entries; they are caught up with in some ten seconds


class Pace:
    """How fast the journal grows beside what was made of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end: int | None = None  # of the journal, at the last look
        self._looked_s = 0.0

    def rest_s(self, entries: int, took_s: float, reached: int, end: int) -> float:
        """Return how long to rest after a slice of ``entries`` that ``took_s`` and led to ``reached``.

        ``end``: where the journal ends now.
        """
        now_s = self._clock()
        before, self._end = self._end, end
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        if before is None or end - reached > BURST_LAG_MAX:
            return 0.0
        is_a_burst = (end - before) * took_s > entries * passed_s
        return took_s if is_a_burst else 0.0
