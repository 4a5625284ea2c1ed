"""Projection `orders`: accepted orders in their latest state, and refusals that a client order id must find again."""

from collections.abc import AsyncIterator
from operator import attrgetter

import asyncpg

from engine.records import CommandKind, EventKind, Reason
from exchange.contracts.commands import client_order_id, untold_terms
from exchange.contracts.events import Event
from exchange.contracts.order_state import OrderState
from exchange.projections.slice import Connection, ProjectionError, Slice, copy_text, in_turns
from exchange.storage.tables import orders, rejections

_FIELDS = OrderState.FIELDS
_ORDER_COLUMNS = ("shard", *_FIELDS)
_FIXED = frozenset(
    ("order_id", "account", "client_order_id", "market", "side", "order_type", "time_in_force", "flags", "self_trade",
     "quote_units", "min_quantity_lots", "created_ns")
)  # fmt: skip
_CHANGING = tuple(name for name in _FIELDS if name not in _FIXED)
_TOTALS = ("filled_quote_units", "fee_units")  # NUMERIC columns: passed as text, read as Decimal
_REJECTION_COLUMNS = (
    "shard", "sequence", "account", "client_order_id", "reason", "market", "side", "order_type", "time_in_force",
    "flags", "price_ticks", "quantity_lots", "created_ns",
)  # fmt: skip
_PLACING = frozenset((CommandKind.PLACE, CommandKind.CANCEL_REPLACE))

_LOAD = f"SELECT {', '.join(_FIELDS)} FROM orders WHERE shard = $1 AND order_id = ANY($2::bigint[])"  # noqa: S608
_SET = ", ".join(f"{name} = changed.{name}" for name in _CHANGING)
_COLUMNS_OF_CHANGED = ", ".join(
    f"${number}::text[]::numeric[]" if name in _TOTALS else f"${number}::bigint[]"
    for number, name in enumerate(_CHANGING, start=3)
)
_UPDATE = f"""
UPDATE orders SET {_SET}
FROM unnest($2::bigint[], {_COLUMNS_OF_CHANGED}) AS changed(order_id, {", ".join(_CHANGING)})
WHERE orders.shard = $1 AND orders.order_id = changed.order_id
"""  # noqa: S608 - the names are our own

# Live orders in memory, some 30 MB. When more are known all are forgotten, and read again as they are needed.
KNOWN_ORDERS_MAX = 50_000


class _Fold:
    """A slice's orders, each in its state after it: one that came and went within the slice is written once.

    ``known``: those of earlier slices that this one names.
    """

    def __init__(self, known: dict[int, OrderState]) -> None:
        self.orders = known
        self.accepted: dict[int, OrderState] = {}
        self.changed: dict[int, OrderState] = {}
        self.rejected: list[tuple[str, Event]] = []

    def take(self, command: bytes, event: Event) -> None:
        kind = event.kind
        if kind == EventKind.ACCEPTED:
            order = OrderState.accepted(event, command)
            self.orders[event.order_id] = self.accepted[event.order_id] = order
            if order.named_id:
                self._touch(order.named_id).link(order)
        elif kind == EventKind.REJECTED:
            self._reject(command, event)
        elif kind in _OF_TWO_ORDERS:
            self._touch(event.order_id).take(event)
            self._touch(event.maker_order_id).take(event)
        elif kind in _OF_AN_ORDER:
            self._touch(event.order_id).take(event)

    def _touch(self, order_id: int) -> OrderState:
        order = self.orders[order_id]
        if order_id not in self.accepted:
            self.changed[order_id] = order
        return order

    def _reject(self, command: bytes, event: Event) -> None:
        if command[1] in _PLACING and event.reason != Reason.UNKNOWN_KIND:
            text = client_order_id(command)
            if text is not None:
                self.rejected.append((text, event))


_OF_TWO_ORDERS = frozenset((EventKind.TRADED, EventKind.PREVENTED))
_OF_AN_ORDER = frozenset(
    (EventKind.CANCELLED, EventKind.TRIGGERED, EventKind.ACTIVATED, EventKind.REFRESHED, EventKind.AMENDED)
)


