"""The tables of trades, fills, transfers, refusals and orders against what the journal makes, slice by slice."""

from collections.abc import Iterator, Sequence
from operator import attrgetter, itemgetter
from typing import Protocol

from engine.matching import Shard
from engine.records import FLAG_AUCTION, CommandKind, EventKind, Reason
from exchange.audit.report import Report
from exchange.audit.rows import Comparison, Connection, OrderedRows, Row
from exchange.contracts.commands import KIND, client_order_id
from exchange.contracts.events import Event
from exchange.contracts.order_state import OrderState, fills_of
from exchange.contracts.transfers import Transfer, transfer_of

Made = Sequence[tuple[bytes, Event]]  # events, each with the command that caused it

TRADE_COLUMNS = (
    "trade_id", "sequence", "market", "side", "price_ticks", "quantity_lots", "notional_units", "taker_order_id",
    "maker_order_id", "executed_ns", "is_auction",
)  # fmt: skip
FILL_COLUMNS = (
    "trade_id", "is_maker", "account", "order_id", "market", "side", "price_ticks", "quantity_lots", "fee_units",
    "sequence", "executed_ns", "is_auction",
)  # fmt: skip
REJECTION_COLUMNS = (
    "sequence", "account", "client_order_id", "reason", "market", "side", "order_type", "time_in_force", "flags",
    "price_ticks", "quantity_lots", "created_ns",
)  # fmt: skip
TRANSFER_COLUMNS = Transfer._fields
ORDER_COLUMNS = OrderState.FIELDS
_PLACING = frozenset((CommandKind.PLACE, CommandKind.CANCEL_REPLACE))
_OF_TWO_ORDERS = frozenset((EventKind.TRADED, EventKind.PREVENTED))
_OF_AN_ORDER = frozenset(
    (EventKind.CANCELLED, EventKind.TRIGGERED, EventKind.ACTIVATED, EventKind.REFRESHED, EventKind.AMENDED)
)


class TableAudit(Protocol):
    """A table that follows from events. ``projection`` has its watermark."""

    name: str
    projection: str

    @property
    def compared(self) -> int: ...

    async def take(self, made: Made, last: int, shard: Shard) -> None:
        """Compare what the entries up to ``last`` make; ``shard`` is as of there."""

    async def finish(self, shard: Shard) -> None:
        """Compare what is left, at the table's watermark."""


def selection(table: str, columns: Sequence[str], totals: Sequence[str] = ()) -> str:
    """The beginning of a query; ``totals`` are NUMERIC columns, which are read as text."""
    shown = (f"{name}::text" if name in totals else name for name in columns)
    return f"SELECT {', '.join(shown)} FROM {table} WHERE shard = $1"  # noqa: S608 - the names are our own


class _Lasting:
    """A table whose rows are written once: each slice makes its own."""

    name: str
    projection: str
    columns: tuple[str, ...]
    keys: int  # of the columns, the first so many name a row

    def __init__(self, connection: Connection, shard: int, after: Shard, report: Report) -> None:
        keys = self.columns[: self.keys]
        query = f"{selection(self.name, self.columns)} AND {keys[0]} > $2 ORDER BY {', '.join(keys)}"
        self._rows = OrderedRows(connection, query, (shard, self._position(after)), itemgetter(0))
        self._comparison = Comparison(report, self.name, self.columns, itemgetter(slice(0, self.keys)), "sequence")

    @property
    def compared(self) -> int:
        return self._comparison.compared

    async def take(self, made: Made, last: int, shard: Shard) -> None:
        found = await self._rows.upto(self._position(shard))
        self._comparison.compare(found, [row for command, event in made for row in self._expected(command, event)])

    async def finish(self, shard: Shard) -> None:
        self._comparison.compare(await self._rows.upto(float("inf")), [])

    def _position(self, shard: Shard) -> int:
        """How far the first of the columns is at a state of the engine."""
        return shard.trades

    def _expected(self, command: bytes, event: Event) -> Iterator[Row]:
        raise NotImplementedError


class TradesAudit(_Lasting):
    """The public trades."""

    name = projection = "trades"
    columns = TRADE_COLUMNS
    keys = 1

    def _expected(self, command: bytes, event: Event) -> Iterator[Row]:
        if event.kind == EventKind.TRADED:
            yield (
                event.trade_id, event.sequence, event.market, event.side, event.price_ticks, event.quantity_lots,
                event.amount, event.order_id, event.maker_order_id, event.timestamp_ns,
                bool(event.flags & FLAG_AUCTION),
            )  # fmt: skip


class FillsAudit(_Lasting):
    """Both sides of every trade."""

    name = "fills"
    projection = "trades"
    columns = FILL_COLUMNS
    keys = 3

    def _expected(self, command: bytes, event: Event) -> Iterator[Row]:
        if event.kind == EventKind.TRADED:
            for account, fill in zip((event.account, event.maker_account), fills_of(event), strict=True):
                yield (
                    fill.trade_id, fill.is_maker, account, fill.order_id, fill.market, fill.side, fill.price_ticks,
                    fill.quantity_lots, fill.fee_units, event.sequence, fill.executed_ns, fill.is_auction,
                )  # fmt: skip


