"""Start-up is recovery: the latest snapshot, then the journal's tail through the `Shard.apply` that live commands take.

Every entry is executed again and its events compared with the journal's, byte by byte: a start proves that this build
decides as the one that wrote the journal did, or refuses to go on and names the sequence.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from engine.matching import Shard, SnapshotError
from engine.records import COMMAND_SIZE
from exchange.contracts.commands import sequence_of
from exchange.corridor.store import Journal
from exchange.storage.journal import GENESIS, SEQUENCE_MAX, Entry, JournalCorrupt, Snapshot

logger = logging.getLogger(__name__)

SLICE = 5_000
_PROGRESS_EVERY_S = 2.0


async def shard_at(journal: Journal, sequence: int) -> Shard:
    """Return the shard as it was after an entry, from the newest snapshot before. Raises JournalCorrupt."""
    shard, chain = await from_snapshot(journal, sequence)
    await advance(journal, shard, chain, sequence)
    return shard


async def advance(journal: Journal, shard: Shard, chain: bytes, upto: int) -> bytes:
    """Execute the entries that follow again, up to a sequence, and return the chain there. Raises JournalCorrupt."""
    told = time.monotonic()
    async with aclosing(slices(journal, shard.sequence, chain, SLICE, upto)) as tail:
        async for entries, chain_there in tail:
            replay(shard, entries)
            chain = chain_there
            if time.monotonic() - told > _PROGRESS_EVERY_S:
                told = time.monotonic()
                logger.info("recovering: %d of %d commands", shard.sequence, upto)
    if shard.sequence < upto:
        raise JournalCorrupt(shard.sequence + 1, "is missing")
    return chain


async def slices(
    journal: Journal, sequence: int, chain: bytes, size: int, upto: int = SEQUENCE_MAX
) -> AsyncGenerator[tuple[list[Entry], bytes], None]:
    """Yield (entries, the chain after them) from behind ``sequence`` to ``upto`` or the journal's end.

    While one is executed the next is on its way. Raises JournalCorrupt.
    """
    entries, chain = await journal.after(sequence, chain, min(size, upto - sequence))
    while entries:
        sequence = entries[-1].sequence
        coming = asyncio.ensure_future(journal.after(sequence, chain, min(size, upto - sequence)))
        try:
            await asyncio.sleep(0)  # it is asked for
            yield entries, chain
            entries, chain = await coming
        finally:
            coming.cancel()


def replay(shard: Shard, entries: Sequence[Entry]) -> None:
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
