"""The tables as entries make them: a fold that keeps every state that an order was in."""

from collections.abc import Iterable
from copy import copy

from engine.records import CommandKind, EventKind
from exchange.contracts import commands
from exchange.contracts.events import Event, find_refusal, read_events
from exchange.contracts.order_state import Fill, OrderState, fills_of
from exchange.corridor.live import MINUTE_NS
from exchange.storage.journal import Entry

Key = tuple[int, str]  # account, client order id


class Folded:
    """Orders, refusals, trades and minutes as of ``sequence``. ``history``: (order id, sequence) -> the order then."""

    def __init__(self, *, with_history: bool = False) -> None:
        self.sequence = 0
        self.orders: dict[int, OrderState] = {}
        self.order_ids: dict[Key, int] = {}
        self.rejections: dict[Key, int] = {}
        self.trades: list[tuple[int, int, int]] = []  # sequence, trade id, market
        self.fills: dict[int, list[Fill]] = {}
        self.minutes: dict[tuple[int, int], tuple[int, int, int, int, int, int]] = {}
        self.history: dict[int, dict[int, OrderState]] | None = {} if with_history else None

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Folded":
        """The tables after these entries, from the first on."""
        folded = cls()
        for entry in entries:
            folded.take(entry)
        return folded

    def take(self, entry: Entry) -> None:
        """Take the entry that follows."""
        assert entry.sequence == self.sequence + 1
        self.sequence = entry.sequence
        touched: set[int] = set()
        for event in read_events(entry.events):
            touched |= self._take(event, entry)
        key = key_of(entry.command)
        if key is not None and find_refusal(entry.events) is not None:
            self.rejections.setdefault(key, entry.sequence)
        if self.history is not None:
            for order_id in touched:
                order = self.orders[order_id]
                self.history.setdefault(order_id, {})[order.sequence] = copy(order)

    def _take(self, event: Event, entry: Entry) -> set[int]:
        if event.kind == EventKind.ACCEPTED:
            return self._accept(event, entry.command)
        if event.kind == EventKind.TRADED:
            self._trade(event)
        if event.kind not in _ORDER_EVENTS:
            return set()
        named = {event.order_id, event.maker_order_id} if event.kind in _OF_TWO else {event.order_id}
        for order_id in named:
            self.orders[order_id].take(event)
        return named

    def _accept(self, event: Event, command: bytes) -> set[int]:
        order = self.orders[event.order_id] = OrderState.accepted(event, command)
        if order.client_order_id is not None:
            self.order_ids.setdefault((order.account, order.client_order_id), order.order_id)
        if not order.named_id:
            return {order.order_id}
        self.orders[order.named_id].link(order)
        return {order.order_id, order.named_id}

    def _trade(self, trade: Event) -> None:
        self.trades.append((trade.sequence, trade.trade_id, trade.market))
        for fill in fills_of(trade):
            self.fills.setdefault(fill.order_id, []).append(fill)
        key = trade.market, trade.timestamp_ns - trade.timestamp_ns % MINUTE_NS
        price, lots = trade.price_ticks, trade.quantity_lots
        opened, high, low, _, volume, trades = self.minutes.get(key, (price, price, price, price, 0, 0))
        self.minutes[key] = (opened, max(high, price), min(low, price), price, volume + lots, trades + 1)


def key_of(command: bytes) -> Key | None:
    """The account and the client order id of a command that places an order; None where it has none."""
    if command[commands.KIND] not in _PLACING:
        return None
    client_order_id = commands.client_order_id(command)
    return None if client_order_id is None else (commands.read_order(command).account, client_order_id)


_PLACING = (CommandKind.PLACE, CommandKind.CANCEL_REPLACE)
_OF_TWO = (EventKind.TRADED, EventKind.PREVENTED)
_ORDER_EVENTS = frozenset((
    EventKind.TRADED, EventKind.PREVENTED, EventKind.CANCELLED, EventKind.TRIGGERED, EventKind.ACTIVATED,
    EventKind.REFRESHED, EventKind.AMENDED,
))  # fmt: skip
