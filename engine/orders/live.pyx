"""The markets as of the last durable command, entry after entry: everybody's live orders, levels, trades, minutes.

A batch of entries is folded in one go. What the orders show of themselves is added up a level first, so that a level of a
book changes once a batch, and trades are kept as the records they are, for whoever wants to read them.
"""

from collections import deque

from sortedcontainers import SortedDict

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_SetItem
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from engine.matching.types cimport *
from engine.orders.state cimport OrderState, accepted_order, command_record

LATEST_TRADES = 50
MINUTE_NS = 60 * 10**9
DAY_MINUTES = 24 * 60

cdef enum:
    LATELY = 64  # accounts that are known to be among a batch's, by their lowest bits

cdef int64_t minute_ns = MINUTE_NS
cdef int64_t day_ns = DAY_MINUTES * MINUTE_NS


cdef class Minute:
    """One minute of a market's trades."""

    cdef readonly int64_t opened_ns
    cdef readonly int64_t open_ticks
    cdef readonly int64_t high_ticks
    cdef readonly int64_t low_ticks
    cdef readonly int64_t close_ticks
    cdef readonly int128_t volume_lots
    cdef readonly int64_t trades

    def __init__(
        self, int64_t opened_ns, int64_t open_ticks, int64_t high_ticks, int64_t low_ticks, int64_t close_ticks,
        int128_t volume_lots, int64_t trades,
    ):
        self.opened_ns, self.open_ticks, self.high_ticks, self.low_ticks = opened_ns, open_ticks, high_ticks, low_ticks
        self.close_ticks, self.volume_lots, self.trades = close_ticks, volume_lots, trades

    cdef void take(self, int64_t price_ticks, int64_t quantity_lots) noexcept:
        self.high_ticks, self.low_ticks = max(self.high_ticks, price_ticks), min(self.low_ticks, price_ticks)
        self.close_ticks = price_ticks
        self.volume_lots += quantity_lots
        self.trades += 1


cdef inline int64_t minute_of(int64_t timestamp_ns) noexcept nogil:
    cdef int64_t since_ns = timestamp_ns % minute_ns
    return timestamp_ns - since_ns - (minute_ns if since_ns < 0 else 0)


cdef class LiveMarket:
    """One market's levels, latest trades and last 24 hours."""

    cdef readonly dict levels
    cdef readonly object latest
    cdef readonly object minutes
    cdef public object last_price_ticks
    cdef public int64_t mode
    cdef Minute _minute  # the last one
    # Of the batch under way
    cdef Minute _traded  # the last one that its trades were in
    cdef int64_t _price_ticks  # of its last trade
    cdef dict _bids  # price_ticks -> by how many lots the level changes
    cdef dict _asks
    cdef list _trades
    cdef set _traded_minutes

    def __init__(self):
        self.levels = {BUY: SortedDict(), SELL: SortedDict()}
        self.latest, self.minutes = deque(maxlen=LATEST_TRADES), deque()
        self._begin_batch()

    def begin(self, int64_t mode, minutes, latest):
        """Know what was before; oldest first."""
        self.mode = mode
        self.minutes.extend(minutes)
        self._minute = list(self.minutes)[len(self.minutes) - 1] if self.minutes else None
        self.latest.extend(latest)

    def depth(self, int side, Py_ssize_t levels):
        """At most ``levels`` (price_ticks, quantity_lots), best first."""
        items = self.levels[side].items()
        return list(items[-levels:])[::-1] if side == BUY else list(items[:levels])

    cdef int show(self, int side, int64_t price_ticks, int64_t lots) except -1:
        # A level has so many lots more.
        cdef dict changes = self._bids if side == BUY else self._asks
        price, change = price_ticks, lots
        before = changes.get(price)
        changes[price] = change if before is None else before + change
        return 0

    cdef int take_trade(self, const Event* trade) except -1:
        cdef int64_t price_ticks = trade.price_ticks
        cdef int64_t opened_ns = minute_of(trade.timestamp_ns)
        record = PyBytes_FromStringAndSize(<const char*>trade, sizeof(Event))
        self._trades.append(record)
        self._price_ticks = price_ticks
        if self._minute is None or self._minute.opened_ns != opened_ns:
            self._minute = Minute(opened_ns, price_ticks, price_ticks, price_ticks, price_ticks, 0, 0)
            self.minutes.append(self._minute)
            while self.minutes[0].opened_ns <= opened_ns - day_ns:
                self.minutes.popleft()
        self._minute.take(price_ticks, trade.quantity_lots)
        if self._traded is not self._minute:
            self._traded = self._minute
            self._traded_minutes.add(opened_ns)
        return 0

    cdef int _begin_batch(self) except -1:
        self._bids, self._asks = {}, {}
        self._trades, self._traded_minutes, self._traded = [], set(), None
        return 0

    cdef int end_batch(self, object number, dict levels, dict trades) except -1:
        # Change the levels, and tell of levels and trades under the market's number.
        cdef set changed = set()
        change_levels(BUY, self.levels[BUY], self._bids, changed)
        change_levels(SELL, self.levels[SELL], self._asks, changed)
        if changed:
            levels[number] = changed
        if self._trades:
            trades[number] = self._trades, self._traded_minutes
            self.latest.extend(self._trades)
            self.last_price_ticks = self._price_ticks
        return self._begin_batch()


