"""The markets as of the last durable command, in memory.

Books by level, latest trades, tickers, modes, and everybody's live orders. Fed by the writer with journaled entries
only, so nothing here is ever ahead of the journal.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sortedcontainers import SortedDict

from engine.records import EventKind, Mode, Side
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import Event, read_events
from exchange.contracts.order_state import Fill, OrderState, OrderStatus, fills_of
from exchange.storage.journal import Entry

LATEST_TRADES = 50
MINUTE_NS = 60 * 1_000_000_000
DAY_MINUTES = 24 * 60
_ORDER_CHANGES = frozenset(
    (EventKind.TRIGGERED, EventKind.ACTIVATED, EventKind.REFRESHED, EventKind.AMENDED, EventKind.CANCELLED)
)
_DEFINITIONS = frozenset((EventKind.ASSET_DEFINED, EventKind.MARKET_DEFINED, EventKind.MARKET_CONFIGURED))
# Bound once: to find a member in its enumeration costs ten times as much as a global name, and every order passes here.
_ACCEPTED, _TRADED, _PREVENTED = EventKind.ACCEPTED, EventKind.TRADED, EventKind.PREVENTED
_PARTIALLY_FILLED = OrderStatus.PARTIALLY_FILLED
ENDED_MAX = 10_000  # at the bound the one that ended first is forgotten; the tables have it


@dataclass(slots=True)
class Minute:
    """One minute of a market's trades."""

    opened_ns: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int
    trades: int


@dataclass(frozen=True, slots=True)
class Ticker:
    """A market's last 24 hours; None where there was no trade or no order."""

    last_price_ticks: int | None
    best_bid_ticks: int | None
    best_ask_ticks: int | None
    volume_24h_lots: int
    open_24h_ticks: int | None
    high_24h_ticks: int | None
    low_24h_ticks: int | None


@dataclass(slots=True)
class Changes:
    """What a batch of entries changed, for those who tell the world."""

    sequence: int
    timestamp_ns: int
    levels: dict[int, set[tuple[int, int]]] = field(default_factory=dict)  # market -> {(side, price_ticks)}
    trades: dict[int, list[Event]] = field(default_factory=dict)  # market -> TRADED events
    orders: dict[int, dict[int, OrderState]] = field(default_factory=dict)  # account -> order_id -> latest state
    fills: dict[int, list[Fill]] = field(default_factory=dict)  # account -> fills
    accounts: set[int] = field(default_factory=set)  # whose balances may have changed
    modes: set[int] = field(default_factory=set)  # markets whose mode changed
    entries: Sequence[Entry] = ()  # the batch itself


class LiveMarket:
    """One market's levels, latest trades and last 24 hours."""

    def __init__(self) -> None:
        self.levels: dict[int, SortedDict[int, int]] = {Side.BUY: SortedDict(), Side.SELL: SortedDict()}
        self.latest_trades: deque[Event] = deque(maxlen=LATEST_TRADES)
        self.minutes: deque[Minute] = deque()
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
            self.minutes.append(Minute(opened_ns, price, price, price, price, 0, 0))
            while self.minutes[0].opened_ns <= opened_ns - DAY_MINUTES * MINUTE_NS:
                self.minutes.popleft()
        minute = self.minutes[-1]
        minute.high_ticks = max(minute.high_ticks, price)
        minute.low_ticks = min(minute.low_ticks, price)
        minute.close_ticks = price
        minute.volume_lots += trade.quantity_lots
        minute.trades += 1

    def depth(self, side: int, levels: int) -> list[tuple[int, int]]:
        """At most ``levels`` (price_ticks, quantity_lots), best first."""
        items = self.levels[side].items()
        return list(items[-levels:])[::-1] if side == Side.BUY else list(items[:levels])

    def ticker(self, now_ns: int) -> Ticker:
        bids, asks = self.levels[Side.BUY], self.levels[Side.SELL]
        day = [minute for minute in self.minutes if minute.opened_ns > now_ns - DAY_MINUTES * MINUTE_NS]
        return Ticker(
            last_price_ticks=self.last_price_ticks,
            best_bid_ticks=bids.keys()[-1] if bids else None,
            best_ask_ticks=asks.keys()[0] if asks else None,
            volume_24h_lots=sum(minute.volume_lots for minute in day),
            open_24h_ticks=day[0].open_ticks if day else None,
            high_24h_ticks=max((minute.high_ticks for minute in day), default=None),
            low_24h_ticks=min((minute.low_ticks for minute in day), default=None),
        )


