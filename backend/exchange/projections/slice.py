"""A run of journal entries, decoded once for every projection that takes it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import asyncpg
from sqlalchemy import Table

from engine.records import EventKind
from exchange.contracts.events import Event, read_events
from exchange.contracts.transfers import Transfer, transfer_of

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]  # generic in its stubs only
else:
    Connection = asyncpg.Connection
Item = TypeVar("Item")

# An event costs a projection at most some 30 microseconds: so many keep the event loop for two milliseconds.
TURN_EVENTS = 64
_DEFINITIONS = frozenset(
    (EventKind.ASSET_DEFINED, EventKind.MARKET_DEFINED, EventKind.MARKET_CONFIGURED, EventKind.MODE_CHANGED)
)


class ProjectionError(Exception):
    """The journal is not what a projection can be made of. Trying again would not help."""


class Projection(Protocol):
    """Tables that follow from the journal."""

    @property
    def name(self) -> str: ...

    @property
    def tables(self) -> tuple[Table, ...]: ...

    async def write(self, connection: Connection, entries: "Slice") -> None:
        """Bring the tables from the entry before the slice to its last one, in the caller's transaction."""

    def forget(self) -> None:
        """Drop what was kept in memory: the tables may have changed."""


@dataclass(slots=True)
class Slice:
    """Entries ``first`` to ``last`` of a shard's journal, without a gap."""

    shard: int
    first: int
    last: int
    events: list[tuple[bytes, Event]] = field(default_factory=list)  # with the command that caused it
    trades: list[Event] = field(default_factory=list)
    definitions: list[tuple[bytes, Event]] = field(default_factory=list)  # of assets, and what markets became
    transfers: list[Transfer] = field(default_factory=list)
    fees: list[Event] = field(default_factory=list)  # accounts' shares were set

    def take(self, command: bytes, events: bytes) -> None:
        """Add the next entry."""
        for event in read_events(events):
            self.events.append((command, event))
            if event.kind == EventKind.TRADED:
                self.trades.append(event)
            elif event.kind in _DEFINITIONS:
                self.definitions.append((command, event))
            elif event.kind == EventKind.FEES_SET:
                self.fees.append(event)
            elif (transfer := transfer_of(command, event)) is not None:
                self.transfers.append(transfer)


async def read_slice(connection: Connection, shard: int, after: int, upto: int | None, limit: int) -> Slice | None:
    """Return the entries after sequence ``after``, at most ``limit`` and none beyond ``upto``; None if there are none.

    Raises ProjectionError when an entry is missing.
    """
    rows = await connection.fetch(
        "SELECT sequence, command, events FROM journal"
        " WHERE shard = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence LIMIT $4",
        shard, after, 2**63 - 1 if upto is None else upto, limit,
    )  # fmt: skip
    if not rows:
        return None
    entries = Slice(shard, after + 1, rows[-1]["sequence"])
    if entries.last - after != len(rows):
        raise ProjectionError(f"the journal of shard {shard} has a gap between entries {after + 1} and {entries.last}")
    async for batch in in_turns(rows):
        for _, command, events in batch:
            entries.take(command, events)
    return entries


async def in_turns(items: Sequence[Item]) -> AsyncIterator[Sequence[Item]]:
    """Yield the items in short runs and let the event loop serve others in between."""
    for start in range(0, len(items), TURN_EVENTS):
        yield items[start : start + TURN_EVENTS]
        await asyncio.sleep(0)


NULL = "\\N"  # as COPY reads it
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_text(text: str | None) -> str:
    """Return a text or NULL as COPY reads it."""
    return NULL if text is None else text.translate(_ESCAPED)