def _named_by(command: bytes, event: Event) -> tuple[int, ...]:
    """The orders that an event is about, but for the one that it accepts."""
    if event.kind in _OF_TWO_ORDERS:
        return event.order_id, event.maker_order_id
    if event.kind in _OF_AN_ORDER:
        return (event.order_id,)
    if event.kind == EventKind.ACCEPTED and event.linked_order_id and untold_terms(command)[0]:
        return (event.linked_order_id,)
    return ()


class Orders:
    name = "orders"
    tables = (orders, rejections)

    def __init__(self) -> None:
        # Live orders as the table has them: only the owner of the watermark changes it.
        self._known: dict[int, OrderState] = {}

    def forget(self) -> None:
        self._known.clear()

    async def write(self, connection: Connection, entries: Slice) -> None:
        await self._know(connection, entries)
        fold = _Fold(self._known)
        async for events in entries.decoded():
            for event in events:
                fold.take(entries.command_of(event), event)
        if fold.accepted:
            rows = _order_rows(entries.shard, list(fold.accepted.values()))
            await connection.copy_to_table("orders", source=rows, columns=_ORDER_COLUMNS)
        if fold.rejected:
            rows = _rejection_rows(entries.shard, fold.rejected)
            await connection.copy_to_table("rejections", source=rows, columns=_REJECTION_COLUMNS)
        if fold.changed:
            await _update(connection, entries, list(fold.changed.values()))
        for order in (*fold.accepted.values(), *fold.changed.values()):
            if not order.is_live:
                del self._known[order.order_id]

    async def _know(self, connection: Connection, entries: Slice) -> None:
        """Have every order of an earlier slice that this one names."""
        if len(self._known) > KNOWN_ORDERS_MAX:
            self.forget()
        named: set[int] = set()
        async for events in entries.decoded():
            for event in events:
                named.update(_named_by(entries.command_of(event), event))
        unknown = [order_id for order_id in named if order_id < entries.first and order_id not in self._known]
        if not unknown:
            return
        for row in await connection.fetch(_LOAD, entries.shard, unknown):
            self._known[row["order_id"]] = _state(row)
        missing = [order_id for order_id in unknown if order_id not in self._known]
        if missing:
            what = f"change {len(unknown)} earlier orders, the table lacks {len(missing)} of them, {min(missing)} first"
            raise ProjectionError(f"entries {entries.first} to {entries.last} of shard {entries.shard} {what}")


def _state(row: asyncpg.Record) -> OrderState:
    return OrderState(**dict(row) | {name: int(row[name]) for name in _TOTALS})


_VALUES = attrgetter(*(name for name in _FIELDS if name != "client_order_id"))
_NAME_AT = _FIELDS.index("client_order_id")


async def _order_rows(shard: int, accepted: list[OrderState]) -> AsyncIterator[bytes]:
    async for batch in in_turns(accepted):
        lines = []
        for order in batch:
            values = [format(value, "d") for value in _VALUES(order)]
            values.insert(_NAME_AT, copy_text(order.client_order_id))
            lines.append(f"{shard}\t" + "\t".join(values) + "\n")
        yield "".join(lines).encode()


async def _rejection_rows(shard: int, rejected: list[tuple[str, Event]]) -> AsyncIterator[bytes]:
    async for batch in in_turns(rejected):
        yield "".join(
            [
                f"{shard}\t{e.sequence}\t{e.account}\t{copy_text(text)}\t{e.reason}\t{e.market}\t{e.side}"
                f"\t{e.order_type}\t{e.time_in_force}\t{e.flags}\t{e.price_ticks}\t{e.quantity_lots}"
                f"\t{e.timestamp_ns}\n"
                for text, e in batch
            ]
        ).encode()


_CHANGES = attrgetter("order_id", *_CHANGING)


async def _update(connection: Connection, entries: Slice, changed: list[OrderState]) -> None:
    columns = list(zip(*map(_CHANGES, changed), strict=True))
    for name in _TOTALS:
        at = 1 + _CHANGING.index(name)
        columns[at] = tuple(map(str, columns[at]))
    done = await connection.execute(_UPDATE, entries.shard, *columns)
    if done != f"UPDATE {len(changed)}":
        what = f"change {len(changed)} earlier orders, the table has {done.removeprefix('UPDATE ')} of them"
        raise ProjectionError(f"entries {entries.first} to {entries.last} of shard {entries.shard} {what}")
