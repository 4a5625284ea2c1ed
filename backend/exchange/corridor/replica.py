"""A shard's state in this process, as far as the journal was followed: the engine, the live markets, the client ids.

    tables, all after entry W ─> live markets, client ids ┐
    snapshot, executed to W   ─> engine                    ┴─> entries after W, executed again and compared

Whoever leads, stands by or serves reads begins like this. A leader's own batches go on from there; everybody else
follows the journal.
"""

import gc
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager

from engine.matching import Shard
from engine.records import EventKind
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import Event, read_events
from exchange.corridor.client_orders import ClientOrders
from exchange.corridor.live import DAY_MINUTES, LATEST_TRADES, MINUTE_NS, Changes, Live, Minute
from exchange.corridor.recovery import advance, from_snapshot, replay, slices
from exchange.corridor.store import FrozenTables, Journal, Tables
from exchange.storage.journal import GENESIS, Entry, JournalCorrupt, seal
from exchange.storage.term import TablesApart

logger = logging.getLogger(__name__)

TABLES_LOOK_S = 0.1
FOLLOW_SLICE = 1_000  # entries: some 20 ms for the live markets
_PROGRESS_EVERY_S = 2.0


class Replica:
    """See the module. ``chain``: the journal's at ``sequence``; ``snapshot_sequence``: of the snapshot begun from."""

    def __init__(self, tables: Tables, client_orders: ClientOrders | None) -> None:
        """``client_orders``: for who may come to lead; who only reads needs none."""
        self._tables = tables
        self._client_orders = client_orders
        self.catalogue = Catalogue()
        self.live = Live(self.catalogue)
        self.shard = Shard()
        self.chain = GENESIS
        self.snapshot_sequence = 0
        self._begun = False

    @property
    def sequence(self) -> int:
        """The last entry that it includes."""
        return self.shard.sequence

    def forget(self) -> None:
        """Begin again with the next ``advance``: what is here may be ahead of the journal."""
        self._begun = False

    async def advance(self, journal: Journal) -> bool:
        """Come to the journal's end, and return whether it got there: not while the tables stand at several entries.

        Raises JournalCorrupt where the journal or a snapshot is not what was written.
        """
        if not self._begun:
            started = time.monotonic()
            with _no_garbage():
                try:
                    async with self._tables.frozen() as tables:
                        await self._begin_from(tables, journal)
                except TablesApart as apart:
                    logger.info("%s: waiting until they stand at one", apart)
                    return False
                begun_at = self.sequence
                await self._to_the_end(journal)
            self._begun = True
            logger.info(
                "recovered at sequence %d: snapshot at %d, tables at %d, in %.2f s, digest %016x, %d open orders",
                self.sequence, self.snapshot_sequence, begun_at, time.monotonic() - started,
                self.shard.digest(), self.shard.open_orders,
            )  # fmt: skip
        else:
            await self._to_the_end(journal)
        return True

    async def _to_the_end(self, journal: Journal) -> None:
        async for _ in self.catch_up(journal):
            pass

    async def _begin_from(self, tables: FrozenTables, journal: Journal) -> None:
        shard, chain = await from_snapshot(journal, tables.sequence)
        self.snapshot_sequence = shard.sequence
        self.chain = await advance(journal, shard, chain, tables.sequence)
        self.shard = shard
        if self._client_orders is not None:
            logger.info("recovering: reading the client order ids")
            await self._client_orders.load(tables.client_order_ids())
        logger.info("recovering: reading %d live orders", shard.open_orders)
        await self._begin_live(tables)

    async def _begin_live(self, tables: FrozenTables) -> None:
        definitions = self.shard.definitions()
        live_orders = await tables.live_orders()
        if len(live_orders) != self.shard.open_orders:
            what = f"the tables hold {len(live_orders)} live orders and the engine {self.shard.open_orders}"
            raise JournalCorrupt(tables.sequence, f"{what}: rebuild the projections")
        markets = Catalogue(definitions).markets
        trades = {market: await _latest_trades(tables, market) for market in markets}
        modes = {market: self.shard.state(market).mode for market in markets}
        latest_ns = max((market[-1].timestamp_ns for market in trades.values() if market), default=0)
        rows = await tables.minutes(latest_ns - DAY_MINUTES * MINUTE_NS)
        minutes = {market: [Minute(*row) for row in of_market] for market, of_market in rows.items()}
        # Readers see markets and their state together, or neither: nothing awaits from here on.
        for definition in definitions:
            self.catalogue.define(definition)
        self.live.begin(tables.sequence, latest_ns, live_orders, minutes, trades, modes)

    async def catch_up(self, journal: Journal) -> AsyncIterator[Changes]:
        """Follow to the journal's end; tell what each slice of entries changed. Raises JournalCorrupt."""
        told = time.monotonic()
        async with aclosing(slices(journal, self.sequence, self.chain, FOLLOW_SLICE)) as tail:
            async for entries, chain in tail:
                replay(self.shard, entries)
                self.chain = chain
                yield self._take(entries)
                if time.monotonic() - told > _PROGRESS_EVERY_S:
                    told = time.monotonic()
                    logger.info("following the journal: at entry %d", self.sequence)

    def follow(self, entries: Sequence[Entry]) -> Changes:
        """Take the entries that come next, from whoever passes them on. Raises JournalCorrupt."""
        replay(self.shard, entries)
        for entry in entries:
            self.chain = seal(self.chain, entry.command, entry.events)
        return self._take(entries)

    def _take(self, entries: Sequence[Entry]) -> Changes:
        if self._client_orders is not None:
            self._client_orders.learn(entries)
        return self.live.apply(entries)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Let the collector rest: what a start makes stays, and to walk over all of it again and again takes minutes."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


async def _latest_trades(tables: FrozenTables, market: int) -> list[Event]:
    trades = []
    for entry, trade_id in await tables.latest_trades(market, LATEST_TRADES):
        events = read_events(entry.events)
        trades += [event for event in events if event.kind == EventKind.TRADED and event.trade_id == trade_id]
    return trades
