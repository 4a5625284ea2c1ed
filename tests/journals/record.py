"""Record golden journals with the engine as it is: `python -m tests.journals.record FLOW ...` (of `flows.FLOWS`).

What a released engine made of a command is for ever, so an existing file is never replaced. A new layout version gets
new files, named after it.
"""

import subprocess
import sys

from engine.matching import Shard
from engine.records import COMMAND_SIZE, LAYOUT_VERSION
from tests.journals.flows import FLOWS
from tests.support import golden
from tests.support.golden import GoldenJournal, final_state, stops

MARKETS_RECORDED = 3


def record(flow: str, engine_commit: str) -> GoldenJournal:
    """Run a flow through the fast engine and keep all that it said."""
    commands = b"".join(FLOWS[flow].make())
    count = len(commands) // COMMAND_SIZE
    shard, events, digests, snapshots = Shard(), [], [], {}
    at = 0
    for stop in stops(count):
        events.append(shard.apply(commands[at * COMMAND_SIZE : stop * COMMAND_SIZE]))
        digests.append(shard.digest())
        if at < count // 2 <= stop or stop == count:
            snapshots[stop] = shard.snapshot()
        at = stop
    markets = [market for market in range(1, MARKETS_RECORDED + 1) if _is_defined(shard, market)]
    return GoldenJournal(
        name=f"version-{LAYOUT_VERSION}-{flow}",
        description=FLOWS[flow].description,
        layout_version=LAYOUT_VERSION,
        engine_commit=engine_commit,
        commands=commands,
        events=b"".join(events),
        digests=digests,
        snapshots=snapshots,
        final=final_state(shard, markets),
    )


def _is_defined(shard: Shard, market: int) -> bool:
    try:
        shard.book(market)
    except KeyError:
        return False
    return True


def _engine_commit() -> str:
    """The commit whose engine this is. Ends the program when the engine differs from it."""
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "engine"], capture_output=True, text=True, check=True
    )
    if changed.stdout:
        sys.exit(f"commit the engine first, so that the journal can name it:\n{changed.stdout}")
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return head.stdout.strip()


def main(flows: list[str]) -> None:
    unknown = set(flows) - FLOWS.keys()
    if unknown or not flows:
        sys.exit(f"usage: python -m tests.journals.record FLOW ..., of {', '.join(FLOWS)}")
    taken = [path for path in (golden.path_of(f"version-{LAYOUT_VERSION}-{flow}") for flow in flows) if path.exists()]
    if taken:
        sys.exit(f"recorded already, and that is for ever: {', '.join(path.name for path in taken)}")
    commit = _engine_commit()
    for flow in flows:
        journal = record(flow, commit)
        path = golden.write(journal)
        print(f"{path.name}: {journal.count} commands, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
