"""Two engines side by side on one flow: where they part, and the smallest flow found that still parts them."""

import difflib
from collections.abc import Sequence

from tests.support.commands import split_commands
from tests.support.engines import Shard
from tests.support.flow import Step, stamped
from tests.support.scenario import run_scenario, write_scenario

_TRIALS_MAX = 300

Engine = type[Shard]


def parting_step(steps: Sequence[Step], left: Engine, right: Engine, batch_sizes: Sequence[int]) -> int | None:
    """How many steps it takes until events or digests differ, None if they never do.

    The steps are applied in batches of these sizes, over and over. A batch on which the engines part is searched one
    by one; if they part only on the whole batch, its end is the answer.
    """
    one, other = left(), right()
    batch = stamped(steps)
    at = turn = 0
    while at < len(batch):
        size = batch_sizes[turn % len(batch_sizes)]
        together = b"".join(batch[at : at + size])
        if one.apply(together) != other.apply(together) or one.digest() != other.digest():
            return _parting_command(batch, at, min(at + size, len(batch)), left, right)
        at, turn = at + size, turn + 1
    return None


def _parting_command(batch: list[bytes], start: int, end: int, left: Engine, right: Engine) -> int:
    one, other = left(), right()
    one.apply(b"".join(batch[:start]))
    other.apply(b"".join(batch[:start]))
    for at in range(start, end):
        if one.apply(batch[at]) != other.apply(batch[at]) or one.digest() != other.digest():
            return at + 1
    return end


def shrink(steps: Sequence[Step], left: Engine, right: Engine) -> list[Step]:
    """Fewer steps after which the engines still differ: ever smaller pieces are left out, in at most 300 trials."""
    kept, trials = list(steps), 0
    piece = len(kept) // 2
    while piece and trials < _TRIALS_MAX:
        at = 0
        while at < len(kept) and trials < _TRIALS_MAX:
            fewer = kept[:at] + kept[at + piece :]
            trials += 1
            if _differ(fewer, left, right):
                kept = fewer
            else:
                at += piece
        piece //= 2
    return kept


def _differ(steps: Sequence[Step], left: Engine, right: Engine) -> bool:
    one, other = left(), right()
    together = b"".join(stamped(steps))
    return one.apply(together) != other.apply(together) or one.digest() != other.digest()


def explain(steps: Sequence[Step], left: Engine, right: Engine) -> str:
    """The steps as a scenario with the answers of both engines."""
    scenario = write_scenario(split_commands(b"".join(stamped(steps))))
    one, other = (run_scenario(scenario, engine).splitlines() for engine in (left, right))
    difference = "\n".join(difflib.unified_diff(one, other, "the one", "the other", n=1_000, lineterm=""))
    return difference or f"(only when applied as one batch)\n{scenario}"


def assert_alike(steps: Sequence[Step], left: Engine, right: Engine, batch_sizes: Sequence[int]) -> None:
    """Both engines cause the same events and reach the same digests; else AssertionError with a short scenario."""
    parted = parting_step(steps, left, right, batch_sizes)
    if parted is not None:
        shortest = shrink(steps[:parted], left, right)
        raise AssertionError(f"the engines part at step {parted}:\n{explain(shortest, left, right)}")
