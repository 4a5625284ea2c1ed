"""Follow the journal of a shard and keep its projections up to date, beside the corridor and never in its way."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

import asyncpg

from engine.records import EventKind
from exchange.contracts.catalogue import Catalogue
from exchange.projections.balances import Balances
from exchange.projections.candles import Candles
from exchange.projections.catalogue import CatalogueTables, load_catalogue
from exchange.projections.fees import AccountFees, Volumes
from exchange.projections.orders import Orders
from exchange.projections.pace import Pace
from exchange.projections.slice import Connection, Projection, read_slice
from exchange.projections.trades import Trades
from exchange.projections.transfers import Transfers
from exchange.storage.database import DatabaseUnreachable, connect, heed_cancellation

logger = logging.getLogger(__name__)

SLICE_ENTRIES = 6_000
# A slice of many entries costs less than many slices: after one, so much time brings more of them. Shorter when
# somebody waits for the tables, and none for the first entry after a quiet time.
GATHER_S, GATHER_WAITED_FOR_S = 0.1, 0.005
# How often to look when nobody tells that the journal has grown (a runner in a process of its own).
POLL_S = 0.5
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.1, 5.0
STATEMENT_TIMEOUT_S = 60.0
EMPTYING_TIMEOUT_S = 24 * 3600.0

SETTINGS = {
    "application_name": "exchange projections",
    # What a crash loses of the tables is made again: the watermark goes back with them.
    "synchronous_commit": "off",
    # A plan kept from when a table was new and empty would scan it when it is large; planning costs less than one row.
    "plan_cache_mode": "force_custom_plan",
    # Rows are looked up by their keys, whatever is believed of a table that nobody has analysed yet.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
}

# Postgres is away, restarting or short of something. The rest of its errors mean that we are wrong.
TRANSIENT = (
    OSError,
    TimeoutError,
    DatabaseUnreachable,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the next statement after the server ended the session between two
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
)


class _Overtaken(Exception):
    """Another runner has moved a watermark, or a rebuild has set it back."""


class ProjectionRunner:
    """Keeps the projections of one shard. Several runners of a shard do no harm: one does the work."""

    def __init__(
        self,
        dsn: str,
        shard: int,
        *,
        slice_entries: int = SLICE_ENTRIES,
        on_reached: Callable[[int], None] = lambda watermark: None,
    ) -> None:
        self._dsn = dsn
        self._shard = shard
        self._slice_entries = slice_entries
        self._on_reached = on_reached  # told every watermark
        self._catalogue = Catalogue()
        self._projections: tuple[Projection, ...] = (
            CatalogueTables(self._catalogue), Orders(), Trades(), Balances(self._catalogue), Candles(),
            Transfers(), AccountFees(), Volumes(),
        )  # fmt: skip
        self._connection: Connection | None = None
        self._watermarks: dict[str, int] = {}
        self._journal_sequence = 0
        self._pace = Pace()
        self._step = asyncio.Lock()
        self._grown = asyncio.Event()
        self._waited_for = asyncio.Event()
        self._waiters: set[tuple[int, asyncio.Future[None]]] = set()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(projection.name for projection in self._projections)

    @property
    def watermark(self) -> int:
        """The last entry that every projection includes; 0 before the first look."""
        return min(self._watermarks.values(), default=0)

    @property
    def watermarks(self) -> dict[str, int]:
        """The last entry that each projection includes."""
        return dict(self._watermarks)

    @property
    def lag(self) -> int:
        """Entries between the journal's end, as far as it is known here, and the watermark."""
        return max(self._journal_sequence - self.watermark, 0)

    def nudge(self, sequence: int) -> None:
        """Tell that the journal now ends at ``sequence``."""
        self._journal_sequence = max(self._journal_sequence, sequence)
        self._grown.set()

    async def wait_for(self, sequence: int, timeout_s: float | None) -> None:
        """Return when every projection includes ``sequence``. Raises TimeoutError; None waits for ever."""
        if sequence <= self.watermark:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter := (sequence, reached))
        self.nudge(sequence)
        self._waited_for.set()
        try:
            async with asyncio.timeout(timeout_s):
                await reached
        except TimeoutError:
            text = f"the tables have not reached entry {sequence} within {timeout_s} s; they are at {self.watermark}"
            raise TimeoutError(text) from None
        finally:
            self._waiters.discard(waiter)
            if not self._waiters:
                self._waited_for.clear()

    async def run(self) -> None:
        """Follow the journal until cancelled, through absences of Postgres.

        Raises ProjectionError, or Postgres' own error, when the tables cannot follow the journal.
        """
        backoff_s = BACKOFF_FIRST_S
        try:
            while True:
                try:
                    before, began_s = self.watermark, time.monotonic()
                    if await self.advance():
                        await self._make_way(self.watermark - before, time.monotonic() - began_s)
                    else:
                        await self._until_grown()
                    backoff_s = BACKOFF_FIRST_S
                except TRANSIENT as error:
                    heed_cancellation()
                    logger.warning("projections wait for Postgres, %.1f s: %s", backoff_s, error)
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(backoff_s * 2, BACKOFF_MOST_S)
        finally:
            await self.close()

    async def advance(self) -> bool:
        """Apply the next slice of the journal, and return whether there may be more of it now."""
        async with self._step:
            try:
                connection = self._connection or await self._open()
                return await self._apply(connection)
            except _Overtaken:
                await self._load(connection)
                return True
            except BaseException:
                # Whatever was under way is unknown: begin again from what is committed.
                self._drop_connection()
                raise

    async def rebuild(
        self, names: Iterable[str] | None = None, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Empty the named projections (default: all) and make them again up to where the journal now ends.

        ``progress`` is told (watermark, end) after every slice. Reads see the tables as they fill.
        Raises ValueError for an unknown name.
        """
        chosen = self._named(self.names if names is None else names)
        async with self._step:
            connection = self._connection or await self._open()
            async with connection.transaction():
                await self._empty(connection, chosen)
            await self._load(connection)
            query = "SELECT coalesce(max(sequence), 0) FROM journal WHERE shard = $1"
            end: int = await connection.fetchval(query, self._shard)
        self.nudge(end)
        while self.watermark < end:
            await self.advance()
            if progress is not None:
                progress(self.watermark, end)

    async def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            await connection.close(timeout=5)

    def _named(self, names: Iterable[str]) -> list[Projection]:
        known = {projection.name: projection for projection in self._projections}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(f"no projection is called {unknown[0]!r}; there are: {', '.join(known)}")
        return [known[name] for name in names]

    async def _empty(self, connection: Connection, chosen: list[Projection]) -> None:
        # The watermark first: it is the lock that every writer takes.
        await connection.execute(
            "UPDATE watermarks SET sequence = 0 WHERE shard = $1 AND projection = ANY($2)",
            self._shard, [projection.name for projection in chosen],
        )  # fmt: skip
        for projection in chosen:
            for table in projection.tables:
                statement = f"DELETE FROM {table.name} WHERE shard = $1"  # noqa: S608 - our own tables' names
                await connection.execute(statement, self._shard, timeout=EMPTYING_TIMEOUT_S)

    async def _open(self) -> Connection:
        connection = await connect(self._dsn, command_timeout_s=STATEMENT_TIMEOUT_S, settings=SETTINGS)
        try:
            await self._load(connection)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _load(self, connection: Connection) -> None:
        """Begin from what is committed, and from nothing that memory holds."""
        for projection in self._projections:
            projection.forget()
        await connection.execute(
            "INSERT INTO watermarks (projection, shard, sequence) SELECT name, $1, 0 FROM unnest($2::text[]) AS name"
            " ON CONFLICT DO NOTHING",
            self._shard, self.names,
        )  # fmt: skip
        query = "SELECT projection, sequence FROM watermarks WHERE shard = $1 AND projection = ANY($2)"
        rows = await connection.fetch(query, self._shard, self.names)
        self._reached({row["projection"]: row["sequence"] for row in rows})
        await load_catalogue(connection, self._shard, self._catalogue)

    async def _apply(self, connection: Connection) -> bool:
        """Take every projection that is furthest behind through one slice, at most to where the next one stands."""
        self._grown.clear()
        behind = self.watermark
        due = [projection for projection in self._projections if self._watermarks[projection.name] == behind]
        upto = min((mark for mark in self._watermarks.values() if mark > behind), default=None)
        entries = await read_slice(connection, self._shard, behind, upto, self._slice_entries)
        if entries is None:
            return False
        for command, event in entries.definitions:
            if event.kind != EventKind.MODE_CHANGED:
                self._catalogue.define(command)
        names = [projection.name for projection in due]
        async with connection.transaction():
            await self._move_watermarks(connection, names, behind, entries.last)
            for projection in due:
                await projection.write(connection, entries)
        self._reached(self._watermarks | dict.fromkeys(names, entries.last))
        return entries.last in (upto, behind + self._slice_entries)

    async def _move_watermarks(self, connection: Connection, names: list[str], before: int, after: int) -> None:
        """First in the transaction: whoever else would write these tables now waits, and then finds it was late."""
        moved = await connection.execute(
            "UPDATE watermarks SET sequence = $4 WHERE shard = $1 AND projection = ANY($2) AND sequence = $3",
            self._shard, names, before, after,
        )  # fmt: skip
        if moved != f"UPDATE {len(names)}":
            raise _Overtaken

    def _reached(self, watermarks: dict[str, int]) -> None:
        self._watermarks = watermarks
        self._journal_sequence = max(self._journal_sequence, *watermarks.values())
        watermark = self.watermark
        self._on_reached(watermark)
        for sequence, reached in self._waiters:
            if sequence <= watermark and not reached.done():
                reached.set_result(None)

    async def _make_way(self, entries: int, took_s: float) -> None:
        """After a slice that more of the journal follows: rest in a burst, unless somebody waits."""
        async with self._step:  # the connection has one statement at a time, and a rebuild may be under way
            if self._connection is None:
                return
            query = "SELECT coalesce(max(sequence), 0) FROM journal WHERE shard = $1"
            self._journal_sequence = await self._connection.fetchval(query, self._shard)
        rest_s = self._pace.rest_s(entries, took_s, self.watermark, self._journal_sequence)
        await _is_set_within(self._waited_for, rest_s)

    async def _until_grown(self) -> None:
        """Wait until the journal may have grown; soon after a slice, also until the next is worth its cost."""
        ended_s = time.monotonic()
        await _is_set_within(self._grown, POLL_S)
        await asyncio.sleep(max(ended_s + GATHER_WAITED_FOR_S - time.monotonic(), 0))
        rest_s = ended_s + GATHER_S - time.monotonic()
        if rest_s > 0:
            await _is_set_within(self._waited_for, rest_s)


async def _is_set_within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False
