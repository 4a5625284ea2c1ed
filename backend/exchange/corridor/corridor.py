"""The one door into the path of an order, and who may open it: terms of leadership over a shard.

    starting: recover ─> standby: follow the journal ─> (lease won) ─> leader ─> halted ─> starting ...
                                                                         a failed append

A process that does not lead refuses commands with UNAVAILABLE. One that stands by has the whole state already, and
leads as soon as it has executed what it has not seen yet. A term ends when an append fails, since memory is then ahead
of the journal; the next one begins from the journal again.
"""

import asyncio
import logging
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal, NoReturn, Protocol, TypeVar

import asyncpg

from engine.matching import Shard
from engine.orders.batches import Answer
from engine.records import MarketState
from exchange.corridor import measure
from exchange.corridor.client_orders import ClientOrders, Placing, Request, Result
from exchange.corridor.genesis import genesis
from exchange.corridor.live import Changes
from exchange.corridor.replica import TABLES_LOOK_S, Replica
from exchange.corridor.store import Candidacy, Leadership, Store
from exchange.corridor.writer import Writer, unavailable
from exchange.storage.database import DatabaseUnreachable, heed_cancellation
from exchange.storage.journal import BROKEN, SNAPSHOT_EVERY, Entry, JournalCorrupt, JournalError

logger = logging.getLogger(__name__)

Role = Literal["leader", "standby", "starting", "halted"]
Asked = TypeVar("Asked")

LEASE_POLL_S = 0.1
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

    def __init__(self, floor: int = 0) -> None:
        """``floor``: what everybody may have been told already."""
        self._sequences: OrderedDict[int, int] = OrderedDict()
        self._floor = floor

    def tell(self, account: int, sequence: int) -> None:
        self._sequences[account] = sequence
        self._sequences.move_to_end(account)
        if len(self._sequences) > TOLD_MAX:
            _, forgotten = self._sequences.popitem(last=False)
            self._floor = max(self._floor, forgotten)

    def of(self, account: int) -> int:
        return max(self._sequences.get(account, 0), self._floor)


async def _unless(following: "asyncio.Task[None]", asked: Awaitable[Asked]) -> Asked:
    """Return what was asked for, unless the tables stop following first. Raises ProjectionsBroken."""
    asking = asyncio.ensure_future(asked)
    await asyncio.wait((asking, following), return_when=asyncio.FIRST_COMPLETED)
    if not asking.done():
        asking.cancel()
        raise_why(following)
    return asking.result()


def _keyed(account: int, requests: Sequence[tuple[bytearray, str | None]]) -> list[Request]:
    return [(None if name is None else (account, name), command) for command, name in requests]


def raise_why(following: "asyncio.Task[None]") -> None:
    """The tables stopped following: raise why."""
    error = following.exception()
    raise ProjectionsBroken(f"the tables cannot follow the journal: {error}") from error


