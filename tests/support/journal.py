"""Journals for tests: what an engine made of commands, appended as a leader would."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.reference import Shard
from exchange.storage.database import connect
from exchange.storage.journal import GENESIS, seal

SHARD = 1
COLUMNS = ("shard", "sequence", "epoch", "command", "events", "chain")


@dataclass(frozen=True)
class Entry:
    """One journal entry."""

    sequence: int
    command: bytes
    events: bytes


class JournalWriter:
    """The leader of a shard in a test: applies commands, one entry each, and appends them."""

    def __init__(self, url: str, *, shard: int = SHARD, epoch: int = 1) -> None:
        self.engine = Shard()
        self._url = url
        self._shard = shard
        self._epoch = epoch
        self._chain = {0: GENESIS}

    async def lead(self) -> None:
        """Take the lease."""
        connection = await connect(self._url)
        await connection.execute(
            "INSERT INTO shard_lease (shard, epoch, holder, acquired_ns) VALUES ($1, $2, 'test', 0)"
            " ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch",
            self._shard, self._epoch,
        )  # fmt: skip
        await connection.close()

    def apply(self, commands: Iterable[bytes]) -> list[Entry]:
        """Let the engine take the stamped commands."""
        return [
            Entry(int.from_bytes(command[8:16], "little"), command, self.engine.apply(command)) for command in commands
        ]

    async def append(self, entries: Sequence[Entry]) -> None:
        """Write the entries in one transaction."""
        connection = await connect(self._url)
        try:
            await connection.copy_records_to_table("journal", records=self.rows(entries), columns=COLUMNS)
        finally:
            await connection.close()

    def rows(self, entries: Sequence[Entry]) -> list[tuple[int, int, int, bytes, bytes, bytes]]:
        return [(self._shard, e.sequence, self._epoch, e.command, e.events, self._seal(e)) for e in entries]

    def _seal(self, entry: Entry) -> bytes:
        before = self._chain.get(entry.sequence - 1, GENESIS)
        self._chain[entry.sequence] = chain = seal(before, entry.command, entry.events)
        return chain

    async def write(self, commands: Iterable[bytes]) -> None:
        """Apply and append the stamped commands."""
        await self.append(self.apply(commands))
