# distutils: define_macros=EXCHANGE_BARE_ORDERS
# cython: binding=False
"""The bare book: one market's resting orders and their matching, without accounts or money."""

from operator import index as as_int

cimport cython
import numpy as np

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_New
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t

from engine.book_records import OPERATION, REFUSED, TRADE
from engine.matching.book cimport (
    Book as Sides, book_close, book_open, crosses, dequeue, enqueue, opposite_side, own_side, pop_head,
    prefetch_queue, resting_lots,
)
from engine.matching.ladder cimport Ladder, Level, ladder_level, ladder_reserve, ladder_vacate, next_price
from engine.matching.orders cimport (
    Order, OrderPool, pool_add, pool_close, pool_find, pool_open, pool_remove, pool_reserve,
    prefetch_order, prefetch_slot,
)
from engine.matching.types cimport *

cdef extern from *:
    """
    /* The value of a small int without a call: 1 when it is one, else nothing is written. */
    static inline int exchange_small_int(PyObject *object, long long *value) {
        if (!PyLong_CheckExact(object)) return 0;
    #if PY_VERSION_HEX >= 0x030C0000
        if (!PyUnstable_Long_IsCompact((PyLongObject *)object)) return 0;
        *value = PyUnstable_Long_CompactValue((PyLongObject *)object);
    #else
        if (Py_SIZE(object) != 1 && Py_SIZE(object) != 0) return 0;
        *value = Py_SIZE(object) ? ((PyLongObject *)object)->ob_digit[0] : 0;
    #endif
        return 1;
    }
    """
    bint exchange_small_int(object, long long*) noexcept

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object) except? <unsigned long long>-1
    int _PyBytes_Resize(PyObject**, Py_ssize_t) except -1
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char*, Py_ssize_t) except NULL
    char* bytes_start "PyBytes_AS_STRING"(PyObject*)
    PyObject* new_tuple "PyTuple_New"(Py_ssize_t) except NULL
    PyObject* new_int "PyLong_FromLongLong"(long long) except NULL
    PyObject* new_order_id "PyLong_FromUnsignedLongLong"(unsigned long long) except NULL
    void give_item "PyTuple_SET_ITEM"(PyObject*, Py_ssize_t, PyObject*)
    void Py_INCREF(PyObject*)
    void Py_XDECREF(PyObject*)

cdef enum:
    ORDER_ID_IN_USE = 1090
    LIMIT = 1
    MARKET = 2
    CANCEL_ORDER = 3
    REPLACE = 4
    TRADES_MIN = 64
    OPERATIONS_MAX = 0xFFFFFFFF
    AHEAD = 6           # operations of a batch between looking for a slot, its order, and working on it


cdef packed struct Operation:
    uint8_t kind
    uint8_t side
    uint8_t time_in_force
    uint8_t flags
    uint32_t reserved
    uint64_t order_id
    int64_t price_ticks
    int64_t quantity_lots


cdef packed struct Refused:
    uint32_t operation
    uint32_t refusal


cdef packed struct Trade:
    uint64_t maker_order_id
    uint64_t taker_order_id
    int64_t price_ticks
    int64_t quantity_lots


cdef inline int64_t integer(object value) except? -1:
    # A Python integer; one that 64 bits do not hold becomes the extreme, which every check refuses.
    cdef long long small
    if exchange_small_int(value, &small):
        return small
    return wide_integer(value)


cdef int64_t wide_integer(object value) except? -1:
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow != 0:
        return INT64_MAX if overflow > 0 else INT64_MIN
    return number


cdef inline uint64_t order_id_of(OrderPool* pool, object value) except? 0:
    # An order id, whose slot is on its way from memory while the other arguments are converted.
    cdef long long small
    if exchange_small_int(value, &small) and small >= 0:
        prefetch_slot(pool, <uint64_t>small)
        return <uint64_t>small
    return wide_order_id(value)


cdef uint64_t wide_order_id(object value) except? 0:
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow == 0 and number >= 0:
        return <uint64_t>number
    exact = as_int(value)
    if not 0 <= exact < 2**64:
        raise ValueError(f"order_id must be 0 to {2**64 - 1}, got {value}")
    return PyLong_AsUnsignedLongLong(exact)


