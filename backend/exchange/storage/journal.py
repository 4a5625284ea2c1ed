"""The journal store: append a batch in one COPY, read it back, keep snapshots.

The database itself enforces the two things that safety rests on (migration 0002): an append commits only while its
epoch is the lease's, and entries are never changed. One COPY is one statement, one transaction and one round trip.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg
import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.orders.journal import CHAIN_SIZE, sealed_rows
from exchange.storage.database import connect

COLUMNS = ("shard", "sequence", "epoch", "command", "events", "chain")  # as sealed_rows makes them
GENESIS = bytes(CHAIN_SIZE)
FENCED_SQLSTATE = "EX001"
SEQUENCE_MAX = 2**63 - 1
APPEND_TIMEOUT_S = 10.0  # a server that stands still, or that nobody reaches, holds its callers no longer

SNAPSHOT_EVERY = 50_000  # commands; bounds the tail that a start executes again, and a look into the past
SNAPSHOTS_KEPT = 256  # spread evenly over the whole journal; beyond it every second one goes

#: How asyncpg tells that a connection is gone.
#: InternalClientError: the server ended the session between two statements.
BROKEN = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class JournalError(Exception):
    """The journal cannot be appended to or read."""


class Fenced(JournalError):
    """Another leader has taken over: this one's epoch is over and nothing of the batch was committed."""


class AppendFailed(JournalError):
    """The append's outcome is not known: the connection broke before its answer came."""


class JournalCorrupt(JournalError):
    """An entry is not what was appended. ``sequence`` names the first one that is wrong."""

    def __init__(self, sequence: int, what: str) -> None:
        super().__init__(f"journal entry {sequence}: {what}")
        self.sequence = sequence
        self.what = what


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A command record and the event records that it caused. A struct, since one is made for every command."""

    sequence: int
    command: bytes
    events: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of the engine as of a sequence, and the journal's chain there."""

    sequence: int
    state: bytes
    chain: bytes


def seal(chain: bytes, command: bytes, events: bytes) -> bytes:
    """Return the chain value of an entry: a keyed hash over it and, through ``chain``, all entries before.

    A batch that is appended is sealed by ``sealed_rows``.
    """
    return hashlib.blake2b(command + events, digest_size=CHAIN_SIZE, key=chain).digest()


