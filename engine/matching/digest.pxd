# The 64-bit state digest (docs/engine.md): a sum of item hashes, so that a change costs two items and never a walk of the state.
from libc.stdint cimport uint64_t

cdef inline uint64_t mix(uint64_t h, uint64_t word) noexcept nogil:
    cdef uint64_t z = (h ^ word) * <uint64_t>0x9E3779B97F4A7C15
    z ^= z >> 32
    z *= <uint64_t>0xD6E8FEB86659FD93
    return z ^ (z >> 32)