@cython.final
cdef class Book:
    """The resting orders of one market: price first, then time. See bare.pyi for what its methods take and return."""

    cdef Sides sides
    cdef OrderPool pool
    cdef uint32_t leaving         # the order that the last call cancelled, still in its queue; 0: none
    cdef PyObject* room           # bytes: where trades are written; `apply` gives away those of its batch
    cdef Trade* trades            # inside room
    cdef size_t trade_count       # of the call under way
    cdef size_t trade_capacity

    def __cinit__(self):
        if book_open(&self.sides) < 0 or pool_open(&self.pool) < 0:
            raise MemoryError()

    def __dealloc__(self):
        book_close(&self.sides)
        pool_close(&self.pool)
        Py_XDECREF(self.room)

    # One operation a call. Arguments become numbers before anything else: a conversion may run any Python code. Methods are
    # built-in ones, which Python calls with less ado than Cython's own kind (binding=False above).
    #
    # A cancelled order is not yet out of its queue when the call returns: its neighbours and its level are seldom near, and
    # they come from memory while the caller goes on. Every call begins with what the one before has left to do.

    def limit(self, order_id, side, price_ticks, quantity_lots, time_in_force=GTC, flags=0):
        """Trade at `price_ticks` or better; what remains of a GTC order rests. See bare.pyi."""
        cdef uint64_t taker_id = order_id_of(&self.pool, order_id)
        cdef int64_t side_number = integer(side)
        cdef int64_t price = integer(price_ticks)
        cdef int64_t quantity = integer(quantity_lots)
        cdef int64_t time_in_force_number = integer(time_in_force)
        cdef int64_t flag_bits = integer(flags)
        cdef int refusal
        self.catch_up()
        self.trade_count = 0
        refusal = self.enter(taker_id, side_number, price, quantity, time_in_force_number, flag_bits)
        if refusal != NONE:
            return refuse(refusal, order_id, side, price_ticks, quantity_lots, time_in_force, flags)
        return self.taken(order_id, taker_id) if self.trade_count > 0 else ()

    def market(self, order_id, side, quantity_lots):
        """Trade at any price; what remains is dropped. See bare.pyi."""
        cdef uint64_t taker_id = order_id_of(&self.pool, order_id)
        cdef int64_t side_number = integer(side)
        cdef int64_t quantity = integer(quantity_lots)
        cdef int refusal
        self.catch_up()
        self.trade_count = 0
        refusal = self.take_any_price(taker_id, side_number, quantity)
        if refusal != NONE:
            return refuse(refusal, order_id, side, 1, quantity_lots, GTC, 0)
        return self.taken(order_id, taker_id) if self.trade_count > 0 else ()

    def cancel(self, order_id):
        """Take a resting order out and return what remained of it; 0 for an id that does not rest."""
        cdef uint64_t resting_id = order_id_of(&self.pool, order_id)
        cdef uint32_t index
        cdef const Order* order
        self.catch_up()
        index = pool_find(&self.pool, resting_id)
        if index == 0:
            return 0
        order = &self.pool.orders[index]
        prefetch_queue(own_side(&self.sides, order.side), &self.pool, order.price_ticks, index)
        self.leaving = index
        return order.remaining_lots

    def replace(self, order_id, price_ticks, quantity_lots):
        """Change a resting order. See bare.pyi."""
        cdef uint64_t taker_id = order_id_of(&self.pool, order_id)
        cdef int64_t price = integer(price_ticks)
        cdef int64_t quantity = integer(quantity_lots)
        cdef int refusal
        self.catch_up()
        self.trade_count = 0
        refusal = self.change(taker_id, price, quantity)
        if refusal != NONE:
            return refuse(refusal, order_id, BUY, price_ticks, quantity_lots, GTC, 0)
        return self.taken(order_id, taker_id) if self.trade_count > 0 else ()

    cdef tuple taken(self, object taker, uint64_t taker_id):
        # The trades of the call as Python objects. Making them may start a garbage collection, and that any Python code:
        # should it come back to this book, it finds a book without room for trades, and makes its own.
        cdef PyObject* room = self.room
        cdef size_t capacity = self.trade_capacity
        self.room = NULL
        self.trade_capacity = 0
        try:
            return trade_tuples(<const Trade*>bytes_start(room), self.trade_count, taker, taker_id)
        finally:
            Py_XDECREF(self.room)
            self.room = room
            self.trades = <Trade*>bytes_start(room)
            self.trade_capacity = capacity

    # A batch

    def apply(self, operations):
        """Do a batch of `engine.book_records.OPERATION`; return its trades and its refusals. See bare.pyi."""
        cdef Py_buffer view
        if not isinstance(operations, np.ndarray) or operations.dtype != OPERATION or operations.ndim != 1:
            raise ValueError("operations must be a one-dimensional array of engine.book_records.OPERATION")
        if not operations.flags.c_contiguous or len(operations) > OPERATIONS_MAX:
            raise ValueError(f"operations must lie one behind the other, and be at most {OPERATIONS_MAX}")
        PyObject_GetBuffer(operations, &view, PyBUF_SIMPLE)
        try:
            return self.apply_records(<const Operation*>view.buf, view.len // sizeof(Operation))
        finally:
            PyBuffer_Release(&view)

    cdef tuple apply_records(self, const Operation* operations, Py_ssize_t count):
        # No object that the garbage collector knows is made before the last operation is done.
        cdef bytes refused_bytes = None
        cdef Refused* refused = NULL
        cdef Py_ssize_t refused_count = 0
        cdef Py_ssize_t at
        cdef int refusal
        self.catch_up()
        self.trade_count = 0
        for at in range(count):
            if at + 2 * AHEAD < count:
                prefetch_slot(&self.pool, operations[at + 2 * AHEAD].order_id)
                prefetch_order(&self.pool, operations[at + AHEAD].order_id)
            refusal = self.perform(&operations[at])
            if refusal != NONE:
                if refused == NULL:
                    refused_bytes = PyBytes_FromStringAndSize(NULL, (count - at) * sizeof(Refused))
                    refused = <Refused*>bytes_start(<PyObject*>refused_bytes)
                refused[refused_count].operation = <uint32_t>at
                refused[refused_count].refusal = refusal
                refused_count += 1
        return self.give_trades(), np.frombuffer(refused_bytes or b"", REFUSED, refused_count)

    cdef object give_trades(self):
        # The trades of the batch, without copying them: their bytes become the array's.
        cdef object given = b""
        if self.trade_count > 0:
            self.trade_capacity = 0
            _PyBytes_Resize(&self.room, self.trade_count * sizeof(Trade))
            given = <object>self.room
            Py_XDECREF(self.room)
            self.room = NULL
        return np.frombuffer(given, TRADE)

    cdef int make_room(self, size_t capacity) except -1:
        # Have room for so many trades in all; those written stay.
        self.trade_capacity = 0
        if self.room == NULL:
            self.room = new_bytes(NULL, capacity * sizeof(Trade))
        else:
            _PyBytes_Resize(&self.room, capacity * sizeof(Trade))
        self.trades = <Trade*>bytes_start(self.room)
        self.trade_capacity = capacity
        return 0

    cdef inline int perform(self, const Operation* operation) except -1:
        cdef uint32_t index
        if operation.kind == LIMIT:
            return self.enter(
                operation.order_id, operation.side, operation.price_ticks, operation.quantity_lots,
                operation.time_in_force, operation.flags,
            )
        if operation.kind == CANCEL_ORDER:
            index = pool_find(&self.pool, operation.order_id)
            if index == 0:
                return UNKNOWN_ORDER
            self.leave(index)
            return NONE
        if operation.kind == MARKET:
            return self.take_any_price(operation.order_id, operation.side, operation.quantity_lots)
        if operation.kind == REPLACE:
            return self.change(operation.order_id, operation.price_ticks, operation.quantity_lots)
        return UNKNOWN_KIND

    # What an operation does. Refused before anything changes; memory is taken before anything changes, too.

    cdef int enter(
        self, uint64_t order_id, int64_t side, int64_t price, int64_t quantity, int64_t time_in_force, int64_t flags
    ) except -1:
        cdef int refusal = form_refusal(side, price, quantity, time_in_force, flags)
        cdef Ladder* opposite
        cdef int64_t remaining = quantity
        cdef bint crossing
        cdef uint32_t index
        cdef Order* order
        if refusal != NONE:
            return refusal
        if time_in_force != GTC:
            return self.take(order_id, side, price, quantity, time_in_force == FOK)
        if pool_reserve(&self.pool, order_id) < 0 or ladder_reserve(own_side(&self.sides, <int>side)) < 0:
            raise MemoryError()
        opposite = opposite_side(&self.sides, <int>side)
        crossing = crosses(opposite, opposite.best, price)
        if crossing:
            self.reserve_trades(quantity)
        index = pool_add(&self.pool, order_id)
        if index == 0:
            return ORDER_ID_IN_USE
        if crossing:
            if flags == POST_ONLY:
                pool_remove(&self.pool, index)
                return POST_ONLY_WOULD_CROSS
            remaining = self.match(order_id, opposite, price, quantity)
            if remaining == 0:
                pool_remove(&self.pool, index)
                return NONE
        order = &self.pool.orders[index]
        order.remaining_lots = remaining
        order.price_ticks = <uint32_t>price
        order.side = <uint8_t>side
        enqueue(own_side(&self.sides, order.side), &self.pool, order.price_ticks, index)
        return NONE

    cdef int take(self, uint64_t order_id, int64_t side, int64_t limit, int64_t quantity, bint whole) except -1:
        # Trade now, and do not rest.
        cdef Ladder* opposite
        if pool_find(&self.pool, order_id) != 0:
            return ORDER_ID_IN_USE
        opposite = opposite_side(&self.sides, <int>side)
        if whole and resting_lots(opposite, limit, quantity) < quantity:
            return FOK_NOT_FILLABLE
        self.reserve_trades(quantity)
        self.match(order_id, opposite, limit, quantity)
        return NONE

    cdef int take_any_price(self, uint64_t order_id, int64_t side, int64_t quantity) except -1:
        cdef int refusal = form_refusal(side, 1, quantity, GTC, 0)
        if refusal != NONE:
            return refusal
        return self.take(order_id, side, PRICE_TICKS_MAX() if side == BUY else 0, quantity, False)

    cdef int change(self, uint64_t order_id, int64_t price, int64_t quantity) except -1:
        cdef int refusal = form_refusal(BUY, price, quantity, GTC, 0)
        cdef uint32_t index = pool_find(&self.pool, order_id)
        cdef Order* order = &self.pool.orders[index]
        cdef Ladder* opposite
        if refusal != NONE:
            return refusal
        if index == 0:
            return UNKNOWN_ORDER
        if price == order.price_ticks and quantity <= order.remaining_lots:
            ladder_level(own_side(&self.sides, order.side), <uint32_t>price).total_lots -= order.remaining_lots - quantity
            order.remaining_lots = quantity
            return NONE
        opposite = opposite_side(&self.sides, order.side)
        self.reserve_trades(quantity)
        if ladder_reserve(own_side(&self.sides, order.side)) < 0:
            raise MemoryError()
        dequeue(own_side(&self.sides, order.side), &self.pool, order.price_ticks, index)
        quantity = self.match(order_id, opposite, price, quantity)
        if quantity == 0:
            pool_remove(&self.pool, index)
            return NONE
        order.remaining_lots = quantity
        order.price_ticks = <uint32_t>price
        enqueue(own_side(&self.sides, order.side), &self.pool, order.price_ticks, index)
        return NONE

    cdef inline void catch_up(self) noexcept:
        if self.leaving != 0:
            self.leave(self.leaving)
            self.leaving = 0

    cdef inline void leave(self, uint32_t index) noexcept:
        cdef const Order* order = &self.pool.orders[index]
        dequeue(own_side(&self.sides, order.side), &self.pool, order.price_ticks, index)
        pool_remove(&self.pool, index)

    cdef inline int reserve_trades(self, int64_t quantity) except -1:
        # Every trade takes a lot at least, and all but the last an order.
        cdef size_t needed = self.trade_count + (<size_t>quantity if quantity < self.pool.live else self.pool.live)
        if needed > self.trade_capacity:
            self.make_room(needed * 2 + TRADES_MIN)
        return 0

    cdef int64_t match(self, uint64_t taker_id, Ladder* opposite, int64_t limit, int64_t remaining) noexcept:
        # Trade with the oldest order at the best price while prices cross; return what is left. Needs a reserve_trades.
        cdef Level* level
        cdef Order* maker
        cdef Trade* trade
        cdef uint32_t price
        cdef int64_t quantity
        trade = &self.trades[self.trade_count]
        while remaining > 0 and crosses(opposite, opposite.best, limit):
            price = <uint32_t>opposite.best
            level = ladder_level(opposite, price)
            while remaining > 0 and level.head != 0:
                maker = &self.pool.orders[level.head]
                quantity = remaining if remaining < maker.remaining_lots else maker.remaining_lots
                trade.maker_order_id = maker.order_id
                trade.taker_order_id = taker_id
                trade.price_ticks = price
                trade.quantity_lots = quantity
                trade += 1
                remaining -= quantity
                level.total_lots -= quantity
                maker.remaining_lots -= quantity
                if maker.remaining_lots == 0:
                    pop_head(&self.pool, level)
            if level.head == 0:
                ladder_vacate(opposite, price)
        self.trade_count = trade - self.trades
        return remaining

    # Looking at the book

    def __len__(self):
        self.catch_up()
        return self.pool.live

    def best(self, side):
        """Return the best price of a side in ticks, None when nothing rests there."""
        cdef int64_t price = self.side_of(side).best
        return None if price < 0 else price

    # While a book is walked, no object is made that the garbage collector knows: it may run any Python code.

    def depth(self, side, levels=None):
        """Return (price_ticks, total_lots, orders) of a side's best levels, best first; of all when no number is given."""
        cdef int64_t left = INT64_MAX if levels is None else integer(levels)
        cdef Ladder* ladder = self.side_of(side)
        cdef list numbers = []
        cdef int64_t price
        cdef Level* level
        if left < 0:
            raise ValueError(f"levels must be 0 or more, got {levels}")
        price = ladder.best
        while price >= 0 and left > 0:
            level = ladder_level(ladder, <uint32_t>price)
            numbers.append(price)
            numbers.append(to_python(level.total_lots))
            numbers.append(level.count)
            price = next_price(ladder, <uint32_t>price)
            left -= 1
        return in_threes(numbers)

    def orders(self, side):
        """Return (order_id, price_ticks, remaining_lots) of a side's orders, in the order in which they would trade."""
        cdef Ladder* ladder = self.side_of(side)
        cdef list numbers = []
        cdef int64_t price = ladder.best
        cdef uint32_t index
        cdef const Order* order
        while price >= 0:
            index = ladder_level(ladder, <uint32_t>price).head
            while index != 0:
                order = &self.pool.orders[index]
                numbers.append(order.order_id)
                numbers.append(order.price_ticks)
                numbers.append(order.remaining_lots)
                index = order.next
            price = next_price(ladder, <uint32_t>price)
        return in_threes(numbers)

    cdef Ladder* side_of(self, object side) except NULL:
        cdef int64_t number = integer(side)
        if number != BUY and number != SELL:
            raise ValueError(f"side must be {BUY} (buy) or {SELL} (sell), got {side}")
        self.catch_up()
        return own_side(&self.sides, <int>number)


cdef tuple trade_tuples(const Trade* trade, Py_ssize_t count, object taker, uint64_t taker_id):
    cdef tuple result = PyTuple_New(count)
    cdef PyObject* line
    cdef Py_ssize_t at
    if not PyLong_CheckExact(taker):
        taker = taker_id
    for at in range(count):
        # The result owns a line before it is filled: an error on the way leaves nothing behind.
        line = new_tuple(4)
        give_item(<PyObject*>result, at, line)
        give_item(line, 0, new_order_id(trade.maker_order_id))
        Py_INCREF(<PyObject*>taker)
        give_item(line, 1, <PyObject*>taker)
        give_item(line, 2, new_int(trade.price_ticks))
        give_item(line, 3, new_int(trade.quantity_lots))
        trade += 1
    return result


cdef list in_threes(list numbers):
    each = iter(numbers)
    return list(zip(each, each, each))


cdef object to_python(int128_t value):
    return (<int64_t>(value >> 64)) * (1 << 64) + <uint64_t>value


cdef inline int form_refusal(int64_t side, int64_t price, int64_t quantity, int64_t time_in_force, int64_t flags) noexcept:
    if side != BUY and side != SELL:
        return SIDE_INVALID
    if not (1 <= price <= PRICE_TICKS_MAX()):
        return PRICE_OUT_OF_RANGE
    if not (1 <= quantity < UNITS_MAX()):
        return QUANTITY_OUT_OF_RANGE
    if time_in_force != GTC and time_in_force != IOC and time_in_force != FOK:
        return TIME_IN_FORCE_INVALID
    if flags != 0 and (flags != POST_ONLY or time_in_force != GTC):
        return FLAGS_INVALID
    return NONE


cdef object refuse(int refusal, order_id, side, price_ticks, quantity_lots, time_in_force, flags):
    # None for what a market may answer at any time, an error for what nobody should ask.
    if refusal == SIDE_INVALID:
        raise ValueError(f"side must be {BUY} (buy) or {SELL} (sell), got {side}")
    if refusal == PRICE_OUT_OF_RANGE:
        raise ValueError(f"price_ticks must be 1 to {PRICE_TICKS_MAX()}, got {price_ticks}")
    if refusal == QUANTITY_OUT_OF_RANGE:
        raise ValueError(f"quantity_lots must be 1 to {UNITS_MAX() - 1}, got {quantity_lots}")
    if refusal == TIME_IN_FORCE_INVALID:
        raise ValueError(f"time_in_force must be {GTC} (GTC), {IOC} (IOC) or {FOK} (FOK), got {time_in_force}")
    if refusal == FLAGS_INVALID:
        raise ValueError(f"flags must be 0, or {POST_ONLY} (post-only) of a GTC order, got {flags}")
    if refusal == ORDER_ID_IN_USE:
        raise ValueError(f"order_id must be one that no resting order has, got {order_id}")
    return None


def layout():
    """Return the sizes of the C records, for the test that holds them against engine/book_records.py."""
    return {"OPERATION": sizeof(Operation), "TRADE": sizeof(Trade), "REFUSED": sizeof(Refused)}
