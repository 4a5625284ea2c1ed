"""Table rows from event records, as Postgres' COPY reads them in its binary format.

A COPY is COPY_BEGIN, rows, COPY_END. Every function takes a buffer of whole event records and returns the rows of those
that are its business, in their order. ValueError: the buffer is no whole number of records, or a value is beyond its
column.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, uint8_t

from engine.matching.types cimport *
from engine.orders.buffers cimport client_id_size, commands_of, records_of
from engine.orders.copying cimport *
from engine.orders.state cimport OrderState

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(str text, Py_ssize_t* size) except NULL

COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"

cdef enum:
    # Bytes of a row without its texts: every field has its length, and at most eight bytes or a NUMERIC.
    FIXED_ROW_MAX = 2 + 13 * 12
    ORDER_ROW_MAX = 2 + 32 * 12 + 2 * NUMERIC_SIZE_MAX


cdef bytes taken(Rows* rows):
    """The rows that were written, if all values fit their columns."""
    if rows.misfit:
        raise ValueError("an event holds a value that is beyond its column")
    return PyBytes_FromStringAndSize(rows.data, <Py_ssize_t>rows.size)


def trade_rows(int32_t shard, const uint8_t[::1] events not None):
    """Rows of `trades`: every trade once."""
    return rows_of_trades(shard, events, write_trade)


def fill_rows(int32_t shard, const uint8_t[::1] events not None):
    """Rows of `fills`: the taker's and the maker's of every trade."""
    return rows_of_trades(shard, events, write_fills)


ctypedef void (*WriteTrade)(Rows* rows, int32_t shard, const Event* trade) noexcept nogil


cdef bytes rows_of_trades(int32_t shard, const uint8_t[::1] events, WriteTrade write):
    cdef Py_ssize_t count
    cdef const Event* records = records_of(events, &count)
    cdef Py_ssize_t at
    cdef Rows rows = Rows(NULL, 0, 0, False)
    try:
        for at in range(count):
            if records[at].kind != TRADED:
                continue
            if rows_reserve(&rows, 2 * FIXED_ROW_MAX) < 0:
                raise MemoryError
            rows.misfit |= records[at].side != BUY and records[at].side != SELL
            write(&rows, shard, &records[at])
        return taken(&rows)
    finally:
        rows_close(&rows)


cdef void write_trade(Rows* rows, int32_t shard, const Event* trade) noexcept nogil:
    put_16(rows, 12)
    put_integer(rows, shard)
    put_bigint(rows, trade.trade_id)
    put_bigint(rows, trade.sequence)
    put_integer(rows, trade.market)
    put_smallint(rows, trade.side)
    put_bigint(rows, trade.price_ticks)
    put_bigint(rows, trade.quantity_lots)
    put_bigint(rows, trade.amount)
    put_bigint(rows, trade.order_id)
    put_bigint(rows, trade.maker_order_id)
    put_bigint(rows, trade.timestamp_ns)
    put_boolean(rows, trade.flags & AUCTION_TRADE != 0)


cdef void write_fills(Rows* rows, int32_t shard, const Event* trade) noexcept nogil:
    write_fill(rows, shard, trade, trade.account, False, trade.order_id, trade.side, trade.taker_fee)
    write_fill(
        rows, shard, trade, trade.maker_account, True, trade.maker_order_id, BUY + SELL - trade.side, trade.maker_fee
    )


cdef void write_fill(
    Rows* rows, int32_t shard, const Event* trade, uint64_t account, bint is_maker, uint64_t order_id, int side,
    int64_t fee_units,
) noexcept nogil:
    put_16(rows, 13)
    put_integer(rows, shard)
    put_bigint(rows, account)
    put_bigint(rows, trade.trade_id)
    put_boolean(rows, is_maker)
    put_bigint(rows, order_id)
    put_integer(rows, trade.market)
    put_smallint(rows, side)
    put_bigint(rows, trade.price_ticks)
    put_bigint(rows, trade.quantity_lots)
    put_bigint(rows, fee_units)
    put_bigint(rows, trade.sequence)
    put_bigint(rows, trade.timestamp_ns)
    put_boolean(rows, trade.flags & AUCTION_TRADE != 0)


def order_rows(int32_t shard, list orders not None):
    """Rows of `orders`: each OrderState as it is."""
    cdef OrderState order
    cdef Rows rows = Rows(NULL, 0, 0, False)
    try:
        for order in orders:
            write_order(&rows, shard, order)
        return taken(&rows)
    finally:
        rows_close(&rows)


cdef int write_order(Rows* rows, int32_t shard, OrderState order) except -1:
    cdef Py_ssize_t size = 0
    cdef const char* name = NULL
    if order.client_order_id is not None:
        name = PyUnicode_AsUTF8AndSize(order.client_order_id, &size)
    if rows_reserve(rows, ORDER_ROW_MAX + <size_t>size) < 0:
        raise MemoryError
    put_16(rows, 34)
    put_integer(rows, shard)
    put_bigint(rows, order.order_id)
    put_bigint(rows, order.account)
    if name == NULL:
        put_null(rows)
    else:
        put_text(rows, name, <size_t>size)
    put_integer(rows, order.market)
    put_smallint(rows, order.side)
    put_smallint(rows, order.order_type)
    put_smallint(rows, order.time_in_force)
    put_smallint(rows, order.flags)
    put_smallint(rows, order.self_trade)
    put_bigint(rows, order.price_ticks)
    put_bigint(rows, order.quantity_lots)
    put_bigint(rows, order.remaining_lots)
    put_bigint(rows, order.filled_lots)
    put_numeric(rows, order.filled_quote_units)
    put_numeric(rows, order.fee_units)
    put_bigint(rows, order.prevented_lots)
    put_bigint(rows, order.quote_units)
    put_bigint(rows, order.trigger_price_ticks)
    put_bigint(rows, order.trail_ticks)
    put_bigint(rows, order.display_lots)
    put_bigint(rows, order.visible_lots)
    put_bigint(rows, order.min_quantity_lots)
    put_bigint(rows, order.expire_ns)
    put_bigint(rows, order.other_leg_id)
    put_bigint(rows, order.parent_id)
    put_bigint(rows, order.child_id)
    put_smallint(rows, order.waiting)
    put_integer(rows, order.amendments)
    put_smallint(rows, order.status)
    put_smallint(rows, order.end_reason)
    put_bigint(rows, order.sequence)
    put_bigint(rows, order.created_ns)
    put_bigint(rows, order.updated_ns)
    return 0


def rejection_rows(int32_t shard, uint64_t first, const uint8_t[::1] commands not None, const uint8_t[::1] events not None):
    """Rows of `rejections`: refused orders that have a client order id, which gets the same refusal for ever.

    ``commands``: whole records, of sequence ``first`` and on, that caused the events.
    """
    cdef Py_ssize_t count, at
    cdef const Event* records = records_of(events, &count)
    cdef const OrderCommand* placed = commands_of(commands, first, records, count)
    cdef Rows rows = Rows(NULL, 0, 0, False)
    try:
        for at in range(count):
            if records[at].kind == REJECTED:
                write_rejection(&rows, shard, &records[at], &placed[records[at].sequence - first])
        return taken(&rows)
    finally:
        rows_close(&rows)


cdef int write_rejection(Rows* rows, int32_t shard, const Event* event, const OrderCommand* command) except -1:
    cdef size_t size = client_id_size(command)
    if command.header.kind != PLACE and command.header.kind != CANCEL_REPLACE or event.reason == UNKNOWN_KIND:
        return 0
    if not size:
        return 0
    if rows_reserve(rows, FIXED_ROW_MAX + size) < 0:
        raise MemoryError
    put_16(rows, 13)
    put_integer(rows, shard)
    put_bigint(rows, event.sequence)
    put_bigint(rows, event.account)
    put_text(rows, command.client_order_id, size)
    put_smallint(rows, event.reason)
    put_bigint(rows, event.market)
    put_smallint(rows, event.side)
    put_smallint(rows, event.order_type)
    put_smallint(rows, event.time_in_force)
    put_smallint(rows, event.flags)
    put_bigint(rows, event.price_ticks)
    put_bigint(rows, event.quantity_lots)
    put_bigint(rows, event.timestamp_ns)
    return 0
