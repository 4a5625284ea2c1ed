# Decimal text, read exactly: a number is value / 10**scale. What does not fit in 128 bits is told, never wrapped.
from libc.stdint cimport int64_t, uint64_t

from engine.matching.types cimport uint128_t

cdef extern from *:
    # True where the result does not fit.
    bint overflows_product "__builtin_mul_overflow"(uint128_t a, uint128_t b, uint128_t* product) noexcept nogil
    bint overflows_sum "__builtin_add_overflow"(uint128_t a, uint128_t b, uint128_t* total) noexcept nogil

cdef enum:
    DIGITS_MAX = 24  # on a side of the point
    STEP_BITS_MAX = 63
    SCALE_MAX = 64

cdef struct Decimal:
    uint128_t value
    int scale


cdef inline bint shift(uint128_t value, int digits, uint128_t* shifted) noexcept nogil:
    # shifted = value * 10**digits. False where that does not fit.
    cdef int digit
    for digit in range(digits):
        if overflows_product(value, 10, &value):
            return False
    shifted[0] = value
    return True


cdef inline bint read_decimal(const char* text, Py_ssize_t size, Decimal* read) noexcept nogil:
    # Read what DECIMAL_TEXT of contracts/units.py takes. False for all else, and for what does not fit.
    cdef Py_ssize_t i, point = size
    cdef uint128_t value = 0
    for i in range(size):
        if text[i] == c"." and point == size:
            point = i
        elif text[i] < c"0" or text[i] > c"9":
            return False
        elif overflows_product(value, 10, &value) or overflows_sum(value, <uint128_t>(text[i] - c"0"), &value):
            return False
    if not 1 <= point <= DIGITS_MAX or (text[0] == c"0" and point > 1):
        return False
    if point < size and not 1 <= size - point - 1 <= DIGITS_MAX:
        return False
    read.value = value
    read.scale = <int>(size - point - 1) if point < size else 0
    return True


cdef inline bint count_steps(const Decimal* number, const Decimal* step, int64_t low, int64_t high, int64_t* steps) noexcept nogil:
    # How many steps a number is. False where they are not whole or not within low to high, and for what does not fit.
    cdef int scale = number.scale if number.scale > step.scale else step.scale
    cdef uint128_t value, one, count
    if not shift(number.value, scale - number.scale, &value) or not shift(step.value, scale - step.scale, &one):
        return False
    if one == 0 or value % one != 0:
        return False
    count = value // one
    if (count >> 63) != 0:
        return False
    steps[0] = <int64_t>count
    return low <= steps[0] <= high


cdef inline Decimal as_step(number) except *:
    # A step of (value, scale), the tick or the lot of a market; one that is too large is 0, of which nothing is a multiple.
    cdef Decimal step
    value, step.scale = number
    check_scale(step.scale)
    step.value = <uint64_t>(value if value.bit_length() <= STEP_BITS_MAX else 0)
    return step


cdef inline int check_scale(int scale) except -1:
    if not 0 <= scale <= SCALE_MAX:
        raise ValueError(f"a scale must be 0 to {SCALE_MAX}, got {scale}")
    return 0
