"""The one door into the path of an order, and who may open it: terms of leadership over a shard.

    starting ─> standby ─> (lease won) ─> starting: recover, let the tables catch up ─> leader ─> halted ─> standby ...
                                                                                          a failed append

A process that does not lead refuses commands with UNAVAILABLE. A term ends when an append fails, since memory is then
ahead of the journal; the next term begins from the journal again.
"""

import asyncio
import logging
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import asyncpg

from engine.matching import Shard
from engine.records import EventKind, MarketState
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import Event, read_events
from exchange.contracts.refusals import Refused
from exchange.corridor import measure
from exchange.corridor.client_orders import ClientOrders, Request, Result
from exchange.corridor.genesis import genesis
from exchange.corridor.live import DAY_MINUTES, LATEST_TRADES, MINUTE_NS, Changes, Live, Minute
from exchange.corridor.recovery import recover
from exchange.corridor.store import Leadership, Store
from exchange.corridor.writer import Writer, unavailable
from exchange.storage.database import DatabaseUnreachable
from exchange.storage.journal import BROKEN, SNAPSHOT_EVERY, Entry, JournalCorrupt, JournalError

logger = logging.getLogger(__name__)

Role = Literal["leader", "standby", "starting", "halted"]

LEASE_POLL_S = 0.25
RETRY_S = 1.0
TOLD_MAX = 100_000  # accounts; at the bound the longest unheard of reads as if it had been told everything


class ProjectionsBroken(Exception):
    """The tables cannot follow the journal: one of the two is not what this version makes."""


#: What ends a term and passes: Postgres is away, stopping, or short of something.
PASSING = (JournalError, DatabaseUnreachable, asyncpg.PostgresError, *BROKEN)


class Projections(Protocol):
    """The tables that follow the journal while this process leads."""

    @property
    def watermark(self) -> int: ...

    async def wait_for(self, sequence: int, timeout_s: float | None) -> None: ...

    async def run(self) -> None: ...


class Told:
    """The highest sequence that each account was told of, for reads that must not lag it. Bounded."""

    def __init__(self) -> None:
        self._sequences: OrderedDict[int, int] = OrderedDict()
        self._floor = 0

    def tell(self, account: int, sequence: int) -> None:
        self._sequences[account] = sequence
        self._sequences.move_to_end(account)
        if len(self._sequences) > TOLD_MAX:
            _, forgotten = self._sequences.popitem(last=False)
            self._floor = max(self._floor, forgotten)

    def of(self, account: int) -> int:
        return max(self._sequences.get(account, 0), self._floor)


def raise_why(following: "asyncio.Task[None]") -> None:
    """The tables stopped following: raise why."""
    error = following.exception()
    raise ProjectionsBroken(f"the tables cannot follow the journal: {error}") from error


