"""Read queries over the projections: what the API's lists and look-ups are made of.

Lists are paged by key (the position of the last row that was seen), never by offset. All numbers are those of the
tables: ticks, lots, units, nanoseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Row, Select, Table, and_, exists, func, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncEngine

from exchange.contracts.order_state import Fill, OrderState, OrderStatus
from exchange.storage.tables import balances, candles_1m, fills, ledger_entries, orders, rejections, trades, watermarks

OrderScope = Literal["open", "closed", "all"]
LEDGER_DEPOSIT = 1  # ledger_entries.kind
MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Trade:
    """A public trade; side is the taker's."""

    trade_id: int
    market: int
    side: int
    price_ticks: int
    quantity_lots: int
    sequence: int
    executed_ns: int
    is_auction: bool


@dataclass(frozen=True, slots=True)
class Candle:
    """The trades of an interval."""

    opened_ns: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int
    trades: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has of an asset, in units."""

    asset: int
    available: int
    held: int
    sequence: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A change of a balance, in units; ``kind`` as ledger_entries numbers it."""

    sequence: int
    position: int
    asset: int
    kind: int
    available_change: int
    held_change: int
    available_after: int
    held_after: int
    order_id: int | None
    trade_id: int | None
    created_ns: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refused order that had a client order id."""

    sequence: int
    reason: int


def _columns(table: Table, row: type[Any]) -> list[ColumnElement[Any]]:
    """The table's columns that a row type takes, in its order."""
    return [table.c[name] for name in row.__dataclass_fields__]


_ORDER_COLUMNS = [orders.c[name] for name in OrderState.FIELDS]
_FILL_COLUMNS = [fills.c[name] for name in Fill._fields]
_TRADE_COLUMNS = _columns(trades, Trade)
_CANDLE_COLUMNS = _columns(candles_1m, Candle)
_BALANCE_COLUMNS = _columns(balances, Balance)
_LEDGER_COLUMNS = _columns(ledger_entries, LedgerEntry)


