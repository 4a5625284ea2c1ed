"""What entries do to the live markets, event by event: what engine/orders/live.pyx is held against."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from sortedcontainers import SortedDict

from engine.records import EventKind, Mode, Side
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import Event, read_events
from exchange.contracts.order_state import Fill, OrderStatus, fills_of
from exchange.storage.journal import Entry
from tests.support.slow_orders import SlowOrder

LATEST_TRADES = 50
MINUTE_NS = 60 * 1_000_000_000
DAY_MINUTES = 24 * 60
_ORDER_CHANGES = frozenset(
    (EventKind.TRIGGERED, EventKind.ACTIVATED, EventKind.REFRESHED, EventKind.AMENDED, EventKind.CANCELLED)
)
_DEFINITIONS = frozenset((EventKind.ASSET_DEFINED, EventKind.MARKET_DEFINED, EventKind.MARKET_CONFIGURED))


@dataclass(slots=True)
class SlowMinute:
    """One minute of a market's trades."""

    opened_ns: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int
    trades: int


@dataclass(slots=True)
class SlowChanges:
    """What a batch of entries changed, for those who tell the world."""

    sequence: int
    timestamp_ns: int
    levels: dict[int, set[tuple[int, int]]] = field(default_factory=dict)  # market -> {(side, price_ticks)}
    trades: dict[int, list[Event]] = field(default_factory=dict)  # market -> TRADED events
    orders: dict[int, dict[int, SlowOrder]] = field(default_factory=dict)  # account -> order_id -> latest state
    fills: dict[int, list[Fill]] = field(default_factory=dict)  # account -> fills
    accounts: set[int] = field(default_factory=set)  # whose balances may have changed
    modes: set[int] = field(default_factory=set)  # markets whose mode changed
    entries: Sequence[Entry] = ()  # the batch itself


class SlowMarket:
    """One market's levels, latest trades and last 24 hours."""

    def __init__(self) -> None:
        self.levels: dict[int, SortedDict[int, int]] = {Side.BUY: SortedDict(), Side.SELL: SortedDict()}
        self.latest_trades: deque[Event] = deque(maxlen=LATEST_TRADES)
        self.minutes: deque[SlowMinute] = deque()
        self.last_price_ticks: int | None = None
        self.mode = int(Mode.OPEN)

    def change_level(self, side: int, price_ticks: int, change_lots: int) -> None:
        levels = self.levels[side]
        lots = levels.get(price_ticks, 0) + change_lots
        if lots:
            levels[price_ticks] = lots
        else:
            del levels[price_ticks]

    def take_trade(self, trade: Event) -> None:
        self.latest_trades.append(trade)
        self.last_price_ticks = price = trade.price_ticks
        opened_ns = trade.timestamp_ns - trade.timestamp_ns % MINUTE_NS
        if not self.minutes or self.minutes[-1].opened_ns != opened_ns:
            self.minutes.append(SlowMinute(opened_ns, price, price, price, price, 0, 0))
            while self.minutes[0].opened_ns <= opened_ns - DAY_MINUTES * MINUTE_NS:
                self.minutes.popleft()
        minute = self.minutes[-1]
        minute.high_ticks = max(minute.high_ticks, price)
        minute.low_ticks = min(minute.low_ticks, price)
        minute.close_ticks = price
        minute.volume_lots += trade.quantity_lots
        minute.trades += 1