class RejectionsAudit(_Lasting):
    """Refused orders that had a client order id."""

    name = "rejections"
    projection = "orders"
    columns = REJECTION_COLUMNS
    keys = 1

    def _position(self, shard: Shard) -> int:
        return shard.sequence

    def _expected(self, command: bytes, event: Event) -> Iterator[Row]:
        placed = command[KIND] in _PLACING and event.reason != Reason.UNKNOWN_KIND
        name = client_order_id(command) if placed and event.kind == EventKind.REJECTED else None
        if name is not None:
            yield (
                event.sequence, event.account, name, event.reason, event.market, event.side, event.order_type,
                event.time_in_force, event.flags, event.price_ticks, event.quantity_lots, event.timestamp_ns,
            )  # fmt: skip


class TransfersAudit(_Lasting):
    """Deposits and withdrawals."""

    name = projection = "transfers"
    columns = TRANSFER_COLUMNS
    keys = 1

    def _position(self, shard: Shard) -> int:
        return shard.sequence

    def _expected(self, command: bytes, event: Event) -> Iterator[Row]:
        if (transfer := transfer_of(command, event)) is not None:
            yield tuple(transfer)


_ORDER_VALUES = attrgetter(*ORDER_COLUMNS)
# What the engine tells of a live order as its events do.
_SHARED = attrgetter(
    "account", "market", "side", "order_type", "price_ticks", "quantity_lots", "remaining_lots", "display_lots",
    "visible_lots", "expire_ns", "trail_ticks", "waiting",
)  # fmt: skip
_TOTALS = tuple(ORDER_COLUMNS.index(name) for name in ("filled_quote_units", "fee_units"))


class OrdersAudit:
    """Accepted orders. Each is compared when it ends, and those that live at the watermark are compared there.

    Orders from before the beginning are not known, and are left out.
    """

    name = "orders"
    projection = "orders"

    def __init__(self, connection: Connection, shard: int, after: Shard, report: Report) -> None:
        query = selection("orders", ORDER_COLUMNS, ("filled_quote_units", "fee_units"))
        query += " AND order_id > $2 ORDER BY order_id"
        self._after = after.sequence
        self._report = report
        self._rows = OrderedRows(connection, query, (shard, after.sequence), itemgetter(0))
        self._comparison = Comparison(report, self.name, ORDER_COLUMNS, itemgetter(slice(0, 1)), "sequence")
        self._orders: dict[int, OrderState] = {}
        self._found: dict[int, Row] = {}  # rows of orders that have not ended yet

    @property
    def compared(self) -> int:
        return self._comparison.compared

    async def take(self, made: Made, last: int, shard: Shard) -> None:
        touched: dict[int, OrderState] = {}
        for command, event in made:
            self._fold(command, event, touched)
        self._found.update((row[0], row) for row in await self._rows.upto(last))
        ended = sorted(order_id for order_id, order in touched.items() if not order.is_live)
        self._compare(ended)
        strangers = [row for order_id, row in self._found.items() if order_id not in self._orders]
        self._comparison.compare(strangers, [])
        for row in strangers:
            del self._found[row[0]]

    async def finish(self, shard: Shard) -> None:
        self._compare_with_engine(shard)
        self._compare(sorted(self._orders))
        self._comparison.compare(await self._rows.upto(float("inf")), [])

    def _fold(self, command: bytes, event: Event, touched: dict[int, OrderState]) -> None:
        kind = event.kind
        if kind == EventKind.ACCEPTED:
            order = touched[event.order_id] = self._orders[event.order_id] = OrderState.accepted(event, command)
            named = self._orders.get(order.named_id)
            if named is not None:
                named.link(order)
        elif kind in _OF_TWO_ORDERS or kind in _OF_AN_ORDER:
            for order_id in (event.order_id, event.maker_order_id if kind in _OF_TWO_ORDERS else 0):
                known = self._orders.get(order_id)
                if known is not None:
                    known.take(event)
                    touched[order_id] = known

    def _compare(self, order_ids: list[int]) -> None:
        expected = [_order_row(self._orders.pop(order_id)) for order_id in order_ids]
        found = [row for order_id in order_ids if (row := self._found.pop(order_id, None)) is not None]
        self._comparison.compare(found, expected)

    def _compare_with_engine(self, shard: Shard) -> None:
        """What the events made of the orders is what the engine has."""
        live = {order.order_id: order for order in shard.orders() if order.order_id > self._after}
        for order_id in sorted(live.keys() ^ self._orders.keys()):
            where = "the engine" if order_id in live else "the events"
            self._report.find("engine", order_id, f"order {order_id} lives in {where} only")
        for order_id in live.keys() & self._orders.keys():
            told = self._orders[order_id]
            if _SHARED(told) != _SHARED(live[order_id]):
                what = f"order {order_id} is {live[order_id]}, and {told} by its events"
                self._report.find("engine", told.sequence, what)


def _order_row(order: OrderState) -> Row:
    row = list(_ORDER_VALUES(order))
    for at in _TOTALS:
        row[at] = str(row[at])
    return tuple(row)