class JournalReader:
    """Reads one shard's journal. Each call uses the given connection alone."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", shard: int) -> None:
        self._connection = connection
        self._shard = shard

    async def head(self) -> tuple[int, bytes]:
        """Return (sequence, chain) of the last entry, (0, GENESIS) for an empty journal."""
        row = await self._connection.fetchrow(
            "SELECT sequence, chain FROM journal WHERE shard = $1 ORDER BY sequence DESC LIMIT 1", self._shard
        )
        return (row["sequence"], row["chain"]) if row else (0, GENESIS)

    async def chain_at(self, sequence: int) -> bytes:
        """Return the chain value of an entry, GENESIS before the first. Raises JournalCorrupt for a missing one."""
        if sequence == 0:
            return GENESIS
        query = "SELECT chain FROM journal WHERE shard = $1 AND sequence = $2"
        chain: bytes | None = await self._connection.fetchval(query, self._shard, sequence)
        if chain is None:
            raise JournalCorrupt(sequence, "is missing")
        return chain

    async def after(self, sequence: int, chain: bytes, limit: int) -> tuple[list[Entry], bytes]:
        """Return at most ``limit`` entries that follow ``sequence``, and the chain at the last of them.

        Raises JournalCorrupt where an entry is missing or its bytes do not fit the chain.
        """
        rows = await self._connection.fetch(
            "SELECT sequence, command, events, chain FROM journal "
            "WHERE shard = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
            self._shard, sequence, limit,
        )  # fmt: skip
        entries = []
        for row in rows:
            sequence += 1
            if row["sequence"] != sequence:
                raise JournalCorrupt(sequence, f"is missing; the next one is {row['sequence']}")
            chain = seal(chain, row["command"], row["events"])
            if chain != row["chain"]:
                raise JournalCorrupt(sequence, "its bytes are not those that were appended")
            entries.append(Entry(sequence, row["command"], row["events"]))
        return entries, chain

    async def latest_snapshot(self, at_most: int = SEQUENCE_MAX) -> Snapshot | None:
        """Return the newest snapshot of no later sequence than ``at_most``, None where there is none."""
        row = await self._connection.fetchrow(
            "SELECT s.sequence, s.state, j.chain FROM snapshots s JOIN journal j USING (shard, sequence) "
            "WHERE s.shard = $1 AND s.sequence <= $2 ORDER BY s.sequence DESC LIMIT 1",
            self._shard, at_most,
        )  # fmt: skip
        return Snapshot(row["sequence"], row["state"], row["chain"]) if row else None


class JournalLeader(JournalReader):
    """The one connection that may append to a shard's journal. Made by a Candidate (lease.py); one call
    at a time."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", shard: int, epoch: int) -> None:
        super().__init__(connection, shard)
        self.epoch = epoch
        self._chain: bytes | None = None
        self._lost = asyncio.Event()
        connection.add_termination_listener(lambda _: self._lost.set())

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    async def lost(self) -> None:
        """Return when the connection, and with it the leadership, is gone."""
        await self._lost.wait()

    def start_after(self, chain: bytes) -> None:
        """Tell the chain value that the next append continues: recovery's last one."""
        self._chain = chain

    async def append(self, entries: Sequence[Entry]) -> None:
        """Append consecutive entries; they are durable when this returns.

        Raises Fenced when another leader has taken over (nothing was committed), AppendFailed when the outcome is not
        known, and JournalError when Postgres refused (nothing was committed).
        """
        if self._chain is None:
            raise JournalError("the journal was not recovered before appending to it")
        rows, chain = sealed_rows(self._shard, self.epoch, entries, self._chain)
        with self._explained():
            await self._connection.copy_to_table(
                "journal",
                source=rows,  # type: ignore[arg-type]  # any buffer, which the stubs do not know
                columns=COLUMNS,
                format="binary",
                timeout=APPEND_TIMEOUT_S,
            )
        self._chain = chain

    async def confirm(self) -> None:
        """Return where the lease is still this leader's. Raises Fenced where it is not, AppendFailed, JournalError."""
        with self._explained():
            query = "SELECT epoch FROM shard_lease WHERE shard = $1"
            epoch = await self._connection.fetchval(query, self._shard, timeout=APPEND_TIMEOUT_S)
        if epoch != self.epoch:
            raise self._fenced()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Tell what asyncpg raises in the journal's own errors."""
        try:
            yield
        except asyncpg.PostgresConnectionError as error:
            raise AppendFailed(f"the connection to the journal broke: {error}") from error
        except asyncpg.PostgresError as error:
            if error.sqlstate == FENCED_SQLSTATE:
                raise self._fenced() from error
            if isinstance(error, asyncpg.OperatorInterventionError):
                raise AppendFailed(f"Postgres is stopping: {error}") from error
            raise JournalError(f"Postgres refused the append: {error}") from error
        except BROKEN as error:
            raise AppendFailed(f"the connection to the journal broke: {error}") from error

    def _fenced(self) -> Fenced:
        return Fenced(f"epoch {self.epoch} of shard {self._shard} is over: another leader has taken over")

    async def close(self) -> None:
        """Give the leadership up."""
        try:
            await self._connection.close(timeout=2)
        except (asyncpg.PostgresError, *BROKEN):
            self._connection.terminate()


async def journal_head(engine: AsyncEngine, shard: int) -> int:
    """Return the sequence of the last entry, 0 for an empty journal."""
    async with engine.connect() as connection:
        return int((await connection.execute(_HEAD, {"shard": shard})).scalar_one())


async def save_snapshot(
    dsn: str, shard: int, sequence: int, digest: int, state: bytes, kept: int = SNAPSHOTS_KEPT
) -> None:
    """Keep a state of the engine, and thin the older ones out. Its journal entry must be durable.

    On a connection of its own, so that no order waits for it. Needs no fence: the state of a sequence is the same
    whoever saves it.
    """
    connection = await connect(dsn, settings={"application_name": f"exchange snapshot {shard}"})
    try:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO snapshots (shard, sequence, digest, state, created_ns) VALUES ($1, $2, $3, $4, $5) "
                "ON CONFLICT DO NOTHING",
                shard, sequence, signed(digest), state, time.time_ns(),
            )  # fmt: skip
            await connection.execute(_THIN_OUT, shard, snapshot_spacing(sequence, kept))
    finally:
        await connection.close()


def snapshot_spacing(sequence: int, kept: int) -> int:
    """How far apart snapshots stay in a journal of this length, so that at most ``kept`` and the newest two do."""
    spacing = SNAPSHOT_EVERY
    while sequence // spacing >= kept:
        spacing *= 2  # those that stay are among those that stayed before
    return spacing


def signed(digest: int) -> int:
    """A digest as the table has it: two's complement."""
    return digest - (digest >> 63 << 64)


_HEAD = text("SELECT coalesce(max(sequence), 0) FROM journal WHERE shard = :shard")

# Of each run of sequences the first one stays; and the newest two, of which the second is there should the first not be
# readable.
_THIN_OUT = """
DELETE FROM snapshots USING (
    SELECT sequence, row_number() OVER (ORDER BY sequence DESC) AS age,
           row_number() OVER (PARTITION BY sequence / $2 ORDER BY sequence) AS place
    FROM snapshots WHERE shard = $1
) AS ranked
WHERE snapshots.shard = $1 AND snapshots.sequence = ranked.sequence AND ranked.age > 2 AND ranked.place > 1
"""
