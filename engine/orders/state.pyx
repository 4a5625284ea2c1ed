"""An order as its owner sees it: a fold over events. The one place that knows what an event does to an order.

The hot paths fold from records where they lie (state.pxd); the methods of the same names take what
exchange.contracts.events reads of them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint16_t, uint64_t

from engine.matching.types cimport *
from engine.orders.buffers cimport client_id_size

cdef extern from "Python.h":
    str PyUnicode_DecodeASCII(const char*, Py_ssize_t, const char*)

# OrderStatus of exchange/contracts/order_state.py; up to PARTLY the order is live.
cdef enum:
    WAITING = 0
    OPEN = 1
    PARTLY = 2
    FILLED = 3
    ENDED = 4
    LAPSED = 5
    REFUSED = 6

cdef enum:
    WAITS_FOR_TRIGGER = 1
    END_STAGE = 4000  # reasons below are refusals: the order met one when its turn came


cdef class OrderState:
    """An accepted order. ``remaining_lots`` is 0 once it has ended; what a cancelled order did not trade is
    ``quantity_lots - filled_lots``."""

    FIELDS = (
        "order_id", "account", "client_order_id", "market", "side", "order_type", "time_in_force", "flags", "self_trade",
        "price_ticks", "quantity_lots", "remaining_lots", "filled_lots", "filled_quote_units", "fee_units",
        "prevented_lots", "quote_units", "trigger_price_ticks", "trail_ticks", "display_lots", "visible_lots",
        "min_quantity_lots", "expire_ns", "other_leg_id", "parent_id", "child_id", "waiting", "amendments", "status",
        "end_reason", "sequence", "created_ns", "updated_ns",
    )

    def __init__(
        self, uint64_t order_id, uint64_t account, str client_order_id, uint32_t market, uint8_t side,
        uint8_t order_type, uint8_t time_in_force, uint8_t flags, uint8_t self_trade, int64_t price_ticks,
        int64_t quantity_lots, int64_t remaining_lots, int64_t filled_lots, int128_t filled_quote_units,
        int128_t fee_units, int128_t prevented_lots, int64_t quote_units, int64_t trigger_price_ticks,
        int64_t trail_ticks, int64_t display_lots, int64_t visible_lots, int64_t min_quantity_lots, int64_t expire_ns,
        uint64_t other_leg_id, uint64_t parent_id, uint64_t child_id, uint32_t waiting, int64_t amendments,
        uint8_t status, uint16_t end_reason, uint64_t sequence, int64_t created_ns, int64_t updated_ns,
    ):
        self.order_id, self.account, self.client_order_id, self.market = order_id, account, client_order_id, market
        self.side, self.order_type, self.time_in_force = side, order_type, time_in_force
        self.flags, self.self_trade, self.price_ticks = flags, self_trade, price_ticks
        self.quantity_lots, self.remaining_lots, self.filled_lots = quantity_lots, remaining_lots, filled_lots
        self.filled_quote_units, self.fee_units = filled_quote_units, fee_units
        self.prevented_lots, self.quote_units = prevented_lots, quote_units
        self.trigger_price_ticks, self.trail_ticks = trigger_price_ticks, trail_ticks
        self.display_lots, self.visible_lots = display_lots, visible_lots
        self.min_quantity_lots, self.expire_ns = min_quantity_lots, expire_ns
        self.other_leg_id, self.parent_id, self.child_id = other_leg_id, parent_id, child_id
        self.waiting, self.amendments, self.status, self.end_reason = waiting, amendments, status, end_reason
        self.sequence, self.created_ns, self.updated_ns = sequence, created_ns, updated_ns

    def __eq__(self, other):
        return values_of(self) == values_of(other) if type(other) is OrderState else NotImplemented

    def __repr__(self):
        shown = [f"{name}={value!r}" for name, value in zip(OrderState.FIELDS, values_of(self))]
        return f"OrderState({', '.join(shown)})"

    def __reduce__(self):
        return OrderState, values_of(self)

    @staticmethod
    def accepted(event, bytes command not None):
        """Return the order of an ACCEPTED event and the command that placed it."""
        cdef Event record = as_record(event)
        return accepted_order(&record, command_record(command))

    @property
    def named_id(self):
        """The order that it named when it was accepted, as its other leg or its child; 0 for none."""
        return self.named()

    @property
    def is_live(self):
        return self.lives()

    @property
    def shown_lots(self):
        """What it shows in the book between two commands, 0 for one that is not in it."""
        return self.shown()

    def take(self, event):
        """Take an event that names this order: as its subject, or as taker or maker."""
        cdef Event record = as_record(event)
        self.take_event(&record)

    def fill(self, trade, int64_t fee_units, bint is_maker):
        """Take a TRADED event in which this order was the taker or the maker."""
        cdef Event record = as_record(trade)
        self.take_fill(&record, fee_units, is_maker)

    def link(self, OrderState other not None):
        """Take that another order was accepted which names this one."""
        self.link_with(other)

    cdef uint64_t named(self) noexcept:
        return self.other_leg_id or self.child_id

    cdef bint lives(self) noexcept:
        return self.status <= PARTLY

    cdef int64_t shown(self) noexcept:
        if self.waiting or self.status > PARTLY:
            return 0
        return self.visible_lots if self.display_lots else self.remaining_lots

    cdef void take_event(self, const Event* event) noexcept:
        cdef bint is_maker
        if event.kind == TRADED:
            is_maker = event.maker_order_id == self.order_id
            self.take_fill(event, event.maker_fee if is_maker else event.taker_fee, is_maker)
        elif event.kind == CANCELLED:
            self._end(event)
        elif event.kind == PREVENTED:
            self._prevent(event)
        elif event.kind == TRIGGERED or event.kind == ACTIVATED or event.kind == REFRESHED or event.kind == AMENDED:
            self._change(event)

    cdef void take_fill(self, const Event* trade, int64_t fee_units, bint is_maker) noexcept:
        self.remaining_lots -= trade.quantity_lots
        self.filled_lots += trade.quantity_lots
        self.filled_quote_units += trade.amount
        self.fee_units += fee_units
        if self.display_lots:
            self._show_less(trade.quantity_lots, is_maker, trade.flags & AUCTION_TRADE != 0)
        self.status = PARTLY if self.remaining_lots else FILLED
        self._touch(trade)

    cdef void link_with(self, OrderState other) noexcept:
        if other.other_leg_id == self.order_id:
            self.other_leg_id = other.order_id
        elif other.child_id == self.order_id:
            self.parent_id = other.order_id

    cdef void _end(self, const Event* event) noexcept:
        self.remaining_lots = self.visible_lots = 0
        self.waiting = 0
        self.end_reason = event.reason
        if event.reason == EXPIRED:
            self.status = LAPSED
        elif event.reason < END_STAGE and not self.filled_lots:
            self.status = REFUSED
        else:
            self.status = ENDED
        self._touch(event)

    cdef void _prevent(self, const Event* event) noexcept:
        # A self-trade that did not happen; with DECREMENT both orders are smaller by it.
        self.prevented_lots += event.quantity_lots
        if event.self_trade == DECREMENT:
            self.quantity_lots -= event.quantity_lots
            self.remaining_lots -= event.quantity_lots
            if self.display_lots:
                self._show_less(event.quantity_lots, event.maker_order_id == self.order_id, False)
        self._touch(event)

    cdef void _change(self, const Event* event) noexcept:
        cdef const OrderEvent* change = <const OrderEvent*>event
        self.remaining_lots = change.remaining_lots
        if change.kind == REFRESHED:
            self.visible_lots = change.visible_lots
        else:
            self.quantity_lots, self.price_ticks = change.quantity_lots, change.price_ticks
            self.trigger_price_ticks, self.trail_ticks = change.trigger_price_ticks, change.trail_ticks
        if change.kind == TRIGGERED:
            self.waiting = 0
        elif change.kind != REFRESHED:  # amended or activated
            self.display_lots, self.expire_ns = change.display_lots, change.expire_ns
            self.visible_lots = change.visible_lots if change.display_lots else 0
        if change.kind == ACTIVATED:
            self.waiting = WAITS_FOR_TRIGGER if self.order_type > LIMIT_ORDER else 0
        elif change.kind == AMENDED:
            self.amendments += 1
        if self.waiting:
            self.status = WAITING
        else:
            self.status = PARTLY if self.filled_lots else OPEN
        self._touch(event)

    cdef void _show_less(self, int64_t lots, bint is_maker, bint auction) noexcept:
        # An iceberg after it traded: a taker shows anew what it keeps, a maker's next slice is an event.
        cdef int64_t anew = min(self.display_lots, self.remaining_lots)
        if auction:
            self.visible_lots = min(self.visible_lots, self.remaining_lots) or anew
        else:
            self.visible_lots = self.visible_lots - lots if is_maker else anew

    cdef void _touch(self, const Event* event) noexcept:
        self.sequence = event.sequence
        self.updated_ns = event.timestamp_ns


cdef tuple values_of(OrderState order):
    return (
        order.order_id, order.account, order.client_order_id, order.market, order.side, order.order_type,
        order.time_in_force, order.flags, order.self_trade, order.price_ticks, order.quantity_lots, order.remaining_lots,
        order.filled_lots, order.filled_quote_units, order.fee_units, order.prevented_lots, order.quote_units,
        order.trigger_price_ticks, order.trail_ticks, order.display_lots, order.visible_lots, order.min_quantity_lots,
        order.expire_ns, order.other_leg_id, order.parent_id, order.child_id, order.waiting, order.amendments,
        order.status, order.end_reason, order.sequence, order.created_ns, order.updated_ns,
    )


cdef OrderState accepted_order(const Event* event, const OrderCommand* command):
    # The order of an ACCEPTED event and the command that placed it: some of its terms are in the command alone.
    cdef const OrderEvent* told = <const OrderEvent*>event
    cdef OrderState order = OrderState.__new__(OrderState)
    order.order_id, order.account, order.market = told.order_id, told.account, told.market
    order.client_order_id = client_id_of(command)
    order.side, order.order_type, order.time_in_force = told.side, told.order_type, told.time_in_force
    order.flags, order.self_trade = told.flags, told.self_trade
    order.price_ticks, order.quantity_lots, order.remaining_lots = told.price_ticks, told.quantity_lots, told.quantity_lots
    order.trigger_price_ticks, order.trail_ticks = told.trigger_price_ticks, told.trail_ticks
    order.display_lots, order.expire_ns = told.display_lots, told.expire_ns
    order.visible_lots = told.visible_lots if told.display_lots else 0
    order.waiting = told.asset
    order.status = WAITING if told.asset else OPEN
    order.sequence, order.created_ns, order.updated_ns = told.sequence, told.timestamp_ns, told.timestamp_ns
    if command.header.version > 1:  # version 1 had none of these
        order.quote_units, order.min_quantity_lots = command.amount, command.min_quantity_lots
        if command.header.contingency == ONE_CANCELS_OTHER:
            order.other_leg_id = told.linked_order_id
        elif command.header.contingency == ONE_TRIGGERS_OTHER:
            order.child_id = told.linked_order_id
    return order


cdef str client_id_of(const OrderCommand* command):
    # The client order id of a record that places an order, None where it has none.
    cdef size_t size = client_id_size(command)
    return PyUnicode_DecodeASCII(command.client_order_id, <Py_ssize_t>size, NULL) if size else None


cdef const OrderCommand* command_record(bytes command) except NULL:
    if PyBytes_GET_SIZE(command) != sizeof(OrderCommand):
        raise ValueError(f"a command record has {sizeof(OrderCommand)} bytes, got {len(command)}")
    return <const OrderCommand*>PyBytes_AS_STRING(command)


cdef Event as_record(event) except *:
    # The record that a tuple of its fields was read of (exchange.contracts.events.Event).
    cdef Event record
    (
        record.kind, record.side, record.order_type, record.time_in_force, record.flags, record.self_trade, record.reason,
        record.sequence, record.timestamp_ns, record.market, record.asset, record.order_id, record.account,
        record.price_ticks, record.quantity_lots, record.remaining_lots, record.amount, record.maker_order_id,
        record.maker_account, record.maker_remaining_lots, record.taker_fee, record.maker_fee, record.hold_released,
        record.trade_id,
    ) = event
    return record
