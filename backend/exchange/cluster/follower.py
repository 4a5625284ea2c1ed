"""A replica that reads: it follows what the leader tells, and reads in the journal what it missed.

Redis away, messages lost, the leader changed: it falls behind for a moment and is never wrong, since every entry is
executed again and its events are compared with the journal's.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import NoReturn

import asyncpg

from engine.matching import Shard
from exchange.cluster.channels import Channels
from exchange.cluster.messages import Entries, NotUnderstood, decoder, entries_of
from exchange.cluster.relay import Relay
from exchange.corridor.live import Changes
from exchange.corridor.replica import TABLES_LOOK_S, Replica
from exchange.corridor.store import Candidacy, Store
from exchange.storage.database import DatabaseUnreachable, heed_cancellation
from exchange.storage.journal import BROKEN, Entry, JournalCorrupt, JournalError

logger = logging.getLogger("exchange.cluster")

LOOK_S = 0.25  # how often the journal is read while nobody tells what comes
LOOK_TOLD_S = 2.0  # ... and while somebody does: a last message may be lost
BEGIN_AGAIN_S = 1.0
AHEAD_MAX = 10_000  # entries that arrived while the journal was being read; beyond, they are read there too

_read = decoder(Entries)
_PASSING = (JournalError, DatabaseUnreachable, asyncpg.PostgresError, *BROKEN)


class Follower:
    """See the module. ``current``: whether reads may be answered from it.

    ``on_begin`` hears that the state was begun anew, ``on_changes`` what each batch of entries changed.
    """

    def __init__(self, store: Store, relay: Relay) -> None:
        self._store = store
        self.shard_number = store.shard
        self._relay = relay
        self.on_begin: Callable[[Shard], None] = lambda shard: None
        self.on_changes: Callable[[Changes], None] = lambda changes: None
        self.replica = Replica(store.tables, None)
        self.current = False
        self._ahead: deque[Entry] = deque()
        self._missed = asyncio.Event()  # something is in the journal that nobody told
        self._reading = True
        self._diverged: JournalCorrupt | None = None
        self._waiters: set[tuple[int, asyncio.Future[None]]] = set()

    async def run(self) -> NoReturn:
        """Follow until cancelled."""
        await self._relay.listen({Channels(self._store.shard).entries: self._take})
        while True:
            try:
                await self._follow()
            except JournalCorrupt as error:
                logger.critical("this process cannot follow the journal: %s", error)
            except _PASSING as error:
                heed_cancellation()
                logger.warning("following the journal is interrupted: %s", error)
            self.current = False
            await asyncio.sleep(BEGIN_AGAIN_S)

    async def reached(self, sequence: int, timeout_s: float) -> None:
        """Return when it includes an entry. Raises TimeoutError."""
        if sequence <= self.replica.sequence and self.current:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter := (sequence, reached))
        self._missed.set()
        try:
            await asyncio.wait_for(reached, timeout_s)
        finally:
            self._waiters.discard(waiter)

    async def _follow(self) -> None:
        journal = await self._store.stand()
        try:
            self._reading = True
            self.replica.forget()
            while not await self.replica.advance(journal):  # noqa: ASYNC110 - the tables tell only when asked
                await asyncio.sleep(TABLES_LOOK_S)
            self._diverged = None
            self.current = True
            self.on_begin(self.replica.shard)
            self._settle()
            while True:
                await self._read_journal(journal)
                self._reading = False
                await self._until_missed()
                if self._diverged is not None:
                    raise self._diverged
        finally:
            await journal.close()

    async def _read_journal(self, journal: Candidacy) -> None:
        self._reading = True
        self._missed.clear()
        async for changes in self.replica.catch_up(journal):
            self._tell(changes)
        ahead = [entry for entry in self._ahead if entry.sequence > self.replica.sequence]
        self._ahead.clear()
        self._take_entries(ahead)

    async def _until_missed(self) -> None:
        try:
            async with asyncio.timeout(LOOK_TOLD_S if self._relay.up else LOOK_S):
                await self._missed.wait()
        except TimeoutError:
            return

    def _take(self, message: bytes) -> None:
        try:
            entries = entries_of(_read(message))
        except NotUnderstood as error:
            logger.error("what the leader tells is not understood, it is read in the journal: %s", error)
            self._missed.set()
            return
        if not self._reading:
            self._take_entries(entries)
        elif len(self._ahead) < AHEAD_MAX:
            self._ahead.extend(entries)
        else:
            self._missed.set()

    def _take_entries(self, entries: list[Entry]) -> None:
        after = self.replica.sequence
        new = [entry for entry in entries if entry.sequence > after]
        if not new:
            return
        if any(entry.sequence != after + number for number, entry in enumerate(new, 1)):
            self._missed.set()
            return
        try:
            self._tell(self.replica.follow(new))
        except JournalCorrupt as error:  # what was told, or what is here: the journal decides
            self.current = False  # its engine has taken the wrong step already
            self._diverged = error
            self._missed.set()

    def _tell(self, changes: Changes) -> None:
        self.on_changes(changes)
        self._settle()

    def _settle(self) -> None:
        for sequence, reached in self._waiters:
            if sequence <= self.replica.sequence and not reached.done():
                reached.set_result(None)
