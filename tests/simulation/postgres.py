"""A Postgres in memory that has one shard, and fails as a server, a disk and a connection can.

What is committed stays. Everything else may be lost: a statement whose session ends before it is executed, an answer
on its way back, and, when the server crashes, the latest of the tables, which are written without waiting for the disk.
A statement runs on the server, not in the process that sent it: it may commit after that one was killed.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import NoReturn

import asyncpg

from engine.records import EventKind
from exchange.contracts.events import read_events
from exchange.contracts.order_state import Fill, OrderState
from exchange.storage.database import DatabaseUnreachable
from exchange.storage.journal import (
    GENESIS,
    SEQUENCE_MAX,
    AppendFailed,
    Entry,
    Fenced,
    JournalCorrupt,
    JournalError,
    Snapshot,
    seal,
)
from exchange.storage.lease import LAPSED_S, RENEW_EVERY_S
from exchange.storage.queries import Rejection
from exchange.storage.term import TablesApart
from tests.simulation.folded import Folded
from tests.simulation.loop import RUNS_IN, Process, check_alive


@dataclass(frozen=True)
class Row:
    """A row of the journal, and which epoch had the lease when it was committed."""

    entry: Entry
    epoch: int
    chain: bytes
    lease_epoch: int
    at: float  # when it was committed


@dataclass(eq=False)
class Session:
    """A connection of a process that stands for the lead. ``epoch``: 0 until it leads."""

    process: Process | None
    epoch: int = 0
    open: bool = True  # as the server has it
    lost: asyncio.Event = field(default_factory=asyncio.Event)  # as the client has it


class Postgres:
    """The server. ``rng`` decides how long everything takes."""

    fenced = True  # by the trigger of the journal: a mutant takes it away

    def __init__(self, rng: random.Random, passing: Callable[[str], None]) -> None:
        self._rng = rng
        self.passing = passing  # told each step that a process comes to
        self.rows: list[Row] = []
        self.epoch = 0
        self.renewed_at = 0.0
        self.holder: Session | None = None
        self.sessions: list[Session] = []
        self.snapshots: dict[int, tuple[int, bytes]] = {}  # sequence -> digest, state
        self.tables = Folded()
        self.is_up = True
        self.is_full = False
        self.crashes = 0
        self.tables_lag_s = 0.01

    @property
    def head(self) -> int:
        return len(self.rows)

    async def pause(self, mean_s: float = 0.001) -> None:
        """What a round trip takes."""
        check_alive()
        await asyncio.sleep(self._rng.expovariate(1 / mean_s))
        check_alive()

    async def round_trip(self) -> None:
        """Reach the server on a connection of the moment. Raises DatabaseUnreachable."""
        crashes = self.crashes
        await self.pause()
        if not self.is_up or crashes != self.crashes:
            raise DatabaseUnreachable("the simulated server is down")

    # Faults

    def crash(self) -> None:
        """kill -9 of the server: sessions end, and the tables lose the latest that they were written."""
        self.is_up = False
        self.crashes += 1
        for session in self.sessions:
            self.end(session)
        self.tables = Folded()
        self.follow(self._rng.randint(0, self.head))

    def end(self, session: Session) -> None:
        """The server lets go of a session; its client is told, or it finds out when it next asks."""
        session.open = False
        if self.holder is session:
            self.holder = None
        if session.process is None or session.process.alive:
            asyncio.get_running_loop().call_later(self._rng.uniform(0, 2), session.lost.set)

    def process_died(self, process: Process) -> None:
        """The kernel closes a dead process' connections; the server sees it at once or a little later."""
        for session in self.sessions:
            if session.process is process and session.open:
                delay_s = self._rng.choice((0, self._rng.uniform(0, 0.5)))
                asyncio.get_running_loop().call_later(delay_s, self.end, session)

    # The lead

    async def stand(self) -> "SimulatedCandidate":
        await self.round_trip()
        session = Session(RUNS_IN.get())
        self.sessions = [known for known in self.sessions if known.open] + [session]
        return SimulatedCandidate(self, session)

    def raise_epoch(self, session: Session) -> bool:
        """Give a session the lock, a new epoch and a fresh lease, unless another one has it."""
        if self.holder is not None:
            return False
        self.epoch += 1
        self.holder, session.epoch, self.renewed_at = session, self.epoch, self.now()
        return True

    def renew(self, epoch: int) -> None:
        if epoch != self.epoch:
            raise Fenced(f"epoch {epoch} is over: another leader has taken over")
        self.renewed_at = self.now()

    def end_lapsed(self) -> bool:
        lapsed = self.holder is not None and self.now() - self.renewed_at > LAPSED_S
        if lapsed and self.holder is not None:
            self.end(self.holder)
        return lapsed

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    # The journal

    def commit(self, epoch: int, entries: Sequence[Entry], chains: Sequence[bytes]) -> None:
        """One COPY. Raises what Postgres' triggers and constraints raise."""
        if self.is_full:
            raise JournalError("Postgres refused the append: no space left on device")
        if self.fenced and epoch != self.epoch:
            raise Fenced(f"epoch {epoch} is over: the lease is at {self.epoch}")
        if entries[0].sequence != self.head + 1:
            raise JournalError(
                f"Postgres refused the append: entry {entries[0].sequence} is there, or the one before is not"
            )
        self.rows += [
            Row(entry, epoch, chain, self.epoch, self.now()) for entry, chain in zip(entries, chains, strict=True)
        ]

    async def execute(self, session: Session, entries: Sequence[Entry], chains: Sequence[bytes]) -> None:
        """Execute an append of a session. Runs on the server: its client may be gone by now."""
        crashes = self.crashes
        await asyncio.sleep(self._rng.expovariate(1 / 0.001))
        if not self.is_up or crashes != self.crashes:
            raise AppendFailed("the connection to the journal broke: the server is gone")
        if not session.open and self._rng.random() < 0.5:
            raise AppendFailed("the connection to the journal broke: the session had ended")
        self.commit(session.epoch, entries, chains)
        await asyncio.sleep(self._rng.expovariate(1 / 0.001))
        if not session.open:
            raise AppendFailed("the connection to the journal broke: the answer was lost")

    # The tables

    def tables_apart(self) -> bool:
        """Whether the projections stand at different entries just now."""
        return self._rng.random() < 0.05

    def follow(self, upto: int) -> None:
        """Write the tables up to an entry."""
        for row in self.rows[self.tables.sequence : upto]:
            self.tables.take(row.entry)


