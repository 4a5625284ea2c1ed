"""How much of its time this process has to spare, as the system's scheduler knows it.

The time that a thread runs does not tell: on a busy machine a process that wants to run and may not looks idle by it.
Linux counts the time that it waited for a CPU, too (Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat).
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOOK_EVERY_S = 0.25
_SCHEDSTAT = Path("/proc/self/schedstat")  # of the main thread, which the event loop has


def wanted_s() -> float | None:
    """Return the seconds for which the main thread ran or waited for a CPU; None where the system does not count."""
    with suppress(OSError, ValueError):
        ran_ns, waited_ns, _ = map(int, _SCHEDSTAT.read_text().split())
        return (ran_ns + waited_ns) / 1e9
    return None


class Leisure:
    """The part of a moment ago's time that nobody here wanted, but for what one kind of work took. 0 where unknown."""

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        wanted: Callable[[], float | None] = wanted_s,
    ) -> None:
        self._clock = clock
        self._wanted = wanted
        self._at_s = clock()
        self._wanted_s = wanted()
        self._taken_s = 0.0
        self._spare = 0.0

    def take(self, seconds: float) -> None:
        """That kind of work took so much."""
        self._taken_s += seconds

    def spare(self) -> float:
        """Return the part, 0 to 1; it is looked at again every LOOK_EVERY_S."""
        passed_s = self._clock() - self._at_s
        if passed_s >= LOOK_EVERY_S:
            before_s, self._wanted_s = self._wanted_s, self._wanted()
            if before_s is not None and self._wanted_s is not None:
                others_s = self._wanted_s - before_s - self._taken_s
                self._spare = min(max(1 - others_s / passed_s, 0.0), 1.0)
            self._at_s += passed_s
            self._taken_s = 0.0
        return self._spare
