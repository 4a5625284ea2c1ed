"""One shard in Postgres: what the corridor needs of it, in one place (`corridor/store.py`)."""

from typing import NoReturn

from exchange.storage.journal import SNAPSHOTS_KEPT, save_snapshot
from exchange.storage.lease import Candidate, keep_renewing, stand
from exchange.storage.term import TermTables


class PostgresStore:
    """The journal, the lease, the snapshots and the tables of one shard."""

    def __init__(self, dsn: str, shard: int, snapshots_kept: int = SNAPSHOTS_KEPT) -> None:
        self._dsn = dsn
        self._snapshots_kept = snapshots_kept
        self.shard = shard
        self.tables = TermTables(dsn, shard)

    async def stand(self) -> Candidate:
        """Connect to follow the journal and to lead it one day. Raises DatabaseUnreachable."""
        return await stand(self._dsn, self.shard)

    async def keep_renewing(self, epoch: int) -> NoReturn:
        """Renew the lease of an epoch until cancelled. Raises Fenced once it is another's, JournalError."""
        await keep_renewing(self._dsn, self.shard, epoch)

    async def save_snapshot(self, sequence: int, digest: int, state: bytes) -> None:
        """Keep the engine's state after an entry that is durable."""
        await save_snapshot(self._dsn, self.shard, sequence, digest, state, self._snapshots_kept)
