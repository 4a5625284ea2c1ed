"""A run of journal entries, as every projection takes it."""

import asyncio
import re
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import asyncpg
from sqlalchemy import Table

from engine.orders.rows import COPY_BEGIN, COPY_END
from engine.orders.state import OrderState
from engine.records import COMMAND_SIZE, EVENT_SIZE, EventKind
from exchange.contracts.events import Event, read_events
from exchange.contracts.transfers import Transfer, transfer_of

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]  # generic in its stubs only
else:
    Connection = asyncpg.Connection
Run = TypeVar("Run", memoryview, list[OrderState], list[int], list[tuple[int, ...]])

# An event costs well below a microsecond in C: so many keep the event loop for two milliseconds at most.
TURN_EVENTS = 2_000
TURN_ROWS = 500  # that Python reads, or gives to a statement
_DEFINITIONS = frozenset(
    (EventKind.ASSET_DEFINED, EventKind.MARKET_DEFINED, EventKind.MARKET_CONFIGURED, EventKind.MODE_CHANGED)
)
# What there is little of, read for everybody.
_RARE = frozenset((*_DEFINITIONS, EventKind.DEPOSITED, EventKind.WITHDRAWN, EventKind.REJECTED, EventKind.FEES_SET))
_RARE_KIND = re.compile(b"[" + re.escape(bytes(sorted(_RARE))) + b"]")


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
    commands: bytes  # one record each
    events: bytes  # the records of all of them, each with the sequence of the command that caused it
    trades: int = 0  # how many of the events are
    rejected: int = 0
    definitions: list[tuple[bytes, Event]] = field(default_factory=list)  # of assets, and what markets became
    transfers: list[Transfer] = field(default_factory=list)
    fees: list[Event] = field(default_factory=list)  # accounts' shares were set

    async def look(self) -> None:
        """Count the trades and refusals, and read what is rare."""
        kinds = self.events[::EVENT_SIZE]
        self.trades, self.rejected = kinds.count(EventKind.TRADED), kinds.count(EventKind.REJECTED)
        rare = [found.start() * EVENT_SIZE for found in _RARE_KIND.finditer(kinds)]
        async for run in in_turns(rare, TURN_ROWS):
            for at in run:
                self._take_rare(*read_events(self.events[at : at + EVENT_SIZE]))

    def _take_rare(self, event: Event) -> None:
        start = (event.sequence - self.first) * COMMAND_SIZE
        command = self.commands[start : start + COMMAND_SIZE]
        if event.kind in _DEFINITIONS:
            self.definitions.append((command, event))
        elif event.kind == EventKind.FEES_SET:
            self.fees.append(event)
        elif (transfer := transfer_of(command, event)) is not None:
            self.transfers.append(transfer)

    async def turns(self) -> AsyncIterator[memoryview]:
        """Yield the events in runs of whole commands, and let the event loop serve others in between."""
        events, start = memoryview(self.events), 0
        while start < len(events):
            end = self._end_of_command(start + TURN_EVENTS * EVENT_SIZE)
            yield events[start:end]
            start = end
            await asyncio.sleep(0)

    def _end_of_command(self, at: int) -> int:
        """Where the command ends whose event is before a place among the events; the end beyond them."""
        if at >= len(self.events):
            return len(self.events)
        count = len(self.events) // EVENT_SIZE
        last = self._sequence_of(at // EVENT_SIZE - 1)
        return EVENT_SIZE * bisect_right(range(count), last, lo=at // EVENT_SIZE, key=self._sequence_of)

    def _sequence_of(self, number: int) -> int:
        return int.from_bytes(self.events[number * EVENT_SIZE + 8 : number * EVENT_SIZE + 16], "little")

    async def rows(self, rows_of: Callable[[int, memoryview], bytes]) -> AsyncIterator[bytes]:
        """Yield what a function makes of the shard and runs of the events."""
        async for events in self.turns():
            yield rows_of(self.shard, events)

    async def rows_with_commands(self, rows_of: Callable[[int, int, bytes, memoryview], bytes]) -> AsyncIterator[bytes]:
        """As ``rows``; the function takes the first entry and the commands too."""
        async for events in self.turns():
            yield rows_of(self.shard, self.first, self.commands, events)


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
    first, last = after + 1, rows[-1]["sequence"]
    if last - after != len(rows):
        raise ProjectionError(f"the journal of shard {shard} has a gap between entries {first} and {last}")
    entries = Slice(shard, first, last, b"".join([row[1] for row in rows]), b"".join([row[2] for row in rows]))
    await entries.look()
    return entries


async def in_turns(items: Run, count: int) -> AsyncIterator[Run]:
    """Yield a sequence in runs of at most ``count``, and let the event loop serve others in between."""
    for start in range(0, len(items), count):
        yield items[start : start + count]
        await asyncio.sleep(0)


async def copy_rows(connection: Connection, table: str, columns: Sequence[str], rows: AsyncIterator[bytes]) -> None:
    """COPY rows, made by engine/orders, into a table."""
    await connection.copy_to_table(table, source=_stream(rows), columns=columns, format="binary")


async def _stream(made: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    begin = COPY_BEGIN
    async for rows in made:
        yield begin + rows
        begin = b""
    yield begin + COPY_END