class SimulatedCandidate:
    """A connection that follows the journal and may come to lead: `Candidacy` of `corridor/store.py`."""

    def __init__(self, server: Postgres, session: Session) -> None:
        self._server = server
        self._session = session

    async def _reach(self, step: str) -> None:
        self._server.passing(step)
        await self._server.pause()
        if not self._session.open or not self._server.is_up:
            raise asyncpg.ConnectionDoesNotExistError("the simulated connection is closed")

    async def head(self) -> tuple[int, bytes]:
        await self._reach("read head")
        rows = self._server.rows
        return (len(rows), rows[-1].chain) if rows else (0, GENESIS)

    async def after(self, sequence: int, chain: bytes, limit: int) -> tuple[list[Entry], bytes]:
        await self._reach("read journal")
        entries = []
        for row in self._server.rows[sequence : sequence + limit]:
            chain = seal(chain, row.entry.command, row.entry.events)
            if chain != row.chain:
                raise JournalCorrupt(row.entry.sequence, "its bytes are not those that were appended")
            entries.append(row.entry)
        return entries, chain

    async def latest_snapshot(self, at_most: int = SEQUENCE_MAX) -> Snapshot | None:
        await self._reach("read snapshot")
        sequence = max((kept for kept in self._server.snapshots if kept <= at_most), default=None)
        if sequence is None:
            return None
        return Snapshot(sequence, self._server.snapshots[sequence][1], self._server.rows[sequence - 1].chain)

    async def take_lead(self, holder: str) -> "SimulatedLeader | None":
        try:
            await self._reach("asking for the lead")
            won = self._server.raise_epoch(self._session)
            await self._reach("leading, before it knows" if won else "standing by")
        except asyncpg.PostgresError as error:
            raise JournalError(f"cannot take the lead: {error}") from error
        return SimulatedLeader(self._server, self._session) if won else None

    async def end_lapsed_leader(self) -> bool:
        await self._reach("looking after the leader")
        return self._server.end_lapsed()

    async def close(self) -> None:
        check_alive()
        self._session.open = False
        if self._server.holder is self._session:
            self._server.holder = None


