"""The C face of engine/orders/state.pyx: an order as its owner sees it, folded from records as they lie in the journal."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cimport cython
from engine.matching.types cimport Event, OrderCommand, int128_t


@cython.final
cdef class OrderState:
    cdef public uint64_t order_id
    cdef public uint64_t account
    cdef public str client_order_id
    cdef public uint32_t market
    cdef public uint8_t side
    cdef public uint8_t order_type
    cdef public uint8_t time_in_force
    cdef public uint8_t flags
    cdef public uint8_t self_trade
    cdef public int64_t price_ticks
    cdef public int64_t quantity_lots
    cdef public int64_t remaining_lots
    cdef public int64_t filled_lots
    cdef public int128_t filled_quote_units  # converted to and from int whole, as is every int128_t of an attribute
    cdef public int128_t fee_units
    cdef public int128_t prevented_lots
    cdef public int64_t quote_units
    cdef public int64_t trigger_price_ticks
    cdef public int64_t trail_ticks
    cdef public int64_t display_lots
    cdef public int64_t visible_lots
    cdef public int64_t min_quantity_lots
    cdef public int64_t expire_ns
    cdef public uint64_t other_leg_id
    cdef public uint64_t parent_id
    cdef public uint64_t child_id
    cdef public uint32_t waiting
    cdef public int64_t amendments
    cdef public uint8_t status
    cdef public uint16_t end_reason
    cdef public uint64_t sequence
    cdef public int64_t created_ns
    cdef public int64_t updated_ns
    # Of who keeps books of it (live.pyx), and of no other: a copy has none of it.
    cdef int64_t counted_ticks
    cdef int64_t counted_lots
    cdef uint64_t touched_by

    cdef uint64_t named(self) noexcept
    cdef bint lives(self) noexcept
    cdef int64_t shown(self) noexcept
    cdef void take_event(self, const Event* event) noexcept
    cdef void take_fill(self, const Event* trade, int64_t fee_units, bint is_maker) noexcept
    cdef void link_with(self, OrderState other) noexcept
    cdef void _end(self, const Event* event) noexcept
    cdef void _prevent(self, const Event* event) noexcept
    cdef void _change(self, const Event* event) noexcept
    cdef void _show_less(self, int64_t lots, bint is_maker, bint auction) noexcept
    cdef void _touch(self, const Event* event) noexcept


cdef OrderState accepted_order(const Event* event, const OrderCommand* command)
cdef str client_id_of(const OrderCommand* command)
cdef const OrderCommand* command_record(bytes command) except NULL
