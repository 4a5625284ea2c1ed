"""One shard in Postgres: what the corridor needs of it, in one place (`corridor/store.py`)."""

from exchange.storage.journal import SNAPSHOTS_KEPT, JournalLeader, lead, save_snapshot
from exchange.storage.term import TermTables


class PostgresStore:
    """The journal, the lease, the snapshots and the tables of one shard."""

    def __init__(self, dsn: str, shard: int, snapshots_kept: int = SNAPSHOTS_KEPT) -> None:
        self._dsn = dsn
        self._snapshots_kept = snapshots_kept
        self.shard = shard
        self.tables = TermTables(dsn, shard)

    async def lead(self, holder: str) -> JournalLeader | None:
        """Take the lead; None while another one has it. Raises JournalError, DatabaseUnreachable."""
        return await lead(self._dsn, self.shard, holder)

    async def save_snapshot(self, sequence: int, digest: int, state: bytes) -> None:
        """Keep the engine's state after an entry that is durable."""
        await save_snapshot(self._dsn, self.shard, sequence, digest, state, self._snapshots_kept)
