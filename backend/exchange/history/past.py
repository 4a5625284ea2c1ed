"""The engine as it was after any entry: the nearest state that is kept, and the journal's tail executed again.

    kept here (asked for lately) ─┐
    snapshots in the database ────┼─ nearest before ──> Shard.apply of the entries from there, events compared ──> state
    the first entry ──────────────┘

A long tail leaves states on its way, here and in the database, so that it is executed once.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from engine.matching import Shard
from exchange.corridor.recovery import advance, from_snapshot
from exchange.storage.journal import SNAPSHOT_EVERY, SNAPSHOTS_KEPT, JournalReader, save_snapshot, snapshot_spacing

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]  # generic in its stubs only
else:
    Connection = asyncpg.Connection

logger = logging.getLogger(__name__)

STATES_BYTES_MAX = 256 * 1024 * 1024  # at the bound the state that was asked for longest ago is forgotten


class NotYet(Exception):
    """The journal has not come so far. ``head``: its last entry."""

    def __init__(self, head: int) -> None:
        super().__init__(f"the journal ends at entry {head}")
        self.head = head


@dataclass(frozen=True, slots=True)
class _State:
    """A state of the engine and the journal's chain there."""

    image: bytes
    chain: bytes


class Past:
    """States of one shard's engine. Not for several askers at once."""

    def __init__(self, dsn: str, shard: int, snapshots_kept: int = SNAPSHOTS_KEPT) -> None:
        self._dsn = dsn
        self._number = shard
        self._snapshots_kept = snapshots_kept
        self._states: OrderedDict[int, _State] = OrderedDict()
        self._bytes = 0
        self.executed = 0  # commands executed again so far

    async def at(self, connection: Connection, sequence: int) -> Shard:
        """Return the engine as it was after an entry, sequence >= 0; it is the caller's.

        Raises NotYet, and JournalCorrupt where the journal or a snapshot is not what was written.
        """
        journal = JournalReader(connection, self._number)
        head, _ = await journal.head()
        if sequence > head:
            raise NotYet(head)
        shard, chain = await self._nearest(connection, journal, sequence)
        while shard.sequence < sequence:
            before = shard.sequence
            upto = min(sequence, before - before % SNAPSHOT_EVERY + SNAPSHOT_EVERY)
            chain = await advance(journal, shard, chain, upto)
            self.executed += upto - before
            self._keep(shard, chain)
            await self._save(shard, head)
        return shard

    async def _nearest(self, connection: Connection, journal: JournalReader, sequence: int) -> tuple[Shard, bytes]:
        """The latest state at or before a sequence that is kept anywhere, and the chain there."""
        query = "SELECT max(sequence) FROM snapshots WHERE shard = $1 AND sequence <= $2"
        saved = await connection.fetchval(query, self._number, sequence) or 0
        known = max((kept for kept in self._states if kept <= sequence), default=-1)
        if known < saved or known < 0:
            return await from_snapshot(journal, sequence)
        self._states.move_to_end(known)
        state = self._states[known]
        return Shard.restore(state.image), state.chain

    def _keep(self, shard: Shard, chain: bytes) -> None:
        state = _State(shard.snapshot(), chain)
        self._bytes += len(state.image) - len(
            self._states[shard.sequence].image if shard.sequence in self._states else b""
        )
        self._states[shard.sequence] = state
        self._states.move_to_end(shard.sequence)
        while self._bytes > STATES_BYTES_MAX and len(self._states) > 1:
            _, forgotten = self._states.popitem(last=False)
            self._bytes -= len(forgotten.image)

    async def _save(self, shard: Shard, head: int) -> None:
        """On the way of a long tail: save what a journal of this length has a snapshot of."""
        if shard.sequence % snapshot_spacing(head, self._snapshots_kept):
            return
        state = self._states[shard.sequence]
        try:
            await save_snapshot(
                self._dsn, self._number, shard.sequence, shard.digest(), state.image, self._snapshots_kept
            )
        except Exception as error:  # the next look into the past only takes longer
            logger.warning("the snapshot at entry %d was not kept: %s", shard.sequence, error)
