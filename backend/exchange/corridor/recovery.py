"""Start-up is recovery: the latest snapshot, then the journal's tail through the `Shard.apply` that live commands take.

Every entry is executed again and its events compared with the journal's, byte by byte: a start proves that this build
decides as the one that wrote the journal did, or refuses to go on and names the sequence.
"""

import logging
import time

from engine.matching import Shard, SnapshotError
from engine.records import COMMAND_SIZE
from exchange.contracts.commands import sequence_of
from exchange.corridor.store import Journal
from exchange.storage.journal import GENESIS, SEQUENCE_MAX, Entry, JournalCorrupt, Snapshot

logger = logging.getLogger(__name__)

SLICE = 5_000
_PROGRESS_EVERY_S = 2.0


async def recover(journal: Journal) -> tuple[Shard, bytes, int]:
    """Return the shard as of the journal's end, the chain there, and the sequence of the snapshot it began from.

    That sequence is 0 when there was no snapshot. Raises JournalCorrupt where the journal or the snapshot is not what
    was written.
    """
    started = time.monotonic()
    shard, chain = await from_snapshot(journal)
    snapshot_sequence = shard.sequence
    head, _ = await journal.head()
    reported = started
    while True:
        entries, chain = await journal.after(shard.sequence, chain, SLICE)
        if not entries:
            break
        replay(shard, entries)
        if time.monotonic() - reported > _PROGRESS_EVERY_S:
            reported = time.monotonic()
            logger.info("recovering: %d of %d commands", shard.sequence, max(head, shard.sequence))
    logger.info(
        "recovered at sequence %d: snapshot at %d and %d commands in %.2f s, digest %016x, %d open orders",
        shard.sequence, snapshot_sequence, shard.sequence - snapshot_sequence,
        time.monotonic() - started, shard.digest(), shard.open_orders,
    )  # fmt: skip
    return shard, chain, snapshot_sequence


async def shard_at(journal: Journal, sequence: int) -> Shard:
    """Return the shard as it was after an entry, from the newest snapshot before. Raises JournalCorrupt."""
    shard, chain = await from_snapshot(journal, sequence)
    await advance(journal, shard, chain, sequence)
    return shard


async def advance(journal: Journal, shard: Shard, chain: bytes, upto: int) -> bytes:
    """Execute the entries that follow again, up to a sequence, and return the chain there. Raises JournalCorrupt."""
    while shard.sequence < upto:
        entries, chain = await journal.after(shard.sequence, chain, min(SLICE, upto - shard.sequence))
        if not entries:
            raise JournalCorrupt(shard.sequence + 1, "is missing")
        replay(shard, entries)
    return chain


def replay(shard: Shard, entries: list[Entry]) -> None:
    """Execute entries again. Raises JournalCorrupt naming the first whose events differ."""
    for entry in entries:
        if len(entry.command) != COMMAND_SIZE or sequence_of(entry.command) != entry.sequence:
            raise JournalCorrupt(entry.sequence, "its command is not that of this entry")
    events = shard.apply(b"".join(entry.command for entry in entries))
    if events == b"".join(entry.events for entry in entries):
        return
    at = 0
    for entry in entries:
        if events[at : at + len(entry.events)] != entry.events:
            raise JournalCorrupt(entry.sequence, "executed again it causes other events than it did")
        at += len(entry.events)
    raise JournalCorrupt(entries[-1].sequence, "executed again it causes more events than it did")


async def from_snapshot(journal: Journal, at_most: int = SEQUENCE_MAX) -> tuple[Shard, bytes]:
    """Return the shard of the newest snapshot that is no later than ``at_most``, and the chain there.

    Without any it is a new shard. Raises JournalCorrupt.
    """
    snapshot = await journal.latest_snapshot(at_most)
    return (Shard(), GENESIS) if snapshot is None else (restored(snapshot), snapshot.chain)


def restored(snapshot: Snapshot) -> Shard:
    """Return the shard of a snapshot. Raises JournalCorrupt for one that is not what it is filed as."""
    try:
        shard = Shard.restore(snapshot.state)
    except SnapshotError as error:
        raise JournalCorrupt(snapshot.sequence, f"the snapshot taken here cannot be restored: {error}") from error
    if shard.sequence != snapshot.sequence:
        raise JournalCorrupt(snapshot.sequence, f"the snapshot filed here is of sequence {shard.sequence}")
    return shard
