"""Projection `balances`: every account's balances, and the ledger entries that they are the sum of."""

from collections.abc import AsyncIterator

from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import Event
from exchange.projections.postings import Posting, postings_of
from exchange.projections.slice import NULL, Connection, Slice, in_turns
from exchange.storage.tables import balances, ledger_entries

_ENTRY_COLUMNS = (
    "shard", "account", "sequence", "position", "asset", "kind", "available_change", "held_change",
    "available_after", "held_after", "order_id", "trade_id", "created_ns",
)  # fmt: skip

_LOAD = """
SELECT account, asset, available::text, held::text, sequence
FROM unnest($2::bigint[], $3::integer[]) AS wanted(account, asset) JOIN balances USING (account, asset)
WHERE balances.shard = $1
"""
_UPSERT = """
INSERT INTO balances (shard, account, asset, available, held, sequence)
SELECT $1, * FROM unnest($2::bigint[], $3::integer[], $4::text[]::numeric[], $5::text[]::numeric[], $6::bigint[])
ON CONFLICT (shard, account, asset) DO UPDATE
SET available = excluded.available, held = excluded.held, sequence = excluded.sequence
"""

Key = tuple[int, int]  # account, asset

# Some 30 MB. When more are known all are forgotten, and read again as they are needed.
KNOWN_BALANCES_MAX = 100_000


class Balances:
    name = "balances"
    tables = (balances, ledger_entries)

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        # The latest [available, held, sequence] as the table has it: only the owner of the watermark changes it.
        self._known: dict[Key, list[int]] = {}

    def forget(self) -> None:
        self._known.clear()

    async def write(self, connection: Connection, entries: Slice) -> None:
        postings = await self._postings(entries)
        touched = {(posting.account, posting.asset) for _, _, posting in postings}
        if not touched:
            return
        await self._know(connection, entries.shard, touched)
        rows = self._rows(entries.shard, postings)
        await connection.copy_to_table("ledger_entries", source=rows, columns=_ENTRY_COLUMNS)
        await self._save(connection, entries.shard, touched)

    async def _postings(self, entries: Slice) -> list[tuple[Event, int, Posting]]:
        """Every posting with its event and its position among those of the same command."""
        found: list[tuple[Event, int, Posting]] = []
        sequence = position = 0
        async for batch in in_turns(entries.events):
            for command, event in batch:
                if event.sequence != sequence:
                    sequence, position = event.sequence, 0
                for posting in postings_of(event, self._catalogue, command):
                    found.append((event, position, posting))
                    position += 1
        return found

    async def _know(self, connection: Connection, shard: int, touched: set[Key]) -> None:
        if len(self._known) > KNOWN_BALANCES_MAX:
            self.forget()
        unknown = touched.difference(self._known)
        if not unknown:
            return
        accounts, assets = zip(*unknown, strict=True)
        self._known.update({key: [0, 0, 0] for key in unknown})
        for account, asset, available, held, sequence in await connection.fetch(_LOAD, shard, accounts, assets):
            self._known[account, asset] = [int(available), int(held), sequence]

    async def _rows(self, shard: int, postings: list[tuple[Event, int, Posting]]) -> AsyncIterator[bytes]:
        """Apply the postings to the known balances, and yield the entries with what each left."""
        known = self._known
        async for batch in in_turns(postings):
            lines = []
            for event, position, (account, asset, kind, available_change, held_change, order_id, trade_id) in batch:
                balance = known[account, asset]
                balance[0] += available_change
                balance[1] += held_change
                balance[2] = event.sequence
                lines.append(
                    f"{shard}\t{account}\t{event.sequence}\t{position}\t{asset}\t{kind:d}\t{available_change}"
                    f"\t{held_change}\t{balance[0]}\t{balance[1]}\t{order_id or NULL}\t{trade_id or NULL}"
                    f"\t{event.timestamp_ns}\n"
                )
            yield "".join(lines).encode()

    async def _save(self, connection: Connection, shard: int, touched: set[Key]) -> None:
        # In the order of the key, so that two writers would wait for each other and never deadlock.
        keys = sorted(touched)
        accounts, assets = zip(*keys, strict=True)
        available, held, sequences = zip(*[self._known[key] for key in keys], strict=True)
        texts = [[str(value) for value in column] for column in (available, held)]
        await connection.execute(_UPSERT, shard, accounts, assets, *texts, sequences)
