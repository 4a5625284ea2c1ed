"""Table rows from event records, as Postgres' COPY reads them in its binary format.

A COPY is COPY_BEGIN, rows, COPY_END. Every function takes a buffer of whole event records and returns the rows of those
that are its business, in their order. ValueError: the buffer is no whole number of records, or a value is beyond its
column.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, uint8_t

from engine.matching.types cimport *
from engine.orders.buffers cimport records_of
from engine.orders.copying cimport *

COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"

cdef enum:
    FIXED_ROW_MAX = 256  # bytes of a row of at most 13 fields without a NUMERIC


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
