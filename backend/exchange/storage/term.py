"""What a replica of a shard begins with: the tables, all as they are after one and the same entry of the journal.

Live orders, latest trades, minutes, client order ids, references of transfers.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import attrgetter

import asyncpg

from exchange.contracts.order_state import OrderState
from exchange.contracts.transfers import reference_of, transfer_key
from exchange.storage.database import connect
from exchange.storage.journal import Entry

_ROWS_AT_ONCE = 5_000
_ORDER_COLUMNS = ", ".join(OrderState.FIELDS)
_FIND_ORDER = (
    "SELECT j.sequence, j.command, j.events FROM journal j WHERE j.shard = $1 AND j.sequence = ("
    "SELECT order_id FROM orders WHERE shard = $1 AND account = $2 AND client_order_id = $3 UNION ALL "
    "SELECT sequence FROM rejections WHERE shard = $1 AND account = $2 AND client_order_id = $3 LIMIT 1)"
)
_FIND_TRANSFER = (
    "SELECT j.sequence, j.command, j.events FROM journal j JOIN transfers t USING (shard, sequence) "
    "WHERE t.shard = $1 AND t.account = $2 AND t.reference = $3"
)


class TablesApart(Exception):
    """The projections stand at different entries, as while one is rebuilt: ask again."""


def _order(row: asyncpg.Record) -> OrderState:
    return OrderState(*row)  # its columns are the fields, in their order


class TablesAt:
    """One shard's tables as they are after the entry ``sequence``."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", shard: int, sequence: int) -> None:
        self._connection = connection
        self._shard = shard
        self.sequence = sequence

    async def live_orders(self) -> list[OrderState]:
        """Every resting or waiting order, oldest first."""
        query = f"SELECT {_ORDER_COLUMNS} FROM orders WHERE shard = $1 AND status <= 2"  # noqa: S608
        cursor = await self._connection.cursor(query, self._shard)
        orders: list[OrderState] = []
        while rows := await cursor.fetch(_ROWS_AT_ONCE):
            orders += map(_order, rows)
        orders.sort(key=attrgetter("order_id"))
        return orders

    async def minutes(self, since_ns: int) -> dict[int, list[tuple[int, int, int, int, int, int, int]]]:
        """By market, (opened_ns, open, high, low, close, volume_lots, trades) of minutes since then, oldest first."""
        rows = await self._connection.fetch(
            "SELECT market, opened_ns, open_ticks, high_ticks, low_ticks, close_ticks, volume_lots, trades "
            "FROM candles_1m WHERE shard = $1 AND opened_ns >= $2 ORDER BY market, opened_ns",
            self._shard, since_ns,
        )  # fmt: skip
        by_market: dict[int, list[tuple[int, int, int, int, int, int, int]]] = {}
        for market, *minute, volume_lots, trades in rows:
            by_market.setdefault(market, []).append((*minute, int(volume_lots), trades))
        return by_market

    async def latest_trades(self, market: int, limit: int) -> list[tuple[Entry, int]]:
        """The journal entries that hold a market's latest trades and each trade's id, oldest first."""
        rows = await self._connection.fetch(
            "SELECT j.sequence, j.command, j.events, t.trade_id "
            "FROM trades t JOIN journal j USING (shard, sequence) "
            "WHERE t.shard = $1 AND t.market = $2 ORDER BY t.trade_id DESC LIMIT $3",
            self._shard, market, limit,
        )  # fmt: skip
        return [(Entry(row["sequence"], row["command"], row["events"]), row["trade_id"]) for row in reversed(rows)]

    async def client_order_ids(self) -> AsyncIterator[tuple[int, str]]:
        """Every (account, client order id) ever used, of orders and of refusals, and the keys of transfers."""
        cursor = self._connection.cursor(
            "SELECT account, client_order_id FROM orders WHERE shard = $1 AND client_order_id IS NOT NULL "
            "UNION ALL SELECT account, client_order_id FROM rejections WHERE shard = $1",
            self._shard, prefetch=_ROWS_AT_ONCE,
        )  # fmt: skip
        async for account, client_order_id in cursor:
            yield account, client_order_id
        cursor = self._connection.cursor(
            "SELECT account, reference FROM transfers WHERE shard = $1 AND reference IS NOT NULL",
            self._shard, prefetch=_ROWS_AT_ONCE,
        )  # fmt: skip
        async for account, reference in cursor:
            yield account, transfer_key(reference)


class TermTables:
    """Reads one shard's tables on connections of its own, apart from the requests' pool."""

    def __init__(self, dsn: str, shard: int) -> None:
        self._dsn = dsn
        self._shard = shard

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[TablesAt]:
        """The tables as they are now, whatever is written meanwhile. Raises TablesApart."""
        async with self._connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            stands = [
                row["sequence"]
                for row in await connection.fetch(
                    "SELECT DISTINCT sequence FROM watermarks WHERE shard = $1 ORDER BY sequence", self._shard
                )
            ] or [0]
            if len(stands) > 1:
                raise TablesApart(f"the tables stand at entries {stands[0]} to {stands[-1]}")
            yield TablesAt(connection, self._shard, stands[0])

    async def find_entry(self, account: int, client_order_id: str) -> Entry | None:
        """The journal entry of the order, or the refusal, with this client order id; of the transfer with this key."""
        reference = reference_of(client_order_id)
        query, name = (_FIND_ORDER, client_order_id) if reference is None else (_FIND_TRANSFER, reference)
        async with self._connection() as connection:
            row = await connection.fetchrow(query, self._shard, account, name)
        return Entry(*row) if row else None

    @asynccontextmanager
    async def _connection(self) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
        connection = await connect(self._dsn, settings={"application_name": f"exchange term {self._shard}"})
        try:
            yield connection
        finally:
            await connection.close()
