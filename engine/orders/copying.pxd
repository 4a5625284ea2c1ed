# Rows as Postgres' COPY reads them in its binary format: big-endian, every field with its length before it.
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from engine.matching.types cimport int128_t, uint128_t

cdef extern from *:
    uint16_t swapped_16 "__builtin_bswap16" (uint16_t value) nogil
    uint32_t swapped_32 "__builtin_bswap32" (uint32_t value) nogil
    uint64_t swapped_64 "__builtin_bswap64" (uint64_t value) nogil

cdef enum:
    NUMERIC_GROUPS_MAX = 10     # of four decimal digits: 2**127 has 39
    NUMERIC_SIZE_MAX = 12 + 2 * NUMERIC_GROUPS_MAX
    NEGATIVE = 0x4000           # the sign of a NUMERIC

cdef struct Rows:
    char* data
    size_t size
    size_t capacity
    bint misfit                 # a value is beyond its column

cdef inline void rows_close(Rows* rows) noexcept nogil:
    free(rows.data)

cdef inline int rows_reserve(Rows* rows, size_t more) noexcept nogil:
    # Make room for so many bytes; -1 when there is no memory.
    cdef size_t capacity = rows.capacity * 2 if rows.capacity else 65536
    cdef char* grown
    if rows.capacity - rows.size >= more:
        return 0
    while capacity - rows.size < more:
        capacity *= 2
    grown = <char*>realloc(rows.data, capacity)
    if grown == NULL:
        return -1
    rows.data, rows.capacity = grown, capacity
    return 0

# What follows needs a rows_reserve before.

cdef inline void put_16(Rows* rows, uint16_t value) noexcept nogil:
    value = swapped_16(value)
    memcpy(rows.data + rows.size, &value, 2)
    rows.size += 2

cdef inline void put_32(Rows* rows, uint32_t value) noexcept nogil:
    value = swapped_32(value)
    memcpy(rows.data + rows.size, &value, 4)
    rows.size += 4

cdef inline void put_smallint(Rows* rows, int64_t value) noexcept nogil:
    rows.misfit |= not -0x8000 <= value <= 0x7FFF
    put_32(rows, 2)
    put_16(rows, <uint16_t>value)

cdef inline void put_integer(Rows* rows, int64_t value) noexcept nogil:
    rows.misfit |= value != <int32_t>value
    put_32(rows, 4)
    put_32(rows, <uint32_t>value)

cdef inline void put_bigint(Rows* rows, int128_t value) noexcept nogil:
    cdef uint64_t swapped = swapped_64(<uint64_t>value)
    rows.misfit |= value != <int64_t>value
    put_32(rows, 8)
    memcpy(rows.data + rows.size, &swapped, 8)
    rows.size += 8

cdef inline void put_boolean(Rows* rows, bint value) noexcept nogil:
    put_32(rows, 1)
    rows.data[rows.size] = <char>(1 if value else 0)
    rows.size += 1

cdef inline void put_null(Rows* rows) noexcept nogil:
    put_32(rows, <uint32_t>0xFFFFFFFF)

cdef inline void put_name(Rows* rows, uint64_t order_or_trade_id) noexcept nogil:
    # A BIGINT that is NULL for none.
    if order_or_trade_id == 0:
        put_null(rows)
    else:
        put_bigint(rows, <int128_t>order_or_trade_id)

cdef inline void put_text(Rows* rows, const char* text, size_t size) noexcept nogil:
    put_32(rows, <uint32_t>size)
    memcpy(rows.data + rows.size, text, size)
    rows.size += size

cdef inline void put_numeric(Rows* rows, int128_t value) noexcept nogil:
    # NUMERIC of scale 0: its digits in groups of four, the highest first and without the zeros at the end.
    cdef uint128_t wide = <uint128_t>value if value >= 0 else -<uint128_t>value
    cdef uint64_t rest
    cdef uint16_t groups[NUMERIC_GROUPS_MAX]
    cdef int count = 0
    cdef int lowest = 0
    cdef int at
    while wide >> 64 != 0:
        groups[count] = <uint16_t>(wide % 10000)
        wide = wide / 10000
        count += 1
    rest = <uint64_t>wide
    while rest != 0:
        groups[count] = <uint16_t>(rest % 10000)
        rest = rest / 10000
        count += 1
    while lowest < count and groups[lowest] == 0:
        lowest += 1
    put_32(rows, <uint32_t>(8 + 2 * (count - lowest)))
    put_16(rows, <uint16_t>(count - lowest))
    put_16(rows, <uint16_t>(count - 1 if count else 0))  # the power of 10,000 that the first group counts
    put_16(rows, NEGATIVE if value < 0 else 0)
    put_16(rows, 0)
    for at in range(count - 1, lowest - 1, -1):
        put_16(rows, groups[at])

# An array: begin_array, its elements as fields of a row, end_array.

cdef enum:
    INTEGER_OID = 23
    SMALLINT_OID = 21
    BIGINT_OID = 20
    NUMERIC_OID = 1700
    ARRAY_HEAD_SIZE = 4 + 5 * 4

cdef inline size_t begin_array(Rows* rows, uint32_t element_oid, size_t count, bint may_have_null) noexcept nogil:
    # Of one dimension that begins at 1, not empty. Returns what end_array takes.
    put_32(rows, 0)
    put_32(rows, 1)
    put_32(rows, 1 if may_have_null else 0)
    put_32(rows, element_oid)
    put_32(rows, <uint32_t>count)
    put_32(rows, 1)
    return rows.size

cdef inline void end_array(Rows* rows, size_t begun) noexcept nogil:
    # Write the array's size before it.
    cdef uint32_t size = swapped_32(<uint32_t>(rows.size - begun + ARRAY_HEAD_SIZE - 4))
    memcpy(rows.data + begun - ARRAY_HEAD_SIZE, &size, 4)