class SlowLive:
    """What exchange.corridor.live.Live is, of the first entry and all that follow it."""

    def __init__(self, catalogue: Catalogue, ended_max: int) -> None:
        self.catalogue = catalogue
        self._ended_max = ended_max
        self.sequence = 0
        self.timestamp_ns = 0
        self.markets: dict[int, SlowMarket] = {}
        self.orders: dict[int, SlowOrder] = {}
        self.orders_of: dict[int, dict[int, SlowOrder]] = {}
        self.ended: OrderedDict[int, SlowOrder] = OrderedDict()
        self._shown: dict[int, tuple[int, int]] = {}  # order id -> (price_ticks, lots) that the levels count of it

    def order(self, order_id: int) -> SlowOrder | None:
        """Return an order that is live, or that was and has ended lately."""
        return self.orders.get(order_id) or self.ended.get(order_id)

    def apply(self, entries: Sequence[Entry]) -> SlowChanges:
        """Take journaled entries, in sequence, and return what they changed."""
        changes = SlowChanges(self.sequence, self.timestamp_ns, entries=entries)
        for entry in entries:
            self._apply_entry(entry, changes)
        changes.sequence, changes.timestamp_ns = self.sequence, self.timestamp_ns
        return changes

    def _apply_entry(self, entry: Entry, changes: SlowChanges) -> None:
        touched: dict[int, SlowOrder] = {}
        event: Event | None = None
        for event in read_events(entry.events):
            kind = event.kind
            if kind == EventKind.ACCEPTED:
                self._accept(event, entry.command, touched)
            elif kind == EventKind.TRADED:
                self._trade(event, touched, changes)
            elif kind in _ORDER_CHANGES:
                self._change(event.order_id, event, touched)
            elif kind == EventKind.PREVENTED:
                self._change(event.order_id, event, touched)
                self._change(event.maker_order_id, event, touched)
            elif kind == EventKind.DEPOSITED or kind == EventKind.WITHDRAWN:
                changes.accounts.add(event.account)
            elif kind == EventKind.MODE_CHANGED:
                self.markets[event.market].mode = event.mode
                changes.modes.add(event.market)
            elif kind in _DEFINITIONS:
                self._define(entry)
        # Only now is it certain what of them is in the book: one command may take an order through many states.
        for order in touched.values():
            self._settle(order, changes)
        self.sequence = entry.sequence
        if event is not None:
            self.timestamp_ns = event.timestamp_ns

    def _define(self, entry: Entry) -> None:
        self.catalogue.define(entry.command)
        for number in self.catalogue.markets:
            self.markets.setdefault(number, SlowMarket())

    def _accept(self, event: Event, command: bytes, touched: dict[int, SlowOrder]) -> None:
        order = touched[event.order_id] = SlowOrder.accepted(event, command)
        self._hold(order)
        if order.named_id:
            named = touched[order.named_id] = self.orders[order.named_id]
            named.link(order)

    def _trade(self, trade: Event, touched: dict[int, SlowOrder], changes: SlowChanges) -> None:
        for fill in fills_of(trade):
            order = touched[fill.order_id] = self.orders[fill.order_id]
            order.fill(trade, fill.fee_units, fill.is_maker)
            changes.fills.setdefault(order.account, []).append(fill)
        self.markets[trade.market].take_trade(trade)
        changes.trades.setdefault(trade.market, []).append(trade)

    def _change(self, order_id: int, event: Event, touched: dict[int, SlowOrder]) -> None:
        order = touched[order_id] = self.orders[order_id]
        order.take(event)

    def _settle(self, order: SlowOrder, changes: SlowChanges) -> None:
        """After a command: count in the levels what the order shows now, and tell its owner."""
        self._show(order, changes)
        if order.status > OrderStatus.PARTIALLY_FILLED:
            self._drop(order)
        of_account = changes.orders.get(order.account)
        if of_account is None:
            of_account = changes.orders[order.account] = {}
            changes.accounts.add(order.account)
        of_account[order.order_id] = order

    def _show(self, order: SlowOrder, changes: SlowChanges) -> None:
        order_id, side, lots = order.order_id, order.side, order.shown_lots
        now = (order.price_ticks, lots) if lots else None
        before = self._shown.get(order_id)
        if now == before:
            return
        market = self.markets[order.market]
        changed = changes.levels.get(order.market)
        if changed is None:
            changed = changes.levels[order.market] = set()
        if before is not None:
            market.change_level(side, before[0], -before[1])
            changed.add((side, before[0]))
        if now is None:
            del self._shown[order_id]
        else:
            market.change_level(side, now[0], lots)
            changed.add((side, now[0]))
            self._shown[order_id] = now

    def _hold(self, order: SlowOrder) -> None:
        self.orders[order.order_id] = order
        self.orders_of.setdefault(order.account, {})[order.order_id] = order

    def _drop(self, order: SlowOrder) -> None:
        del self.orders[order.order_id]
        of_account = self.orders_of[order.account]
        del of_account[order.order_id]
        if not of_account:
            del self.orders_of[order.account]
        self.ended[order.order_id] = order
        if len(self.ended) > self._ended_max:
            self.ended.popitem(last=False)