class Corridor:
    """Submit commands to the shard that this process leads; see the module."""

    def __init__(self, store: Store, projections: Projections, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._projections = projections
        self._clock_ns = clock_ns
        self._on_term: Callable[[Shard], None] = lambda shard: None
        self._on_changes: Callable[[Changes], None] = lambda changes: None
        self._told = Told()
        self._shard = Shard()
        self._writer: Writer | None = None
        self._client_orders: ClientOrders | None = None
        self._snapshot_sequence = 0
        self._snapshot_task: asyncio.Task[None] | None = None
        self.role: Role = "starting"
        self.epoch = 0
        self.failure: str | None = None  # why the shard is halted
        self.catalogue = Catalogue()
        self.live = Live(self.catalogue)

    # What the edge calls

    @property
    def sequence(self) -> int:
        """The last durable sequence."""
        return self._writer.durable_sequence if self._writer else 0

    def told(self, account: int) -> int:
        """The highest sequence that the account was told of; 0 if none."""
        return self._told.of(account)

    async def submit(self, command: bytearray) -> Entry:
        """Return the command's journal entry once it is durable.

        Raises Refused OVERLOADED, UNAVAILABLE or OUTCOME_UNKNOWN.
        """
        return await self._leading().submit(command)

    async def place(self, command: bytearray, account: int, client_order_id: str | None) -> tuple[Entry, bool]:
        """Submit a command and return (entry, whether it is the result of an earlier request with this id).

        ``client_order_id``: of an order that is placed, or the key of a transfer (contracts/transfers.py).
        """
        writer = self._leading()
        if client_order_id is None:
            return await writer.submit(command), False
        assert self._client_orders is not None
        return await self._client_orders.place((account, client_order_id), command, self._submit_now)

    async def place_all(
        self, account: int, requests: Sequence[tuple[bytearray, str | None]], *, linked: bool = False
    ) -> list[Result | Refused]:
        """Submit several commands, durable in one commit, and return each one's result as ``place`` would.

        ``linked``: each order names the one before it, and all of them were placed before or none.
        """
        writer = self._leading()
        assert self._client_orders is not None
        keyed: list[Request] = [(None if name is None else (account, name), command) for command, name in requests]

        def submit(batch: Sequence[bytearray]) -> list[asyncio.Future[Entry]]:
            return writer.submit_together(batch, linked=linked)

        placing = self._client_orders.place_linked if linked else self._client_orders.place_all
        return await placing(keyed, submit)

    async def barrier(self) -> int:
        """Return the last durable sequence once every command submitted before this call is durable or has failed."""
        return await self._leading().barrier()

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        """Return (available, held) units as the engine has them.

        That may be a batch ahead of the journal: for advice, not for answers.
        """
        return self._shard.balance(account, asset)

    def state(self, market: int) -> MarketState:
        """Return a market's mode, last price, trigger range and band as the engine has them: for advice."""
        return self._shard.state(market)

    def digest(self) -> int:
        """The state digest of the engine as it is in memory."""
        return self._shard.digest()

    def open_orders(self) -> int:
        """The number of live orders in the engine: resting and waiting ones."""
        return self._shard.open_orders

    def _submit_now(self, command: bytearray) -> "asyncio.Future[Entry]":
        return self._leading().submit(command)

    def _leading(self) -> Writer:
        if self._writer is None or self.role != "leader":
            raise unavailable()
        return self._writer

    def tell(self, *, on_term: Callable[[Shard], None], on_changes: Callable[[Changes], None]) -> None:
        """Name who hears of a new term (the live state is renewed then) and of every durable batch's changes."""
        self._on_term, self._on_changes = on_term, on_changes

    # Terms of leadership

    async def run(self) -> None:
        """Lead whenever the lease can be had, until cancelled; then finish what was taken and keep a snapshot."""
        while True:
            try:
                await self._term()
            except (JournalCorrupt, ProjectionsBroken) as error:  # beginning again would find the same
                self._halt(error)
                logger.critical("the shard stays halted: %s", error)
                await asyncio.Event().wait()
            except Exception as error:
                self._halt(error)
                known = isinstance(error, PASSING)
                what = "the shard is halted: %s; recovering from the journal in %.0f s"
                logger.log(logging.ERROR if known else logging.CRITICAL, what, error, RETRY_S, exc_info=not known)
                await asyncio.sleep(RETRY_S)

    async def _term(self) -> None:
        leader = await self._win_lease()
        following: asyncio.Task[None] | None = None
        try:
            self.role = "starting"
            self.epoch = leader.epoch
            self._shard, chain, self._snapshot_sequence = await recover(leader)
            leader.start_after(chain)
            following = asyncio.create_task(self._projections.run(), name="projections")
            await self._catch_up(following)
            await self._prepare()
            await self._lead(leader, following)
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            await leader.close()

    async def _win_lease(self) -> Leadership:
        holder = f"{socket.gethostname()}:{os.getpid()}"
        while True:
            leader = await self._store.lead(holder)
            if leader is not None:
                logger.info("leading shard %d in epoch %d", self._store.shard, leader.epoch)
                return leader
            if self.role != "standby":
                logger.info("another process leads shard %d: standing by", self._store.shard)
                self.role = "standby"
            await asyncio.sleep(LEASE_POLL_S)

    async def _catch_up(self, following: "asyncio.Task[None]") -> None:
        """Let the tables reach the engine's sequence: the rest of the state is read from them."""
        reached = asyncio.ensure_future(self._projections.wait_for(self._shard.sequence, None))
        await asyncio.wait((reached, following), return_when=asyncio.FIRST_COMPLETED)
        if not reached.done():
            reached.cancel()
            raise_why(following)

    async def _prepare(self) -> None:
        """Bring what is kept in memory beside the engine to the engine's sequence."""
        client_orders = ClientOrders(self._store.tables.find_entry, lambda: self._projections.watermark)
        await client_orders.load(self._store.tables.client_order_ids())
        self._client_orders = client_orders
        await self._begin_live(self._shard.sequence)

    async def _begin_live(self, sequence: int) -> None:
        definitions = self._shard.definitions()
        live_orders = await self._store.tables.live_orders()
        if len(live_orders) != self._shard.open_orders:
            what = f"the tables hold {len(live_orders)} live orders and the engine {self._shard.open_orders}"
            raise JournalCorrupt(sequence, f"{what}: rebuild the projections")
        markets = Catalogue(definitions).markets
        trades = {market: await self._latest_trades(market) for market in markets}
        modes = {market: self._shard.state(market).mode for market in markets}
        latest_ns = max((market[-1].timestamp_ns for market in trades.values() if market), default=0)
        rows = await self._store.tables.minutes(latest_ns - DAY_MINUTES * MINUTE_NS)
        minutes = {market: [Minute(*row) for row in of_market] for market, of_market in rows.items()}
        # Readers see markets and their state together, or neither: nothing awaits from here on.
        for definition in definitions:
            self.catalogue.define(definition)
        self.live.begin(sequence, latest_ns, live_orders, minutes, trades, modes)

    async def _latest_trades(self, market: int) -> list[Event]:
        trades = []
        for entry, trade_id in await self._store.tables.latest_trades(market, LATEST_TRADES):
            events = read_events(entry.events)
            trades += [event for event in events if event.kind == EventKind.TRADED and event.trade_id == trade_id]
        return trades

    async def _lead(self, leader: Leadership, following: "asyncio.Task[None]") -> None:
        """Take orders until the journal or the tables fail, or this is cancelled."""
        self._writer = writer = Writer(leader, self._shard, self._committed, self._clock_ns)
        writing = asyncio.create_task(writer.run(), name="writer")
        losing = asyncio.create_task(leader.lost(), name="leadership")
        try:
            if self._shard.sequence == 0:
                await asyncio.gather(*[writer.submit(command) for command in genesis()])
            self.failure = None
            self._on_term(self._shard)
            self.role = "leader"
            await asyncio.wait((writing, following, losing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            losing.cancel()
            writer.stop()
            await asyncio.wait([writing])
            if writing.exception() is None and not leader.is_lost:
                await self._keep_snapshot()
        writing.result()  # raises why the journal failed
        if following.done():
            raise_why(following)
        raise JournalError("the connection to the journal is gone")

    def _committed(self, entries: Sequence[Entry]) -> None:
        """Called by the writer when entries are durable, before their owners are answered."""
        changes = self.live.apply(entries)
        for account in changes.accounts:
            self._told.tell(account, changes.sequence)
        self._on_changes(changes)
        measure.observe_changes(changes, self.catalogue)
        if changes.sequence - self._snapshot_sequence >= SNAPSHOT_EVERY and self._snapshot_task is None:
            self._start_snapshot()

    def _start_snapshot(self) -> None:
        # The image is made here, between two batches, where the state is exactly the journal's;
        # saving it takes its time aside.
        sequence, digest, state = self._shard.sequence, self._shard.digest(), self._shard.snapshot()
        self._snapshot_sequence = sequence
        self._snapshot_task = asyncio.create_task(self._save_snapshot(sequence, digest, state), name="snapshot")

    async def _save_snapshot(self, sequence: int, digest: int, state: bytes) -> None:
        try:
            await self._store.save_snapshot(sequence, digest, state)
        except Exception as error:  # a missing snapshot only makes the next start slower
            logger.warning("the snapshot at sequence %d was not kept: %s", sequence, error)
        finally:
            self._snapshot_task = None

    async def _keep_snapshot(self) -> None:
        """On the way out: the next start then has no tail to execute."""
        if self._snapshot_task is not None:
            await self._snapshot_task
        if self._shard.sequence > self._snapshot_sequence:
            await self._save_snapshot(self._shard.sequence, self._shard.digest(), self._shard.snapshot())

    def _halt(self, error: Exception) -> None:
        self.role = "halted"
        self.failure = str(error)
        self._writer = None
