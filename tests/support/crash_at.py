"""`exchange` that kills itself: python -m tests.support.crash_at STEP:N serve ... dies at the N-th passage of a step.

kill -9 by the process itself, in the middle of the real thing: between two instructions of the path of an order that no
killer from outside would ever hit. The product has no such switch; here its own methods are wrapped.
"""

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from exchange.cli.main import cli
from exchange.corridor import corridor as corridor_module
from exchange.corridor.corridor import Corridor
from exchange.corridor.replica import Replica
from exchange.corridor.writer import Writer
from exchange.storage.journal import JournalLeader
from exchange.storage.lease import Candidate
from exchange.storage.store import PostgresStore

#: Where: the class, its method, and whether before or after it.
STEPS: dict[str, tuple[type, str, str]] = {
    "before-apply": (Writer, "_apply", "before"),
    "after-apply": (Writer, "_apply", "after"),
    "before-append": (JournalLeader, "append", "before"),
    "after-append": (JournalLeader, "append", "after"),
    "before-publish": (Corridor, "_committed", "before"),
    "before-answers": (Corridor, "_committed", "after"),
    "after-answers": (Writer, "_process", "after"),
    "before-snapshot": (PostgresStore, "save_snapshot", "before"),
    "after-snapshot": (PostgresStore, "save_snapshot", "after"),
    "before-lead": (Candidate, "take_lead", "before"),
    "after-lead": (Candidate, "take_lead", "after"),
    "in-recovery": (Replica, "_begin_from", "before"),
    "after-recovery": (Replica, "catch_up", "after"),
}
AT_START = ("before-lead", "after-lead", "in-recovery", "after-recovery")  # before it takes orders
SNAPSHOT_EVERY = 40  # commands, that a snapshot be among the steps


def crash_at(step: str, passages: int) -> None:
    """Let this process die at a step."""
    owner, name, where = STEPS[step]
    method = getattr(owner, name)
    left = passages

    def passing(moment: str) -> None:
        nonlocal left
        if moment == where:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, _wrapped(method, passing))


def _wrapped(method: Callable[..., Any], passing: Callable[[str], None]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def awaited(*arguments: Any, **named: Any) -> Any:
            passing("before")
            result = await method(*arguments, **named)
            passing("after")
            return result

        return awaited

    @functools.wraps(method)
    def called(*arguments: Any, **named: Any) -> Any:
        passing("before")
        result = method(*arguments, **named)
        passing("after")
        return result

    return called


if __name__ == "__main__":
    step, _, passages = sys.argv.pop(1).partition(":")
    corridor_module.SNAPSHOT_EVERY = SNAPSHOT_EVERY
    crash_at(step, int(passages))
    cli()
