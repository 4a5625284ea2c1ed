"""The end of the journal, for whoever has to be brought from an earlier entry to now.

The latest entries are kept here as they come; those before are read from the journal. What is missed is given in small
slices with a turn of the loop between them, and the last slice is followed by none: when ``follow`` returns, the one
who asked is as far as the exchange, and stays so by taking every batch.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from exchange.contracts.order_state import OrderState
from exchange.storage.journal import Entry

LATEST = 4_096  # entries kept here
MISSED_MAX = 10_000  # entries; who missed more is told to take a snapshot
SLICE = 128  # entries between two turns of the loop
READ_AT_ONCE = 1_024  # entries from the journal
FOLLOWERS = 4  # at a time; the others wait
WAITING_MAX = 64  # of them; at the bound: refused, take a snapshot
AHEAD_S = 1.0  # so long a client may be ahead of this process


class CannotFollow(Exception):
    """What was missed cannot be told; why, in a sentence."""


class Archive(Protocol):
    """What is kept outside of this process."""

    async def entries(self, after: int, limit: int) -> Sequence[Entry]:
        """Return the journal's entries after a sequence, in order."""

    async def order(self, account: int, order_id: int, sequence: int) -> OrderState | None:
        """Return an account's order as the tables have it once they include the sequence."""

    async def book(self, market: int, sequence: int) -> tuple[int, Sequence[Sequence[int]]]:
        """Return (mode, orders) of a market after an entry, an order as (id, side, price_ticks, visible_lots)."""


class Tail:
    """See the module. ``sequence`` is that of the last entry that was published."""

    def __init__(self, archive: Archive | None) -> None:
        self._archive = archive
        self._latest: list[Entry] = []
        self._followers = asyncio.Semaphore(FOLLOWERS)
        self._waiting = 0
        self.sequence = 0

    def begin(self, sequence: int) -> None:
        """Go on from another entry."""
        self.sequence = sequence
        self._latest.clear()

    def extend(self, entries: Sequence[Entry]) -> None:
        """Take a batch."""
        self._latest += entries
        if entries:
            self.sequence = entries[-1].sequence
        if len(self._latest) > 2 * LATEST:
            del self._latest[:-LATEST]

    @property
    def archive(self) -> Archive:
        """Raises CannotFollow where there is none."""
        if self._archive is None:
            raise CannotFollow("this process has no journal to read")
        return self._archive

    async def follow(self, after: int, take: Callable[[Sequence[Entry]], None]) -> None:
        """Give ``take`` all entries after a sequence, in order, up to the latest there is when this returns.

        Raises CannotFollow.
        """
        missed = self.sequence - after
        if missed > MISSED_MAX:
            raise CannotFollow(f"{missed} entries were missed, and {MISSED_MAX} are replayed at most")
        if self._waiting >= WAITING_MAX:
            raise CannotFollow("too many ask for what they missed")
        self._waiting += 1
        try:
            async with self._followers:
                async for entries in self._before_latest(after):
                    take(entries)
                    after = entries[-1].sequence
        finally:
            self._waiting -= 1
        while self.sequence > after:
            part = self.after(after, SLICE)
            take(part)
            after = part[-1].sequence
            if after < self.sequence:
                await asyncio.sleep(0)

    async def ahead(self, sequence: int) -> bool:
        """Whether a sequence is ahead of this process, and stays so for a moment."""
        deadline = asyncio.get_running_loop().time() + AHEAD_S
        while sequence > self.sequence:
            if asyncio.get_running_loop().time() > deadline:
                return True
            await asyncio.sleep(0.02)
        return False

    async def _before_latest(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        while after < self.sequence and (not self._latest or after < self._latest[0].sequence - 1):
            found = await self.archive.entries(after, READ_AT_ONCE)
            entries = [entry for entry in found if entry.sequence <= self.sequence]  # the rest comes as a batch
            if not entries or entries[0].sequence != after + 1:
                raise CannotFollow(f"the journal does not go on from entry {after}")
            for start in range(0, len(entries), SLICE):
                yield entries[start : start + SLICE]
                await asyncio.sleep(0)
            after = entries[-1].sequence

    def after(self, sequence: int, limit: int = MISSED_MAX) -> Sequence[Entry]:
        """The latest entries, those after a sequence. Raises CannotFollow where that is too long ago."""
        if sequence >= self.sequence:
            return ()
        first = sequence + 1 - self._latest[0].sequence if self._latest else -1
        if first < 0:
            raise CannotFollow("the exchange is faster than its journal can be read")
        return self._latest[first : first + limit]
