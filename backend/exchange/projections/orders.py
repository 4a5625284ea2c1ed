"""Projection `orders`: accepted orders in their latest state, and refusals that a client order id must find again."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from operator import attrgetter

from engine.records import CommandKind, EventKind, Reason
from exchange.contracts.commands import client_order_id
from exchange.contracts.events import Event
from exchange.contracts.orders import OrderState, OrderStatus
from exchange.projections.slice import Connection, ProjectionError, Slice, copy_text, in_turns
from exchange.storage.tables import orders, rejections

_ORDER_COLUMNS = (
    "shard", "order_id", "account", "client_order_id", "market", "side", "order_type", "time_in_force", "flags",
    "price_ticks", "quantity_lots", "remaining_lots", "filled_lots", "filled_quote_units", "fee_units",
    "status", "end_reason", "sequence", "created_ns", "updated_ns",
)  # fmt: skip
_REJECTION_COLUMNS = (
    "shard", "sequence", "account", "client_order_id", "reason", "market", "side", "order_type", "time_in_force",
    "flags", "price_ticks", "quantity_lots", "created_ns",
)  # fmt: skip

_UPDATE = """
UPDATE orders SET
    remaining_lots = c.remaining_lots,
    filled_lots = orders.filled_lots + c.filled_lots,
    filled_quote_units = orders.filled_quote_units + c.filled_quote_units,
    fee_units = orders.fee_units + c.fee_units,
    status = c.status,
    end_reason = c.end_reason,
    sequence = c.sequence,
    updated_ns = c.updated_ns
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[]::numeric[], $6::text[]::numeric[],
            $7::smallint[], $8::smallint[], $9::bigint[], $10::bigint[])
    AS c(order_id, remaining_lots, filled_lots, filled_quote_units, fee_units,
         status, end_reason, sequence, updated_ns)
WHERE orders.shard = $1 AND orders.order_id = c.order_id
"""


@dataclass(slots=True)
class _Change:
    """What a slice did to an order that an earlier slice accepted. Filled amounts and fees add to those before."""

    order_id: int
    remaining_lots: int = 0
    filled_lots: int = 0
    filled_quote_units: int = 0
    fee_units: int = 0
    status: int = OrderStatus.OPEN
    end_reason: int = 0
    sequence: int = 0
    updated_ns: int = 0

    def fill(self, trade: Event, remaining_lots: int, fee_units: int) -> None:
        self.remaining_lots = remaining_lots
        self.filled_lots += trade.quantity_lots
        self.filled_quote_units += trade.amount
        self.fee_units += fee_units
        self.status = OrderStatus.PARTIALLY_FILLED if remaining_lots else OrderStatus.FILLED
        self.sequence, self.updated_ns = trade.sequence, trade.timestamp_ns

    def cancel(self, event: Event) -> None:
        self.remaining_lots = 0
        self.status, self.end_reason = OrderStatus.CANCELLED, event.reason
        self.sequence, self.updated_ns = event.sequence, event.timestamp_ns

    def texts(self) -> tuple[str, str]:
        return str(self.filled_quote_units), str(self.fee_units)


class _Fold:
    """The orders of a slice, each in its state after it: an order that came and went within it is written once."""

    def __init__(self) -> None:
        self.accepted: dict[int, OrderState] = {}
        self.changed: dict[int, _Change] = {}
        self.rejected: list[tuple[str, Event]] = []

    def take(self, command: bytes, event: Event) -> None:
        kind = event.kind
        if kind == EventKind.ACCEPTED:
            self.accepted[event.order_id] = OrderState.accepted(event, client_order_id(command))
        elif kind == EventKind.TRADED:
            self._fill(event, event.order_id, event.remaining_lots, event.taker_fee)
            self._fill(event, event.maker_order_id, event.maker_remaining_lots, event.maker_fee)
        elif kind == EventKind.CANCELLED:
            (self.accepted.get(event.order_id) or self._change(event.order_id)).cancel(event)
        elif kind == EventKind.REJECTED and command[1] == CommandKind.PLACE and event.reason != Reason.UNKNOWN_KIND:
            text = client_order_id(command)
            if text is not None:
                self.rejected.append((text, event))

    def _fill(self, trade: Event, order_id: int, remaining_lots: int, fee_units: int) -> None:
        order = self.accepted.get(order_id)
        if order is not None:
            order.fill(trade, fee_units)
        else:
            self._change(order_id).fill(trade, remaining_lots, fee_units)

    def _change(self, order_id: int) -> _Change:
        change = self.changed.get(order_id)
        if change is None:
            change = self.changed[order_id] = _Change(order_id)
        return change


class Orders:
    name = "orders"
    tables = (orders, rejections)

    def forget(self) -> None:
        pass

    async def write(self, connection: Connection, entries: Slice) -> None:
        fold = _Fold()
        async for batch in in_turns(entries.events):
            for command, event in batch:
                fold.take(command, event)
        if fold.accepted:
            rows = _order_rows(entries.shard, list(fold.accepted.values()))
            await connection.copy_to_table("orders", source=rows, columns=_ORDER_COLUMNS)
        if fold.rejected:
            rows = _rejection_rows(entries.shard, fold.rejected)
            await connection.copy_to_table("rejections", source=rows, columns=_REJECTION_COLUMNS)
        if fold.changed:
            await _update(connection, entries, list(fold.changed.values()))


async def _order_rows(shard: int, accepted: list[OrderState]) -> AsyncIterator[bytes]:
    async for batch in in_turns(accepted):
        yield "".join(
            [
                f"{shard}\t{o.order_id}\t{o.account}\t{copy_text(o.client_order_id)}\t{o.market}\t{o.side}"
                f"\t{o.order_type}\t{o.time_in_force}\t{o.flags}\t{o.price_ticks}\t{o.quantity_lots}"
                f"\t{o.remaining_lots}\t{o.filled_lots}\t{o.filled_quote_units}\t{o.fee_units}\t{o.status:d}"
                f"\t{o.end_reason}\t{o.sequence}\t{o.created_ns}\t{o.updated_ns}\n"
                for o in batch
            ]
        ).encode()


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


_CHANGE_FIELDS = attrgetter(
    "order_id", "remaining_lots", "filled_lots", "status", "end_reason", "sequence", "updated_ns"
)


async def _update(connection: Connection, entries: Slice, changes: list[_Change]) -> None:
    order_ids, remaining, filled, statuses, reasons, sequences, times = zip(*map(_CHANGE_FIELDS, changes), strict=True)
    quotes, fees = zip(*[change.texts() for change in changes], strict=True)
    done = await connection.execute(
        _UPDATE, entries.shard, order_ids, remaining, filled, quotes, fees, statuses, reasons, sequences, times
    )
    if done != f"UPDATE {len(changes)}":
        raise ProjectionError(
            f"entries {entries.first} to {entries.last} of shard {entries.shard} change {len(changes)} earlier orders, "
            f"the table has {done.removeprefix('UPDATE ')} of them"
        )