class Live:
    """See the module. ``sequence``: the last entry it includes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.sequence = 0
        self.timestamp_ns = 0
        self.markets: dict[int, LiveMarket] = {}
        self.orders: dict[int, OrderState] = {}
        self.orders_of: dict[int, dict[int, OrderState]] = {}
        self._ended: OrderedDict[int, OrderState] = OrderedDict()
        self._shown: dict[int, tuple[int, int]] = {}  # order id -> (price_ticks, lots) that the levels count of it

    def begin(
        self,
        sequence: int,
        timestamp_ns: int,
        live_orders: Iterable[OrderState],
        minutes: Mapping[int, Sequence[Minute]],
        latest_trades: Mapping[int, Sequence[Event]],
        modes: Mapping[int, int],
    ) -> None:
        """Start a term from the tables, which are as far as ``sequence``. Trades and minutes oldest first."""
        self.sequence, self.timestamp_ns = sequence, timestamp_ns
        for kept in (self.orders, self._ended, self.orders_of, self._shown):
            kept.clear()
        self.markets = {number: LiveMarket() for number in self.catalogue.markets}
        changes = Changes(sequence, timestamp_ns)
        for order in live_orders:
            self._hold(order)
            self._show(order, changes)
        for number, market in self.markets.items():
            market.mode = modes.get(number, Mode.OPEN)
            market.minutes.extend(minutes.get(number, ()))
            market.latest_trades.extend(latest_trades.get(number, ()))
            if market.latest_trades:
                market.last_price_ticks = market.latest_trades[-1].price_ticks

    def depth(self, market_number: int, levels: int) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        """Return (sequence, bids, asks), at most ``levels`` (price_ticks, quantity_lots) a side, best first."""
        market = self.markets[market_number]
        return self.sequence, market.depth(Side.BUY, levels), market.depth(Side.SELL, levels)

    def ticker(self, market_number: int) -> Ticker:
        return self.markets[market_number].ticker(self.timestamp_ns)

    def order(self, order_id: int) -> OrderState | None:
        """Return an order that is live, or that was and has ended lately."""
        return self.orders.get(order_id) or self._ended.get(order_id)

    def mode(self, market_number: int) -> int:
        """What a market lets happen (engine/records.py, Mode)."""
        return self.markets[market_number].mode

    def apply(self, entries: Sequence[Entry]) -> Changes:
        """Take journaled entries, in sequence, and return what they changed."""
        changes = Changes(self.sequence, self.timestamp_ns, entries=entries)
        for entry in entries:
            self._apply_entry(entry, changes)
        changes.sequence, changes.timestamp_ns = self.sequence, self.timestamp_ns
        return changes

    def _apply_entry(self, entry: Entry, changes: Changes) -> None:
        touched: dict[int, OrderState] = {}
        event: Event | None = None
        for event in read_events(entry.events):
            kind = event.kind
            if kind == _ACCEPTED:
                self._accept(event, entry.command, touched)
            elif kind == _TRADED:
                self._trade(event, touched, changes)
            elif kind in _ORDER_CHANGES:
                self._change(event.order_id, event, touched)
            elif kind == _PREVENTED:
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
            self.markets.setdefault(number, LiveMarket())

    def _accept(self, event: Event, command: bytes, touched: dict[int, OrderState]) -> None:
        order = touched[event.order_id] = OrderState.accepted(event, command)
        self._hold(order)
        if order.named_id:
            named = touched[order.named_id] = self.orders[order.named_id]
            named.link(order)

    def _trade(self, trade: Event, touched: dict[int, OrderState], changes: Changes) -> None:
        for fill in fills_of(trade):
            order = touched[fill.order_id] = self.orders[fill.order_id]
            order.fill(trade, fill.fee_units, fill.is_maker)
            changes.fills.setdefault(order.account, []).append(fill)
        self.markets[trade.market].take_trade(trade)
        changes.trades.setdefault(trade.market, []).append(trade)

    def _change(self, order_id: int, event: Event, touched: dict[int, OrderState]) -> None:
        order = touched[order_id] = self.orders[order_id]
        order.take(event)

    def _settle(self, order: OrderState, changes: Changes) -> None:
        """After a command: count in the levels what the order shows now, and tell its owner."""
        self._show(order, changes)
        if order.status > _PARTIALLY_FILLED:
            self._drop(order)
        of_account = changes.orders.get(order.account)
        if of_account is None:
            of_account = changes.orders[order.account] = {}
            changes.accounts.add(order.account)
        of_account[order.order_id] = order

    def _show(self, order: OrderState, changes: Changes) -> None:
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

    def _hold(self, order: OrderState) -> None:
        self.orders[order.order_id] = order
        self.orders_of.setdefault(order.account, {})[order.order_id] = order

    def _drop(self, order: OrderState) -> None:
        del self.orders[order.order_id]
        of_account = self.orders_of[order.account]
        del of_account[order.order_id]
        if not of_account:
            del self.orders_of[order.account]
        self._ended[order.order_id] = order
        if len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)
