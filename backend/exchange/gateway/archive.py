"""What streams read outside of this process when a client comes back: the journal, the tables, the past."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from exchange.contracts.order_state import OrderState
from exchange.contracts.refusals import Refused
from exchange.gateway.context import Past, Projections
from exchange.gateway.tail import CannotFollow
from exchange.storage.database import Database, DatabaseUnreachable
from exchange.storage.journal import Entry
from exchange.storage.queries import Queries

TABLES_TIMEOUT_S = 5.0
UNREADABLE = (SQLAlchemyError, DatabaseUnreachable, OSError)  # TimeoutError is an OSError

_ENTRIES = text(
    "SELECT sequence, command, events FROM journal WHERE shard = :shard AND sequence > :after"
    " ORDER BY sequence LIMIT :limit"
)


class JournalArchive:
    """Reads one shard. Every method raises CannotFollow where what it is asked for cannot be read now."""

    def __init__(self, database: Database, shard: int, projections: Projections, past: Past) -> None:
        self._engine = database.engine
        self._queries = Queries(database.engine, shard)
        self._shard = shard
        self._projections = projections
        self._past = past

    async def entries(self, after: int, limit: int) -> Sequence[Entry]:
        """Return the journal's entries after a sequence, in order."""
        values = {"shard": self._shard, "after": after, "limit": limit}
        try:
            async with self._engine.connect() as connection:
                rows = await connection.execute(_ENTRIES, values)
                return [Entry(sequence, bytes(command), bytes(events)) for sequence, command, events in rows]
        except UNREADABLE:
            raise CannotFollow("the journal cannot be read now") from None

    async def order(self, account: int, order_id: int, sequence: int) -> OrderState | None:
        """Return an account's order as the tables have it once they include the sequence."""
        try:
            await self._projections.wait_for(sequence, TABLES_TIMEOUT_S)
            return await self._queries.order(account, order_id)
        except UNREADABLE:
            raise CannotFollow("the tables cannot be read now") from None

    async def book(self, market: int, sequence: int) -> tuple[int, Sequence[Sequence[int]]]:
        """Return (mode, orders) of a market after an entry, an order as (id, side, price_ticks, visible_lots)."""
        try:
            found = await self._past.orders(market, sequence)
        except Refused as refused:
            raise CannotFollow(refused.refusal.detail) from None
        if found is None:
            raise CannotFollow(f"there was no such market after entry {sequence}")
        return found