class Queries:
    """The reads of one shard. Each is one statement on one connection, outside any transaction."""

    def __init__(self, engine: AsyncEngine, shard: int) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._shard = shard

    async def orders(
        self, account: int, *, scope: OrderScope, market: int | None, before: int | None, limit: int
    ) -> list[OrderState]:
        """Return an account's orders, newest first, those with an id below ``before``."""
        query = select(*_ORDER_COLUMNS).where(orders.c.shard == self._shard, orders.c.account == account)
        if scope == "open":
            query = query.where(orders.c.status <= OrderStatus.PARTIALLY_FILLED.value)
        elif scope == "closed":
            query = query.where(orders.c.status > OrderStatus.PARTIALLY_FILLED.value)
        if market is not None:
            query = query.where(orders.c.market == market)
        if before is not None:
            query = query.where(orders.c.order_id < before)
        return [order_of(row) for row in await self._all(query.order_by(orders.c.order_id.desc()).limit(limit))]

    async def order(self, account: int, order_id: int) -> OrderState | None:
        """Return an account's order; None when it is unknown or somebody else's."""
        return await self._one_order(orders.c.order_id == order_id, account)

    async def order_by_client_id(self, account: int, client_order_id: str) -> OrderState | None:
        """Return the order that an account placed under a client order id."""
        return await self._one_order(orders.c.client_order_id == client_order_id, account)

    async def _one_order(self, condition: ColumnElement[bool], account: int) -> OrderState | None:
        query = select(*_ORDER_COLUMNS).where(orders.c.shard == self._shard, condition, orders.c.account == account)
        rows = await self._all(query)
        return order_of(rows[0]) if rows else None

    async def rejection(self, account: int, client_order_id: str) -> Rejection | None:
        """Return the refusal that an account got under a client order id."""
        query = select(rejections.c.sequence, rejections.c.reason).where(
            rejections.c.shard == self._shard,
            rejections.c.account == account,
            rejections.c.client_order_id == client_order_id,
        )
        rows = await self._all(query)
        return Rejection(rows[0].sequence, rows[0].reason) if rows else None

    async def is_known(self, account: int, client_order_id: str) -> tuple[int, bool]:
        """Return (watermark, whether an account has an order or a refusal under a client order id), of one moment."""

        def has(table: Table) -> ColumnElement[bool]:
            return exists().where(
                table.c.shard == self._shard, table.c.account == account, table.c.client_order_id == client_order_id
            )

        watermark = func.coalesce(func.min(watermarks.c.sequence), 0)
        query = select(watermark, has(orders), has(rejections)).where(watermarks.c.shard == self._shard)
        row: Sequence[Any] = (await self._all(query))[0]
        return row[0], row[1] or row[2]

    async def order_fills(
        self, account: int, order_id: int, *, after: tuple[int, bool] | None, limit: int
    ) -> list[Fill]:
        """Return an order's fills, oldest first, those after the key (trade_id, is_maker)."""
        key = tuple_(fills.c.trade_id, fills.c.is_maker)
        query = select(*_FILL_COLUMNS).where(
            fills.c.shard == self._shard, fills.c.order_id == order_id, fills.c.account == account
        )
        if after is not None:
            query = query.where(key > after)
        query = query.order_by(fills.c.trade_id, fills.c.is_maker).limit(limit)
        return [Fill(*tuple(row)) for row in await self._all(query)]

    async def account_fills(
        self, account: int, *, market: int | None, before: tuple[int, bool] | None, limit: int
    ) -> list[Fill]:
        """Return the fills of all orders of an account, newest first, those before the key (trade_id, is_maker)."""
        key = tuple_(fills.c.trade_id, fills.c.is_maker)
        query = select(*_FILL_COLUMNS).where(fills.c.shard == self._shard, fills.c.account == account)
        if market is not None:
            query = query.where(fills.c.market == market)
        if before is not None:
            query = query.where(key < before)
        query = query.order_by(fills.c.trade_id.desc(), fills.c.is_maker.desc()).limit(limit)
        return [Fill(*tuple(row)) for row in await self._all(query)]

    async def trades(self, market: int, *, before: int | None, limit: int) -> list[Trade]:
        """Return a market's trades, newest first, those with an id below ``before``."""
        query = select(*_TRADE_COLUMNS).where(trades.c.shard == self._shard, trades.c.market == market)
        if before is not None:
            query = query.where(trades.c.trade_id < before)
        return [Trade(*tuple(row)) for row in await self._all(query.order_by(trades.c.trade_id.desc()).limit(limit))]

    async def candles(self, market: int, *, minutes: int, end_ns: int, limit: int) -> list[Candle]:
        """Return the last ``limit`` candles of ``minutes`` minutes that opened before ``end_ns``, oldest first."""
        # limit * minutes rows of a minute hold `limit` whole candles or everything there is, so that the work is
        # bounded; a candle that this cuts in two is one more than was asked for and falls to the outer limit.
        recent = (
            select(*_CANDLE_COLUMNS)
            .where(candles_1m.c.shard == self._shard, candles_1m.c.market == market, candles_1m.c.opened_ns < end_ns)
            .order_by(candles_1m.c.opened_ns.desc())
            .limit(limit * minutes)
            .subquery()
        )
        opened = recent.c.opened_ns
        # Inline, for the same expression has to be in SELECT and GROUP BY.
        width = literal_column(str(minutes * MINUTE_NS), BigInteger)
        bucket = (opened - opened % width).label("bucket_ns")
        query = (
            select(
                bucket,
                func.array_agg(aggregate_order_by(recent.c.open_ticks, opened.asc()))[1],
                func.max(recent.c.high_ticks),
                func.min(recent.c.low_ticks),
                func.array_agg(aggregate_order_by(recent.c.close_ticks, opened.desc()))[1],
                func.sum(recent.c.volume_lots),
                func.sum(recent.c.trades),
            )
            .group_by(bucket)
            .order_by(bucket.desc())
            .limit(limit)
        )
        rows = await self._all(query)
        return [Candle(*map(int, row)) for row in reversed(rows)]

    async def balances(self, account: int) -> list[Balance]:
        """Return what an account has, by asset."""
        query = select(*_BALANCE_COLUMNS).where(balances.c.shard == self._shard, balances.c.account == account)
        return [Balance(*map(int, row)) for row in await self._all(query.order_by(balances.c.asset))]

    async def ledger(
        self, account: int, *, asset: int | None, before: tuple[int, int] | None, limit: int
    ) -> list[LedgerEntry]:
        """Return an account's ledger, newest first, the entries before the key (sequence, position)."""
        key = (ledger_entries.c.sequence, ledger_entries.c.position)
        query = select(*_LEDGER_COLUMNS).where(
            ledger_entries.c.shard == self._shard, ledger_entries.c.account == account
        )
        if asset is not None:
            query = query.where(ledger_entries.c.asset == asset)
        if before is not None:
            query = query.where(tuple_(*key) < before, key[0] <= before[0])
        query = query.order_by(*(column.desc() for column in key)).limit(limit)
        return [ledger_entry_of(row) for row in await self._all(query)]

    async def deposited_since(self, account: int, asset: int, since_ns: int) -> int:
        """Return the units that an account deposited of an asset since a time."""
        query = select(func.coalesce(func.sum(ledger_entries.c.available_change), 0)).where(
            and_(
                ledger_entries.c.shard == self._shard,
                ledger_entries.c.account == account,
                ledger_entries.c.asset == asset,
                ledger_entries.c.kind == LEDGER_DEPOSIT,
                ledger_entries.c.created_ns >= since_ns,
            )
        )
        return int((await self._all(query))[0][0])

    async def watermark(self) -> int:
        """Return the last entry that every projection includes."""
        return min((await self.watermarks()).values(), default=0)

    async def watermarks(self) -> dict[str, int]:
        """Return how far each projection has followed the journal."""
        query = select(watermarks.c.projection, watermarks.c.sequence).where(watermarks.c.shard == self._shard)
        return {row.projection: row.sequence for row in await self._all(query)}

    async def _all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        async with self._engine.connect() as connection:
            rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
            return rows


def order_of(row: Row[Any]) -> OrderState:
    """Return the order of a row that has its fields, in their order."""
    return OrderState(*tuple(row))


def ledger_entry_of(row: Row[Any]) -> LedgerEntry:
    """Return the entry of a row that has its fields, by their names."""
    fields: dict[str, Any] = dict(row._mapping)
    return LedgerEntry(**fields | {name: int(fields[name]) for name in ("available_after", "held_after")})
