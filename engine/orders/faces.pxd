from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t

from engine.matching.types cimport Event, int128_t
from engine.orders.decimals cimport Decimal
from engine.orders.state cimport OrderState
from engine.orders.text cimport Text, put_bytes

cdef struct Fill:
    uint64_t trade_id
    uint64_t order_id
    uint8_t side
    int64_t price_ticks
    int64_t quantity_lots
    bint is_maker
    bint is_auction
    int64_t fee_units
    int64_t executed_ns

cdef class MarketFace:
    cdef bytes symbol, base, quote
    cdef int base_scale, quote_scale
    cdef Decimal tick, lot
    cdef int average_shift  # decimals that an average price has more than quote units per unit of base have

    cdef bint put_placed(self, Text* text, OrderState order, uint64_t sequence, bytes command, bytes events) except -1
    cdef void put_order_with_fills(self, Text* text, OrderState order, const Event* events, Py_ssize_t count) noexcept
    cdef void put_trade(self, Text* text, const Event* trade) noexcept
    cdef void put_order(self, Text* text, OrderState order) noexcept
    cdef void put_traded(self, Text* text, OrderState order) noexcept
    cdef void put_average_price(self, Text* text, OrderState order) noexcept
    cdef void put_terms(self, Text* text, OrderState order) noexcept
    cdef void put_fills(self, Text* text, uint64_t order_id, const Event* events, Py_ssize_t count) noexcept
    cdef void put_fill(self, Text* text, const Fill* fill) noexcept
    cdef void put_execution(self, Text* text, uint64_t trade_id, int64_t price_ticks, int64_t quantity_lots) noexcept
    cdef void put_price(self, Text* text, int64_t ticks) noexcept
    cdef void put_price_or_null(self, Text* text, int64_t ticks) noexcept
    cdef void put_quantity(self, Text* text, int128_t lots) noexcept
    cdef void put_quantity_or_null(self, Text* text, int64_t lots) noexcept

cdef void put_plain_text(Text* text, str plain) noexcept

cdef inline void put_json(Text* text, bytes piece) noexcept:
    put_bytes(text, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