cdef int change_levels(int side, object levels, dict changes, set changed) except -1:
    # ``levels`` is a SortedDict: what a price that stays in it has now is the business of the dict below alone.
    for price, lots in changes.items():
        changed.add((side, price))
        before = levels.get(price)
        if before is None:
            if lots:
                levels[price] = lots
        elif before + lots:
            PyDict_SetItem(levels, price, before + lots)
        else:
            del levels[price]
    return 0


cdef class LiveState:
    """Live orders by id and by account, the ``ended_max`` orders that ended last, and the markets.

    ``catalogue`` hears of definitions, and knows the numbers of markets.
    """

    cdef object _catalogue
    cdef readonly uint64_t sequence
    cdef readonly int64_t timestamp_ns
    cdef readonly dict markets
    cdef readonly dict orders
    cdef readonly dict orders_of
    cdef readonly dict ended
    cdef Py_ssize_t _ended_max
    cdef list _ended_ids  # a ring, once it is full: at ``_first_ended`` is the order that ended first
    cdef Py_ssize_t _first_ended
    # Of the batch under way
    cdef dict _told  # markets that have something to tell
    cdef LiveMarket _latest  # the last of them, and its number
    cdef uint32_t _latest_number
    cdef uint64_t[LATELY] _lately  # of ``_accounts``
    cdef list _orders
    cdef set _accounts
    cdef set _modes
    # Of the entry under way
    cdef list _touched
    cdef uint64_t _entry  # its number here: an order has that of the last one that touched it

    def __init__(self, catalogue, Py_ssize_t ended_max):
        if ended_max < 1:
            raise ValueError(f"at least one order that ended is kept, not {ended_max}")
        self._catalogue, self._ended_max = catalogue, ended_max
        self.markets, self.orders, self.orders_of, self.ended = {}, {}, {}, {}
        self._ended_ids = []
        self._touched = []
        self._begin_batch()

    def reset(self, uint64_t sequence, int64_t timestamp_ns, live_orders):
        """Begin anew with these orders and the catalogue's markets."""
        cdef OrderState order
        self.sequence, self.timestamp_ns = sequence, timestamp_ns
        for kept in (self.orders, self.orders_of, self.ended, self._ended_ids):
            kept.clear()
        self._first_ended = 0
        self.markets = {number: LiveMarket() for number in self._catalogue.markets}
        self._begin_batch()
        for order in live_orders:
            order.touched_by = order.counted_ticks = order.counted_lots = 0
            self._hold(order)
            self._show(order)
        self._end_batch()

    def fold(self, entries):
        """Take journaled entries, in sequence.

        Return what they changed: by market the levels, (side, price_ticks); by market its TRADED records and when the
        minutes began that they are of; the orders, each as often as an entry changed it; the accounts whose balances may
        have changed; the markets whose mode changed.
        """
        self._begin_batch()
        for entry in entries:
            self._take(entry.command, entry.events)
        if entries:
            self.sequence = entries[len(entries) - 1].sequence
        levels, trades = self._end_batch()
        return levels, trades, self._orders, self._accounts, self._modes

    def order(self, order_id):
        """Return an order that is live, or that was and has ended lately."""
        order = self.orders.get(order_id)
        return self.ended.get(order_id) if order is None else order

    cdef int _begin_batch(self) except -1:
        self._told, self._orders, self._accounts, self._modes = {}, [], set(), set()
        self._latest = None
        memset(self._lately, 0, sizeof(self._lately))
        return 0

    cdef tuple _end_batch(self):
        cdef LiveMarket market
        cdef dict levels = {}, trades = {}
        for number, market in self._told.items():
            market.end_batch(number, levels, trades)
        return levels, trades

    cdef int _take(self, bytes command, bytes events) except -1:
        cdef Py_ssize_t at, count = PyBytes_GET_SIZE(events) // sizeof(Event)
        cdef const Event* records = <const Event*>PyBytes_AS_STRING(events)
        cdef OrderState order
        if <Py_ssize_t>PyBytes_GET_SIZE(events) != count * <Py_ssize_t>sizeof(Event):
            raise ValueError(f"event records have {sizeof(Event)} bytes each, got {len(events)}")
        self._entry += 1
        self._touched.clear()
        for at in range(count):
            self._take_event(&records[at], command)
        # Only now is it certain what of them is in the book: one command may take an order through many states.
        for order in self._touched:
            self._settle(order)
        if count:
            self.timestamp_ns = records[count - 1].timestamp_ns
        return 0

    cdef int _take_event(self, const Event* event, bytes command) except -1:
        cdef int kind = event.kind
        if kind == ACCEPTED:
            self._accept(event, command)
        elif kind == TRADED:
            self._touch(event.order_id).take_fill(event, event.taker_fee, False)
            self._touch(event.maker_order_id).take_fill(event, event.maker_fee, True)
            self._market(event.market).take_trade(event)
        elif kind == CANCELLED or kind == TRIGGERED or kind == ACTIVATED or kind == REFRESHED or kind == AMENDED:
            self._touch(event.order_id).take_event(event)
        elif kind == PREVENTED:
            self._touch(event.order_id).take_event(event)
            self._touch(event.maker_order_id).take_event(event)
        elif kind == DEPOSITED or kind == WITHDRAWN:
            self._note_account(event.account)
        elif kind == MODE_CHANGED:
            self._market(event.market).mode = (<const ModeEvent*>event).mode
            self._modes.add(event.market)
        elif kind == ASSET_DEFINED or kind == MARKET_DEFINED or kind == MARKET_CONFIGURED:
            self._define(command)
        return 0

    cdef int _define(self, bytes command) except -1:
        self._catalogue.define(command)
        for number in self._catalogue.markets:
            if number not in self.markets:
                self.markets[number] = LiveMarket()
        return 0

    cdef int _accept(self, const Event* event, bytes command) except -1:
        cdef OrderState order = accepted_order(event, command_record(command))
        order.touched_by = self._entry
        self._touched.append(order)
        self._hold(order)
        if order.named():
            self._touch(order.named()).link_with(order)
        return 0

    cdef LiveMarket _market(self, uint32_t number):
        if self._latest is None or self._latest_number != number:
            self._latest = self._told[number] = self.markets[number]
            self._latest_number = number
        return self._latest

    cdef OrderState _touch(self, uint64_t order_id):
        cdef OrderState order = self.orders[order_id]
        if order.touched_by != self._entry:
            order.touched_by = self._entry
            self._touched.append(order)
        return order

    cdef int _settle(self, OrderState order) except -1:
        # After a command: count in the levels what the order shows now, and tell of it.
        self._show(order)
        if not order.lives():
            self._drop(order)
        self._orders.append(order)
        self._note_account(order.account)
        return 0

    cdef int _note_account(self, uint64_t account) except -1:
        # Its balances may have changed.
        cdef uint64_t* lately = &self._lately[account % LATELY]
        if lately[0] != account or not account:
            lately[0] = account
            self._accounts.add(account)
        return 0

    cdef int _show(self, OrderState order) except -1:
        cdef LiveMarket market
        cdef int64_t lots = order.shown()
        cdef int64_t ticks = order.price_ticks if lots else 0
        if lots == order.counted_lots and ticks == order.counted_ticks:
            return 0
        market = self._market(order.market)
        if order.counted_lots:
            market.show(order.side, order.counted_ticks, -order.counted_lots)
        if lots:
            market.show(order.side, ticks, lots)
        order.counted_ticks, order.counted_lots = ticks, lots
        return 0

    cdef int _hold(self, OrderState order) except -1:
        order_id, account = order.order_id, order.account
        self.orders[order_id] = order
        of_account = self.orders_of.get(account)
        if of_account is None:
            of_account = self.orders_of[account] = {}
        (<dict>of_account)[order_id] = order
        return 0

    cdef int _drop(self, OrderState order) except -1:
        cdef dict of_account
        order_id, account = order.order_id, order.account
        del self.orders[order_id]
        of_account = self.orders_of[account]
        del of_account[order_id]
        if not of_account:
            del self.orders_of[account]
        self.ended[order_id] = order
        if len(self._ended_ids) < self._ended_max:
            self._ended_ids.append(order_id)
            return 0
        self.ended.pop(self._ended_ids[self._first_ended], None)
        self._ended_ids[self._first_ended] = order_id
        self._first_ended = (self._first_ended + 1) % self._ended_max
        return 0
