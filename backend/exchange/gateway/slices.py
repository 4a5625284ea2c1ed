"""Long work on the loop in slices, with pauses in which everybody else has it."""

import asyncio
import time
from collections.abc import Iterator

SLICE_S = 0.0001  # so much later an order is, and a step; it comes through the loop some five times
PACE = 0.2  # of the time that the work takes, for its slices
CLOCK_S = 0.001  # the loop's clock has milliseconds: shorter pauses are added up until they are as long
CREDIT_S = 0.02  # of sleep that was longer than asked for: so much is made up for


async def take(steps: Iterator[object]) -> float:
    """Take steps to their end; return the seconds that all slices took. A slice ends with the step that exceeds it."""
    took_s = owed_s = 0.0
    while True:
        begun = time.perf_counter()
        more = _slice(steps)
        ended = time.perf_counter()
        took_s += ended - begun
        if not more:
            return took_s
        owed_s += (ended - begun) * (1 / PACE - 1)
        await asyncio.sleep(owed_s if owed_s > CLOCK_S else 0)
        owed_s = max(owed_s - (time.perf_counter() - ended), -CREDIT_S)


def _slice(steps: Iterator[object]) -> bool:
    """Take steps for a slice of time; return whether there may be more."""
    until = time.perf_counter() + SLICE_S
    return any(time.perf_counter() >= until for _ in steps)
