"""Golden journals: commands, and the events and digests that they caused when recorded, which they cause for ever.

A file is xz-compressed: a JSON text (what it is, and the final state in readable form), a zero byte, then the commands'
records, the events' records, one u64 digest for every `DIGEST_EVERY` commands and one for the end, and the snapshots,
whose sequences and sizes the text gives. All little-endian. `xzcat FILE | head -c 1000` shows what it is.
"""

import json
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.records import COMMAND_SIZE, EVENT_SIZE
from tests.support.engines import Shard

FORMAT = 1
DIGEST_EVERY = 100
FOLDER = Path(__file__).parents[1] / "journals"
SUFFIX = ".journal.xz"


@dataclass(frozen=True)
class GoldenJournal:
    """What one engine made of one flow. `snapshots` are the fast engine's, by sequence; the last is of the end."""

    name: str
    description: str
    layout_version: int
    engine_commit: str
    commands: bytes
    events: bytes
    digests: list[int]
    snapshots: dict[int, bytes]
    final: dict[str, Any]

    @property
    def count(self) -> int:
        """The number of commands, which is the last sequence."""
        return len(self.commands) // COMMAND_SIZE

    def batch(self, after: int, until: int) -> bytes:
        """The commands with the sequences after + 1 ... until."""
        return self.commands[after * COMMAND_SIZE : until * COMMAND_SIZE]

    def digest_at(self, sequence: int) -> int:
        """The digest after this command: a multiple of DIGEST_EVERY, or the last."""
        return self.digests[(sequence - 1) // DIGEST_EVERY]


def stops(count: int) -> list[int]:
    """The sequences whose digests are kept."""
    return [*range(DIGEST_EVERY, count, DIGEST_EVERY), count]


def final_state(shard: Shard, markets: Sequence[int]) -> dict[str, Any]:
    """Books and balances as lists of numbers, as JSON holds them.

    A book's rows are (order_id, account, side, price_ticks, remaining_lots, quantity_lots), a balance is
    (account, asset, available, held).
    """
    return {
        "sequence": shard.sequence,
        "trades": shard.trades,
        "digest": shard.digest(),
        "books": {str(market): [list(row[:6]) for row in shard.book(market)] for market in markets},
        "balances": [[*owner, *amounts] for owner, amounts in sorted(shard.balances().items())],
    }


def path_of(name: str) -> Path:
    return FOLDER / f"{name}{SUFFIX}"


def names() -> list[str]:
    """The recorded journals."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}"))


def write(journal: GoldenJournal) -> Path:
    """Write a new file. Raises FileExistsError for a name that there is: what was recorded stays as it is."""
    text = {
        "format": FORMAT,
        "name": journal.name,
        "description": journal.description,
        "layout_version": journal.layout_version,
        "engine_commit": journal.engine_commit,
        "commands": journal.count,
        "events": len(journal.events) // EVENT_SIZE,
        "snapshots": {str(sequence): len(image) for sequence, image in journal.snapshots.items()},
        "final": journal.final,
    }
    parts = [
        json.dumps(text).encode() + b"\0",
        journal.commands,
        journal.events,
        np.array(journal.digests, "<u8").tobytes(),
        *journal.snapshots.values(),
    ]
    path = path_of(journal.name)
    with path.open("xb") as file:
        file.write(lzma.compress(b"".join(parts), preset=9 | lzma.PRESET_EXTREME))
    return path


def read(name: str) -> GoldenJournal:
    """Read a file of this format. Raises ValueError for another."""
    head, _, body = lzma.decompress(path_of(name).read_bytes()).partition(b"\0")
    text = json.loads(head)
    if text["format"] != FORMAT:
        raise ValueError(f"{name} has format {text['format']}, this reads {FORMAT}")
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        at += size
        return body[at - size : at]

    commands = take(text["commands"] * COMMAND_SIZE)
    events = take(text["events"] * EVENT_SIZE)
    digests = np.frombuffer(take(8 * len(stops(text["commands"]))), "<u8").tolist()
    snapshots = {int(sequence): take(size) for sequence, size in text["snapshots"].items()}
    if at != len(body):
        raise ValueError(f"{name} has {len(body)} bytes behind its text, and the text explains {at}")
    return GoldenJournal(
        name=text["name"],
        description=text["description"],
        layout_version=text["layout_version"],
        engine_commit=text["engine_commit"],
        commands=commands,
        events=events,
        digests=digests,
        snapshots=snapshots,
        final=text["final"],
    )
