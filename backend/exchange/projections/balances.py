"""Projection `balances`: every account's balances, and the ledger entries that they are the sum of."""

from engine.orders.ledger import Ledger
from exchange.contracts.catalogue import Catalogue
from exchange.projections.slice import TURN_ROWS, Connection, Slice, copy_rows, in_turns
from exchange.storage.tables import balances, ledger

LEDGER_COLUMNS = (
    "shard", "account", "sequence", "created_ns", "assets", "kinds", "available_changes", "held_changes",
    "available_after", "held_after", "order_ids", "trade_ids",
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

# Some 10 MB. When more are known all are forgotten, and read again as they are needed.
KNOWN_BALANCES_MAX = 100_000


class Balances:
    """The rules are those of postings.py, compiled in engine/orders/ledger.pyx."""

    name = "balances"
    tables = (balances, ledger)

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        # Knows balances as the table has them: only the owner of the watermark changes it.
        self._ledger = Ledger()

    def forget(self) -> None:
        self._ledger.forget()

    async def write(self, connection: Connection, entries: Slice) -> None:
        self._know_markets()
        await self._know(connection, entries)
        await copy_rows(connection, "ledger", LEDGER_COLUMNS, entries.rows_with_commands(self._ledger.rows))
        # In the order of the key, so that two writers would wait for each other and never deadlock.
        async for touched in in_turns(self._ledger.touched(), TURN_ROWS):
            accounts, assets, available, held, sequences = zip(*touched, strict=True)
            totals = [list(map(str, column)) for column in (available, held)]
            await connection.execute(_UPSERT, entries.shard, accounts, assets, *totals, sequences)

    def _know_markets(self) -> None:
        """Have every market's assets: they never change once it is defined."""
        for number in range(self._ledger.markets + 1, len(self._catalogue.markets) + 1):
            market = self._catalogue.markets[number]
            self._ledger.define(market.base.number, market.quote.number, market.lot_units)

    async def _know(self, connection: Connection, entries: Slice) -> None:
        """Have every balance that the slice touches."""
        if len(self._ledger) > KNOWN_BALANCES_MAX:
            self.forget()
        unknown: set[tuple[int, int]] = set()
        async for events in entries.turns():
            unknown.update(self._ledger.unknown(entries.first, entries.commands, events))
        if not unknown:
            return
        accounts, assets = zip(*unknown, strict=True)
        for account, asset, available, held, sequence in await connection.fetch(_LOAD, entries.shard, accounts, assets):
            self._ledger.learn(account, asset, int(available), int(held), sequence)
