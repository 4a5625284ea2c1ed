# JSON text as it grows. A failure is remembered, and what is written after it is lost: look at `failure` at the end.
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, strlen

from engine.matching.types cimport uint128_t

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    ROOM = 2048  # bytes that most texts have enough of
    CHUNK_DIGITS = 19  # that fit into 64 bits
    DIGITS = 128  # of a number with all its zeros

cdef enum:
    NO_FAILURE = 0
    OUT_OF_MEMORY = 1
    UNSUITED = 2  # what this does not write: that is left to who can

cdef struct Text:
    char* data
    Py_ssize_t size
    Py_ssize_t capacity
    int failure


cdef inline void begin(Text* text) noexcept nogil:
    text.size, text.capacity = 0, ROOM
    text.data = <char*>malloc(ROOM)
    text.failure = NO_FAILURE if text.data != NULL else OUT_OF_MEMORY


cdef inline void fail(Text* text, int failure) noexcept nogil:
    if text.failure == NO_FAILURE:
        text.failure = failure


cdef inline void put_bytes(Text* text, const char* piece, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t needed = text.size + size
    cdef char* larger
    if text.failure:
        return
    if needed > text.capacity:
        larger = <char*>realloc(text.data, 2 * needed)
        if larger == NULL:
            fail(text, OUT_OF_MEMORY)
            return
        text.data, text.capacity = larger, 2 * needed
    memcpy(text.data + text.size, piece, size)
    text.size = needed


cdef inline void put(Text* text, const char* piece) noexcept nogil:
    put_bytes(text, piece, strlen(piece))


cdef inline char* write_digits(uint64_t value, char* end, int least) noexcept nogil:
    # Write a number so that it ends before `end`, with zeros in front up to `least` digits; return where it begins.
    cdef char* at = end
    while value or end - at < least:
        at -= 1
        at[0] = <char>(c"0" + value % 10)
        value //= 10
    return at


cdef inline char* write_wide_digits(uint128_t value, char* end, int least) noexcept nogil:
    # The same of 128 bits.
    cdef uint128_t chunk = 10_000_000_000_000_000_000
    cdef char* at = end
    while (value >> 64) != 0:
        at = write_digits(<uint64_t>(value % chunk), at, CHUNK_DIGITS)
        value = value // chunk
    return write_digits(<uint64_t>value, at, least - <int>(end - at))


cdef inline void put_number(Text* text, uint64_t value) noexcept nogil:
    cdef char digits[DIGITS]
    cdef char* end = digits + DIGITS
    cdef char* at = write_digits(value, end, 1)
    put_bytes(text, at, end - at)


cdef inline void put_decimal(Text* text, uint128_t value, int scale, bint trimmed) noexcept nogil:
    # value / 10**scale in quotes; trimmed: without superfluous zeros. scale: less than DIGITS.
    cdef char digits[DIGITS]
    cdef char* end = digits + DIGITS
    cdef char* point = end - scale
    cdef char* at = write_wide_digits(value, end, scale + 1)
    while trimmed and end > point and (end - 1)[0] == c"0":
        end -= 1
    put(text, '"')
    put_bytes(text, at, point - at)
    if end > point:
        put(text, ".")
        put_bytes(text, point, end - point)
    put(text, '"')


cdef inline const char* ascii_of(text, Py_ssize_t* size) except? NULL:
    # The characters of a string that has none but ASCII's; NULL for all else.
    if type(text) is not str or not PyUnicode_IS_ASCII(text):
        return NULL
    return PyUnicode_AsUTF8AndSize(text, size)