class Corridor:
    """Submit commands to the shard that this process leads; see the module."""

    def __init__(
        self,
        store: Store,
        projections: Projections,
        clock_ns: Callable[[], int] = time.time_ns,
        tables_first: bool = True,
    ) -> None:
        """``tables_first``: take no order before the tables are where the journal ends; where another process makes
        them nobody waits for it.
        """
        self._tables_first = tables_first
        self._store = store
        self._projections = projections
        self._clock_ns = clock_ns
        self._on_term: Callable[[Shard], None] = lambda shard: None
        self._on_entries: Callable[[Sequence[Entry]], None] = lambda entries: None
        self._on_changes: Callable[[Changes], None] = lambda changes: None
        self._client_orders = ClientOrders(store.tables.find_entry, lambda: self._projections.watermark)
        self._replica = Replica(store.tables, self._client_orders)
        self._told = Told()
        self._writer: Writer | None = None
        self._snapshot_sequence = 0
        self._snapshot_task: asyncio.Task[None] | None = None
        self.role: Role = "starting"
        self.epoch = 0
        self.failure: str | None = None  # why the shard is halted
        self.catalogue = self._replica.catalogue
        self.live = self._replica.live

    # What the edge calls

    @property
    def sequence(self) -> int:
        """The last durable sequence."""
        return self._writer.durable_sequence if self._writer else 0

    @property
    def takes_orders(self) -> bool:
        return self.role == "leader"

    @property
    def ready(self) -> bool:
        """Whether reads may be answered: the state is the journal's."""
        return self.role == "leader"

    async def head(self) -> int:
        """The last durable sequence."""
        return self.sequence

    async def told(self, account: int) -> int:
        """The highest sequence that the account was told of; 0 if none."""
        return self._told.of(account)

    async def submit(self, command: bytearray) -> Entry:
        """Return the command's journal entry once it is durable.

        Raises Refused OVERLOADED, UNAVAILABLE or OUTCOME_UNKNOWN.
        """
        return await self._leading().submit(command)

    async def place(self, command: bytearray, account: int, client_order_id: str | None) -> Result:
        """Submit a command and return (entry, whether it is the result of an earlier request with this id).

        ``client_order_id``: of an order that is placed, or the key of a transfer (contracts/transfers.py).
        """
        return await (await self.begin(command, account, client_order_id)).result()

    async def begin(self, command: bytearray, account: int, client_order_id: str | None) -> Placing:
        """Submit a command and return before it is durable: commands are taken in the order in which this returns."""
        writer = self._leading()
        if client_order_id is None:
            return writer.submit(command)
        return await self._client_orders.begin((account, client_order_id), command, writer.submit)

    def begin_now(self, command: bytearray, account: int, client_order_id: str | None) -> Placing | None:
        """Do the same at once; None where ``begin`` would have to wait."""
        writer = self._leading()
        if client_order_id is None:
            return writer.submit(command)
        return self._client_orders.begin_now((account, client_order_id), command, writer.submit)

    async def begin_all(
        self, account: int, requests: Sequence[tuple[bytearray, str | None]], *, linked: bool = False
    ) -> list[Placing]:
        """Submit several commands, to be durable in one commit, as ``begin`` would each.

        ``linked``: each order names the one before it, and all of them were placed before or none.
        """
        submit = partial(self._leading().submit_together, linked=linked)
        return await self._client_orders.begin_all(_keyed(account, requests), submit, linked=linked)

    def begin_all_now(
        self, account: int, requests: Sequence[tuple[bytearray, str | None]]
    ) -> list[Answer[Entry]] | None:
        """Do the same at once; None where ``begin_all`` would have to look for one that was there before."""
        return self._client_orders.begin_all_now(_keyed(account, requests), self._leading().submit_together)

    async def barrier(self) -> int:
        """Return the last durable sequence once every command submitted before this call is durable or has failed.

        Raises Refused UNAVAILABLE where another process may lead by now.
        """
        writer = self._leading()
        await self._client_orders.settled()
        return await writer.barrier()

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        """Return (available, held) units as the engine has them.

        That may be a batch ahead of the journal: for advice, not for answers.
        """
        return self._replica.shard.balance(account, asset)

    def cancel_after(self, account: int) -> int:
        """Return when the account's dead-man timer fires as the engine has it, 0 for never."""
        return self._replica.shard.cancel_after(account)

    def state(self, market: int) -> MarketState:
        """Return a market's mode, last price, trigger range and band as the engine has them: for advice."""
        return self._replica.shard.state(market)

    def fee_shares(self, account: int) -> tuple[int, int]:
        """Return (maker's, taker's) millionths of the markets' fees that an account pays: for advice."""
        return self._replica.shard.fee_shares(account)

    def digest(self) -> int:
        """The state digest of the engine as it is in memory."""
        return self._replica.shard.digest()

    def open_orders(self) -> int:
        """The number of live orders in the engine: resting and waiting ones."""
        return self._replica.shard.open_orders

    def _leading(self) -> Writer:
        if self._writer is None or self.role != "leader":
            raise unavailable()
        return self._writer

    def tell(
        self,
        *,
        on_term: Callable[[Shard], None] = lambda shard: None,
        on_changes: Callable[[Changes], None] = lambda changes: None,
        on_entries: Callable[[Sequence[Entry]], None] = lambda entries: None,
    ) -> None:
        """Name who hears of a new term (the live state is renewed then) and of every durable batch."""
        self._on_term, self._on_changes, self._on_entries = on_term, on_changes, on_entries

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
                heed_cancellation()
                self._halt(error)
                known = isinstance(error, PASSING)
                what = "the shard is halted: %s; recovering from the journal in %.0f s"
                logger.log(logging.ERROR if known else logging.CRITICAL, what, error, RETRY_S, exc_info=not known)
                await asyncio.sleep(RETRY_S)

    async def _term(self) -> None:
        candidate = await self._store.stand()
        tasks: list[asyncio.Task[None]] = []
        try:
            self._replica.forget()
            leader = await self._win_lease(candidate)
            self.role, self.epoch = "starting", leader.epoch
            renewing = asyncio.create_task(self._store.keep_renewing(leader.epoch), name="lease")
            following = asyncio.create_task(self._projections.run(), name="projections")
            tasks += (renewing, following)
            while not await _unless(following, self._replica.advance(leader)):  # noqa: ASYNC110 - they tell only when asked
                await asyncio.sleep(TABLES_LOOK_S)
            if self._tables_first:
                await _unless(following, self._projections.wait_for(self._replica.sequence, None))
            leader.start_after(self._replica.chain)
            await self._lead(leader, renewing, following)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await candidate.close()

    async def _win_lease(self, candidate: Candidacy) -> Leadership:
        """Follow the journal until nobody else leads."""
        holder = f"{socket.gethostname()}:{os.getpid()}"
        while True:
            leader = await candidate.take_lead(holder)
            if leader is not None:
                logger.info("leading shard %d in epoch %d", self._store.shard, leader.epoch)
                return leader
            if self.role != "standby":
                logger.info("another process leads shard %d: standing by", self._store.shard)
                self.role = "standby"
            await self._replica.advance(candidate)
            if await candidate.end_lapsed_leader():
                logger.warning(
                    "the leader of shard %d has not renewed its lease: its session is ended", self._store.shard
                )
            else:
                await asyncio.sleep(LEASE_POLL_S)

    async def _lead(
        self, leader: Leadership, renewing: "asyncio.Task[NoReturn]", following: "asyncio.Task[None]"
    ) -> None:
        """Take orders until the journal, the lease or the tables fail, or this is cancelled."""
        shard = self._replica.shard
        self._told = Told(shard.sequence)
        self._snapshot_sequence = self._replica.snapshot_sequence
        self._writer = writer = Writer(leader, shard, self._committed, self._clock_ns)
        writing = asyncio.create_task(writer.run(), name="writer")
        losing = asyncio.create_task(leader.lost(), name="leadership")
        try:
            if shard.sequence == 0:
                await asyncio.gather(*writer.submit_together(genesis()))
            self.failure = None
            self._on_term(shard)
            self.role = "leader"
            await asyncio.wait((writing, renewing, following, losing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            losing.cancel()
            writer.stop()
            await asyncio.wait([writing])
            whole = writing.exception() is None and not leader.is_lost
            await leader.close()  # who stands by leads from here on, and need not wait for a snapshot
            if whole:
                await self._keep_snapshot()
        for ended in (writing, renewing):
            if ended.done():
                ended.result()  # raises why
        if following.done():
            raise_why(following)
        raise JournalError("the connection to the journal is gone")

    def _committed(self, entries: Sequence[Entry]) -> None:
        """Called by the writer when entries are durable, before their owners are answered."""
        self._on_entries(entries)
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
        sequence, digest, state = (
            self._replica.shard.sequence,
            self._replica.shard.digest(),
            self._replica.shard.snapshot(),
        )
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
        if self._replica.shard.sequence > self._snapshot_sequence:
            await self._save_snapshot(
                self._replica.shard.sequence, self._replica.shard.digest(), self._replica.shard.snapshot()
            )

    def _halt(self, error: Exception) -> None:
        self.role = "halted"
        self.failure = str(error)
        self._writer = None
