"""A set of keys that is small and sometimes errs: all client order ids there ever were."""

from cpython.long cimport PyLong_AsUnsignedLongLongMask
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free


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

    # Double hashing (Kirsch and Mitzenmacher 2006): two independent halves of a hash make as many as are needed.

    cdef uint64_t hash_of(self, key) except? 0:
        return PyLong_AsUnsignedLongLongMask(hash(key) if self.hash is None else self.hash(key))

    def add(self, key):
        cdef uint64_t position = self.hash_of(key), step = position >> 32 | 1
        cdef int number
        for number in range(self.hashes):
            position &= self.mask
            self.bits[position >> 3] |= 1 << (position & 7)
            position += step

    def __contains__(self, key):
        cdef uint64_t position = self.hash_of(key), step = position >> 32 | 1
        cdef int number
        for number in range(self.hashes):
            position &= self.mask
            if not self.bits[position >> 3] >> (position & 7) & 1:
                return False
            position += step
        return True
