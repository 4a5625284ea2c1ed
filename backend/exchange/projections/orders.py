"""Projection `orders`: accepted orders in their latest state, and refusals that a client order id must find again."""

from collections.abc import AsyncIterator

import asyncpg

from engine.orders.fold import OrderFold
from engine.orders.rows import order_rows, rejection_rows
from exchange.contracts.order_state import OrderState
from exchange.projections.slice import TURN_EVENTS, Connection, ProjectionError, Slice, copy_rows, in_turns
from exchange.storage.tables import orders, rejections

ORDER_COLUMNS = ("shard", *OrderState.FIELDS)
REJECTION_COLUMNS = (
    "shard", "sequence", "account", "client_order_id", "reason", "market", "side", "order_type", "time_in_force",
    "flags", "price_ticks", "quantity_lots", "created_ns",
)  # fmt: skip
_TOTALS = ("filled_quote_units", "fee_units")  # NUMERIC columns, read as Decimal

_LOAD = f"""
SELECT {", ".join(OrderState.FIELDS)} FROM unnest($2::bigint[]) AS wanted(order_id) JOIN orders USING (order_id)
WHERE shard = $1
"""  # noqa: S608 - the names are our own
_DELETE = """
DELETE FROM orders USING unnest($2::bigint[]) AS changed(order_id)
WHERE orders.shard = $1 AND orders.order_id = changed.order_id
"""

# Live orders in memory, some 20 MB. When more are known all are forgotten, and read again as they are needed.
KNOWN_ORDERS_MAX = 50_000


class Orders:
    name = "orders"
    tables = (orders, rejections)

    def __init__(self) -> None:
        # Live orders as the table has them: only the owner of the watermark changes it.
        self._known: dict[int, OrderState] = {}

    def forget(self) -> None:
        self._known.clear()

    async def write(self, connection: Connection, entries: Slice) -> None:
        fold = OrderFold(self._known, entries.first, entries.commands)
        await self._know(connection, entries, fold)
        async for events in entries.turns():
            fold.take(events)
        async for changed in in_turns(list(fold.changed), TURN_EVENTS):
            await _delete(connection, entries, changed)
        written = [*fold.changed.values(), *fold.accepted.values()]
        if written:
            await copy_rows(connection, "orders", ORDER_COLUMNS, _order_rows(entries.shard, written))
        if entries.rejected:
            await copy_rows(connection, "rejections", REJECTION_COLUMNS, entries.rows_with_commands(rejection_rows))
        for order in written:
            if not order.is_live:
                del self._known[order.order_id]

    async def _know(self, connection: Connection, entries: Slice, fold: OrderFold) -> None:
        """Have every order of an earlier slice that this one names."""
        if len(self._known) > KNOWN_ORDERS_MAX:
            self.forget()
        unknown: set[int] = set()
        async for events in entries.turns():
            unknown |= fold.unknown(events)
        if not unknown:
            return
        for row in await connection.fetch(_LOAD, entries.shard, unknown):
            self._known[row["order_id"]] = _state(row)
            unknown.remove(row["order_id"])
        if unknown:
            what = f"change earlier orders, the table lacks {len(unknown)} of them, {min(unknown)} first"
            raise ProjectionError(f"entries {entries.first} to {entries.last} of shard {entries.shard} {what}")


def _state(row: asyncpg.Record) -> OrderState:
    return OrderState(**dict(row) | {name: int(row[name]) for name in _TOTALS})


async def _order_rows(shard: int, written: list[OrderState]) -> AsyncIterator[bytes]:
    async for turn in in_turns(written, TURN_EVENTS):
        yield order_rows(shard, turn)


async def _delete(connection: Connection, entries: Slice, changed: list[int]) -> None:
    """Make place for the new states of orders."""
    done = await connection.execute(_DELETE, entries.shard, changed)
    if done != f"DELETE {len(changed)}":
        what = f"change {len(changed)} earlier orders, the table has {done.removeprefix('DELETE ')} of them"
        raise ProjectionError(f"entries {entries.first} to {entries.last} of shard {entries.shard} {what}")