class SimulatedLeader(SimulatedCandidate):
    """The connection of a leader: `Leadership` of `corridor/store.py`."""

    def __init__(self, server: Postgres, session: Session) -> None:
        super().__init__(server, session)
        self._chain = GENESIS
        self.epoch = session.epoch

    @property
    def is_lost(self) -> bool:
        return self._session.lost.is_set()

    async def lost(self) -> None:
        await self._session.lost.wait()

    def start_after(self, chain: bytes) -> None:
        self._chain = chain

    async def append(self, entries: Sequence[Entry]) -> None:
        check_alive()
        self._server.passing("applied, before the append")
        chain = self._chain
        chains = []
        for entry in entries:
            chains.append(chain := seal(chain, entry.command, entry.events))
        if self.is_lost:
            raise AppendFailed("the connection to the journal broke")
        await self._answer_of(self._server.execute(self._session, entries, chains))
        self._server.passing("appended, before it is published")
        self._chain = chain

    async def confirm(self) -> None:
        try:
            await self._reach("confirming the lead")
        except asyncpg.PostgresError as error:
            raise AppendFailed(f"the connection to the journal broke: {error}") from error
        if self.epoch != self._server.epoch:
            raise Fenced(f"epoch {self.epoch} is over: the lease is at {self._server.epoch}")

    async def _answer_of(self, statement: "asyncio.Future[None] | object") -> None:
        """Send a statement to the server and wait for its answer, or for the connection to break."""
        outside = asyncio.get_running_loop()
        no_process = RUNS_IN.set(None)
        try:
            running = outside.create_task(statement)  # type: ignore[arg-type]
        finally:
            RUNS_IN.reset(no_process)
        losing = asyncio.ensure_future(self._session.lost.wait())
        running.add_done_callback(lambda done: done.cancelled() or done.exception())  # somebody looked
        try:
            await asyncio.wait((running, losing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            losing.cancel()
        check_alive()
        if not running.done():
            raise AppendFailed("the connection to the journal broke: its answer never came")
        running.result()


class FrozenTables:
    """The tables as they were after one entry."""

    def __init__(self, server: Postgres, tables: Folded) -> None:
        self._server = server
        self._tables = tables
        self.sequence = tables.sequence

    async def live_orders(self) -> list[OrderState]:
        await self._server.round_trip()
        return [copy(order) for _, order in sorted(self._tables.orders.items()) if order.is_live]

    async def minutes(self, since_ns: int) -> dict[int, list[tuple[int, int, int, int, int, int, int]]]:
        await self._server.round_trip()
        kept: dict[int, list[tuple[int, int, int, int, int, int, int]]] = {}
        for (market, opened_ns), minute in sorted(self._tables.minutes.items()):
            if opened_ns >= since_ns:
                kept.setdefault(market, []).append((opened_ns, *minute))
        return kept

    async def latest_trades(self, market: int, limit: int) -> list[tuple[Entry, int]]:
        await self._server.round_trip()
        trades = [(sequence, trade_id) for sequence, trade_id, of in self._tables.trades if of == market]
        return [(self._server.rows[sequence - 1].entry, trade_id) for sequence, trade_id in trades[-limit:]]

    async def client_order_ids(self) -> AsyncIterator[tuple[int, str]]:
        await self._server.round_trip()
        for key in [*self._tables.order_ids, *self._tables.rejections]:
            yield key


class SimulatedTables:
    """The tables, as the corridor and as requests read them."""

    def __init__(self, server: Postgres) -> None:
        self._server = server

    async def _read(self) -> Folded:
        await self._server.round_trip()
        return self._server.tables

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[FrozenTables]:
        tables = await self._read()
        if self._server.tables_apart():
            raise TablesApart("the simulated tables stand at different entries")
        yield FrozenTables(self._server, Folded.of(row.entry for row in self._server.rows[: tables.sequence]))

    async def find_entry(self, account: int, client_order_id: str) -> Entry | None:
        tables = await self._read()
        key = account, client_order_id
        sequence = tables.order_ids.get(key) or tables.rejections.get(key)
        return None if sequence is None else self._server.rows[sequence - 1].entry

    # What requests read: storage/queries.py

    async def order(self, account: int, order_id: int) -> OrderState | None:
        order = (await self._read()).orders.get(order_id)
        return copy(order) if order is not None and order.account == account else None

    async def order_by_client_id(self, account: int, client_order_id: str) -> OrderState | None:
        tables = await self._read()
        order_id = tables.order_ids.get((account, client_order_id))
        return None if order_id is None else copy(tables.orders[order_id])

    async def rejection(self, account: int, client_order_id: str) -> Rejection | None:
        tables = await self._read()
        sequence = tables.rejections.get((account, client_order_id))
        if sequence is None:
            return None
        events = read_events(self._server.rows[sequence - 1].entry.events)
        return Rejection(sequence, next(e.reason for e in events if e.kind == EventKind.REJECTED))

    async def watermark(self) -> int:
        return (await self._read()).sequence

    async def is_known(self, account: int, client_order_id: str) -> tuple[int, bool]:
        tables = await self._read()
        key = account, client_order_id
        return tables.sequence, key in tables.order_ids or key in tables.rejections

    async def order_fills(
        self, account: int, order_id: int, *, after: tuple[int, bool] | None, limit: int
    ) -> list[Fill]:
        tables = await self._read()
        fills = [fill for fill in tables.fills.get(order_id, ()) if after is None or fill[0] > after[0]]
        return fills[:limit]


class SimulatedStore:
    """One shard's store for one process: `corridor/store.py`."""

    shard = 1

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self.tables = SimulatedTables(server)

    async def stand(self) -> SimulatedCandidate:
        return await self._server.stand()

    async def keep_renewing(self, epoch: int) -> NoReturn:
        while True:
            await self._server.round_trip()
            self._server.renew(epoch)
            await asyncio.sleep(RENEW_EVERY_S)

    async def save_snapshot(self, sequence: int, digest: int, state: bytes) -> None:
        self._server.passing("snapshot made, before it is saved")
        await self._server.round_trip()
        if sequence > self._server.head:
            raise AssertionError(f"a snapshot of entry {sequence}, and the journal ends at {self._server.head}")
        self._server.snapshots.setdefault(sequence, (digest, state))
        await self._server.pause()
        self._server.passing("snapshot saved")


class SimulatedProjections:
    """One process' projections: they write the tables, and tell how far those are."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._waiters: list[asyncio.Event] = []  # in their order: a seed is the same run every time
        self.watermark = 0

    async def wait_for(self, sequence: int, timeout_s: float | None) -> None:
        async with asyncio.timeout(timeout_s):
            while self.watermark < sequence:
                moved = asyncio.Event()
                self._waiters.append(moved)
                await moved.wait()

    async def run(self) -> None:
        try:
            while True:
                try:
                    await self._server.round_trip()
                    self._server.follow(min(self._server.tables.sequence + 50, self._server.head))
                    reached = self._server.tables.sequence
                    crashes = self._server.crashes
                    await self._server.pause()
                    if crashes == self._server.crashes:
                        self._tell(reached)
                except DatabaseUnreachable:
                    await asyncio.sleep(0.1)
                await asyncio.sleep(self._server.tables_lag_s)
        finally:
            self.watermark = 0

    def _tell(self, watermark: int) -> None:
        self.watermark = watermark
        waiters, self._waiters = self._waiters, []
        for moved in waiters:
            moved.set()
