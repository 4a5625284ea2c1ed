"""What client order ids there were: all of them in a set that is small and sometimes errs, the last of them exactly."""

from cpython.long cimport PyLong_AsUnsignedLongLongMask
from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free

cdef extern from *:
    void prefetch "__builtin_prefetch" (const void* address) nogil
    PyObject* item_at "PyList_GET_ITEM" (list items, Py_ssize_t at)  # not touched itself

cdef enum:
    RUN = 64      # keys whose places in memory are asked for before the first of them is read
    AHEAD = 16    # answers that are asked for before they are looked at
    SHIFTED = 1024  # so many places of a queue, and half of it, are empty before the rest moves up


cdef class BloomFilter:
    cdef uint8_t* bits
    cdef uint64_t mask
    cdef int hashes
    cdef object hash

    def __cinit__(self, uint64_t bits, int hashes, hash=None):
        if bits < 8 or bits & (bits - 1):
            raise ValueError(f"a filter has a power of two of bits, at least 8, not {bits}")
        self.bits = <uint8_t*>calloc(bits // 8, 1)
        if self.bits == NULL:
            raise MemoryError
        self.mask = bits - 1
        self.hashes = hashes
        self.hash = hash

    def __dealloc__(self):
        free(self.bits)

    def add(self, key):
        self._set(self._hash_of(key))

    def __contains__(self, key):
        return self._has(self._hash_of(key))

    # The bits of a run of keys lie all over the memory: it is told of all of them before it is waited for one.

    def add_all(self, list keys not None):
        cdef uint64_t hashes[RUN]
        cdef Py_ssize_t first, at
        for first in range(0, len(keys), RUN):
            for at in range(self._approach(keys, first, hashes)):
                self._set(hashes[at])

    def has_any(self, list keys not None):
        cdef uint64_t hashes[RUN]
        cdef Py_ssize_t first, at
        for first in range(0, len(keys), RUN):
            for at in range(self._approach(keys, first, hashes)):
                if self._has(hashes[at]):
                    return True
        return False

    cdef Py_ssize_t _approach(self, list keys, Py_ssize_t first, uint64_t* hashes) except -1:
        # Write the hashes of a run of keys, and return how many there are.
        cdef Py_ssize_t at, count = min(len(keys) - first, <Py_ssize_t>RUN)
        cdef uint64_t position, step
        cdef int number
        for at in range(count):
            hashes[at] = position = self._hash_of(keys[first + at])
            step = position >> 32 | 1
            for number in range(self.hashes):
                position &= self.mask
                prefetch(&self.bits[position >> 3])
                position += step
        return count

    # Double hashing (Kirsch and Mitzenmacher 2006): two independent halves of a hash make as many as are needed.

    cdef uint64_t _hash_of(self, key) except? 0:
        return PyLong_AsUnsignedLongLongMask(hash(key) if self.hash is None else self.hash(key))

    cdef void _set(self, uint64_t position) noexcept:
        cdef uint64_t step = position >> 32 | 1
        cdef int number
        for number in range(self.hashes):
            position &= self.mask
            self.bits[position >> 3] |= 1 << (position & 7)
            position += step

    cdef bint _has(self, uint64_t position) noexcept:
        cdef uint64_t step = position >> 32 | 1
        cdef int number
        for number in range(self.hashes):
            position &= self.mask
            if not self.bits[position >> 3] >> (position & 7) & 1:
                return False
            position += step
        return True


cdef class RecentAnswers:
    cdef dict _answers  # by key
    # What was remembered, oldest first, from ``_oldest`` on. One that was dropped stays here until it is the oldest.
    cdef list _keys
    cdef list _queue
    cdef Py_ssize_t _oldest

    def __init__(self):
        self.clear()

    def clear(self):
        self._answers, self._keys, self._queue, self._oldest = {}, [], [], 0

    def __len__(self):
        return len(self._queue) - self._oldest

    def get(self, key):
        return self._answers.get(key)

    def drop(self, key):
        del self._answers[key]

    def remember_all(self, list keys not None, list answers not None):
        cdef Py_ssize_t at
        if len(keys) != len(answers):
            raise ValueError(f"{len(keys)} keys and {len(answers)} answers")
        for at in range(len(keys)):
            self._answers[keys[at]] = answers[at]
        self._keys.extend(keys)
        self._queue.extend(answers)

    def forget(self, Py_ssize_t most, sequence):
        cdef Py_ssize_t keep_from = len(self._queue) - most
        while self._oldest < keep_from and self._forget_oldest(sequence):
            pass
        if self._oldest >= SHIFTED and 2 * self._oldest >= len(self._queue):
            del self._keys[: self._oldest]
            del self._queue[: self._oldest]
            self._oldest = 0

    cdef bint _forget_oldest(self, sequence) except -1:
        cdef Py_ssize_t oldest = self._oldest
        if oldest + AHEAD < len(self._queue):  # they were put there long ago
            prefetch(item_at(self._keys, oldest + AHEAD))
            prefetch(item_at(self._queue, oldest + AHEAD))
        key, answer = self._keys[oldest], self._queue[oldest]
        entry = answer.entry
        if not answer.failed if entry is None else entry.sequence > sequence:
            return False
        if self._answers.get(key) is answer:
            del self._answers[key]
        self._keys[oldest] = self._queue[oldest] = None
        self._oldest += 1
        return True
