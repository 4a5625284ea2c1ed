"""An account's history: orders, fills and ledger by sequence, either way, in pages of bounded work.

A page begins behind the key of the last row that was seen, so rows that come meanwhile neither shift nor repeat it.
A filter that finds little is no reason to read everything: after SCAN_ROWS_MAX rows a page ends, maybe empty, and the
next one goes on from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, ColumnElement, Row, Select, Table, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from exchange.contracts.order_state import Fill, OrderState
from exchange.storage.queries import LedgerEntry, ledger_entry_of, order_of
from exchange.storage.tables import fills, ledger_entries, orders

SCAN_ROWS_MAX = 20_000

RowType = TypeVar("RowType")


@dataclass(frozen=True, slots=True)
class Window:
    """A part of history, sequences inclusive. ``after``: the key of the last row that was seen."""

    first: int
    last: int
    newest_first: bool
    after: tuple[int, ...] | None
    limit: int


@dataclass(frozen=True, slots=True)
class Page(Generic[RowType]):
    """Rows in order. ``key``: where the next page begins; None where there are no more rows now."""

    rows: list[RowType]
    key: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class AccountFill:
    """A fill and the entry that it happened with."""

    fill: Fill
    sequence: int


class History:
    """The reads of one shard. Each is a statement or two on one connection, outside any transaction."""

    def __init__(self, engine: AsyncEngine, shard: int) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._shard = shard

    async def orders(
        self,
        account: int,
        window: Window,
        *,
        market: int | None = None,
        side: int | None = None,
        statuses: Sequence[int] | None = None,
    ) -> Page[OrderState]:
        """Return orders by their ids, which are the sequences of their placing."""
        columns = [orders.c[name] for name in OrderState.FIELDS]
        bounds = [orders.c.order_id.between(window.first, window.last)]
        filters: dict[str, Any] = {"market": market, "side": side, "status": statuses}
        page = await self._page(orders, columns, ("order_id",), account, bounds, filters, window)
        return Page([order_of(row) for row in page.rows], page.key)

    async def fills(
        self, account: int, window: Window, *, market: int | None = None, side: int | None = None
    ) -> Page[AccountFill]:
        """Return fills by trade."""
        first, last = await self._trade_at(window.first), await self._trade_at(window.last + 1) - 1
        columns = [*(fills.c[name] for name in Fill._fields), fills.c.sequence]
        bounds = [fills.c.trade_id.between(first, last)]
        filters: dict[str, Any] = {"market": market, "side": side}
        page = await self._page(fills, columns, ("trade_id", "is_maker"), account, bounds, filters, window)
        return Page([AccountFill(Fill._make(row[:-1]), row[-1]) for row in page.rows], page.key)

    async def ledger(
        self, account: int, window: Window, *, asset: int | None = None, kind: int | None = None
    ) -> Page[LedgerEntry]:
        """Return ledger entries."""
        columns = [ledger_entries.c[name] for name in LedgerEntry.__dataclass_fields__]
        bounds = [ledger_entries.c.sequence.between(window.first, window.last)]
        filters: dict[str, Any] = {"asset": asset, "kind": kind}
        page = await self._page(ledger_entries, columns, ("sequence", "position"), account, bounds, filters, window)
        return Page([ledger_entry_of(row) for row in page.rows], page.key)

    async def sequence_at(self, time_ns: int) -> int:
        """Return the first entry of a time or later; one behind the last where there is none.

        By halving, since the time of entries grows with their sequence.
        """
        return await self._first(_FIRST_ENTRY, time_ns)

    async def _trade_at(self, sequence: int) -> int:
        """Return the first trade of an entry or a later one."""
        return await self._first(_FIRST_TRADE, sequence)

    async def _first(self, query: str, target: int) -> int:
        async with self._engine.connect() as connection:
            found = await connection.execute(text(query), {"shard": self._shard, "target": target})
            return int(found.scalar_one())

    async def _page(
        self,
        table: Table,
        columns: Sequence[Column[Any]],
        keys: tuple[str, ...],
        account: int,
        bounds: Sequence[ColumnElement[bool]],
        filters: Mapping[str, Any],
        window: Window,
    ) -> Page[Row[Any]]:
        query = select(*columns).where(table.c.shard == self._shard, table.c.account == account, *bounds)
        if window.after is not None:
            key = tuple_(*(table.c[name] for name in keys))
            seen = tuple(_typed(table.c[name], value) for name, value in zip(keys, window.after, strict=True))
            query = query.where(key < seen if window.newest_first else key > seen)
            # Of a view only this is known to be in an index's order.
            edge = table.c[keys[0]]
            query = query.where(edge <= seen[0] if window.newest_first else edge >= seen[0])
        scanned = query.order_by(*_ordered(table, keys, window.newest_first)).limit(SCAN_ROWS_MAX).subquery()
        wanted = select(scanned).order_by(*_ordered(scanned, keys, window.newest_first)).limit(window.limit + 1)
        filtered = False
        for name, value in filters.items():
            if value is not None:
                filtered = True
                column = scanned.c[name]
                wanted = wanted.where(column == value if isinstance(value, int) else column.in_(value))
        rows = await self._all(wanted)
        if len(rows) > window.limit:
            return Page(list(rows[: window.limit]), _key(rows[window.limit - 1], keys))
        # Everything that was scanned was seen: there is more only where the scan was cut.
        end = await self._end_of_scan(scanned, keys, window.newest_first) if filtered else None
        return Page(list(rows), end)

    async def _end_of_scan(self, scanned: Any, keys: tuple[str, ...], newest_first: bool) -> tuple[int, ...] | None:
        columns = [scanned.c[name] for name in keys]
        query = select(*columns, func.count().over()).order_by(*_ordered(scanned, keys, not newest_first)).limit(1)
        rows = await self._all(query)
        return _key(rows[0], keys) if rows and rows[0][-1] == SCAN_ROWS_MAX else None

    async def _all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        async with self._engine.connect() as connection:
            rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
            return rows


def _ordered(table: Any, keys: tuple[str, ...], newest_first: bool) -> list[Any]:
    columns = [table.c[name] for name in keys]
    return [column.desc() for column in columns] if newest_first else columns


def _typed(column: Column[Any], value: int) -> Any:
    return bool(value) if column.type.python_type is bool else value


def _key(row: Row[Any], keys: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(int(row._mapping[name]) for name in keys)


def _halving(table: str, key: str, value: str) -> str:
    """A query for the least key whose value has reached :target; one above all keys where none has."""
    return f"""
WITH RECURSIVE search (low, high) AS (
    SELECT 1::bigint, (SELECT coalesce(max({key}), 0) + 1 FROM {table} WHERE shard = :shard)
    UNION ALL
    SELECT CASE WHEN reached THEN low ELSE middle + 1 END, CASE WHEN reached THEN middle ELSE high END
    FROM (
        SELECT low, high, (low + high) / 2 AS middle, coalesce(
            (SELECT {value} >= :target FROM {table} WHERE shard = :shard AND {key} = (low + high) / 2), true
        ) AS reached
        FROM search WHERE low < high
    ) AS step
)
SELECT max(low) FROM search
"""  # noqa: S608 - the names are our own


# timestamp_ns of a command record: eight bytes, the lowest first.
_TIMESTAMP = " + ".join(f"(get_byte(command, {16 + byte})::bigint << {8 * byte})" for byte in range(8))
_FIRST_ENTRY = _halving("journal", "sequence", f"({_TIMESTAMP})")
_FIRST_TRADE = _halving("trades", "trade_id", "sequence")
