"""Faults on purpose, to see that a checked build finds them. Never part of the exchange."""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc


def read_beyond_the_end(int count):
    cdef int64_t* numbers = <int64_t*>malloc(count * sizeof(int64_t))
    cdef int64_t found
    numbers[0] = count
    found = numbers[count]
    free(numbers)
    return found


def use_after_free(int count):
    cdef int64_t* numbers = <int64_t*>malloc(count * sizeof(int64_t))
    numbers[0] = count
    free(numbers)
    return numbers[0]


def overflow(int64_t number):
    return number * 4


def shift_too_far(int64_t number):
    return <int64_t>1 << number


def read_null(int count):
    cdef int64_t* numbers = NULL
    return numbers[count - count]


def index_beyond_the_buffer(const unsigned char[::1] numbers, int at):
    return numbers[at]


def forget(int count):
    return malloc(count) != NULL


def no_fault(int64_t number):
    return number + 1
