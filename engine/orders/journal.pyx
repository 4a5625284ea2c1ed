"""Entries on their way into the journal: counted, sealed into its chain, and as rows that Postgres' COPY reads."""

from hashlib import blake2b

from cpython.bytearray cimport PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from engine.matching.types cimport REJECTED, Event
from engine.orders.copying cimport *
from engine.orders.rows import COPY_BEGIN, COPY_END
from engine.orders.state cimport command_record

CHAIN_SIZE = 16

cdef enum:
    FIXED_ROW = 2 + 6 * 4 + 4 + 8 + 8  # bytes of a row without its three byte strings
    KINDS = 256
    OUTCOMES = 2  # taken, refused


def sealed_rows(int32_t shard, int64_t epoch, entries, bytes chain not None):
    cdef Rows rows = Rows(NULL, 0, 0, False)
    cdef bytes command, events
    try:
        put_bytes(&rows, COPY_BEGIN)
        for entry in entries:
            command, events = entry.command, entry.events
            chain = blake2b(command + events, digest_size=CHAIN_SIZE, key=chain).digest()
            write_row(&rows, shard, epoch, entry.sequence, command, events, chain)
        put_bytes(&rows, COPY_END)
        if rows.misfit:
            raise ValueError("an entry holds a value that is beyond its column")
        return PyByteArray_FromStringAndSize(rows.data, <Py_ssize_t>rows.size), chain
    finally:
        rows_close(&rows)


cdef int write_row(
    Rows* rows, int32_t shard, int64_t epoch, uint64_t sequence, bytes command, bytes events, bytes chain
) except -1:
    cdef size_t size = FIXED_ROW + <size_t>(len(command) + len(events) + len(chain))
    if rows_reserve(rows, size) < 0:
        raise MemoryError
    put_16(rows, 6)
    put_integer(rows, shard)
    put_bigint(rows, sequence)
    put_bigint(rows, epoch)
    put_text(rows, PyBytes_AS_STRING(command), <size_t>PyBytes_GET_SIZE(command))
    put_text(rows, PyBytes_AS_STRING(events), <size_t>PyBytes_GET_SIZE(events))
    put_text(rows, PyBytes_AS_STRING(chain), <size_t>PyBytes_GET_SIZE(chain))
    return 0


cdef int put_bytes(Rows* rows, bytes written) except -1:
    if rows_reserve(rows, <size_t>len(written)) < 0:
        raise MemoryError
    memcpy(rows.data + rows.size, PyBytes_AS_STRING(written), <size_t>len(written))
    rows.size += <size_t>len(written)
    return 0


def count_outcomes(entries):
    cdef int64_t counts[KINDS][OUTCOMES]
    cdef int kind, rejected
    memset(counts, 0, sizeof(counts))
    for entry in entries:
        counts[command_record(entry.command).header.kind][is_rejected(entry.events)] += 1
    return {
        (kind, bool(rejected)): counts[kind][rejected]
        for kind in range(KINDS) for rejected in range(OUTCOMES) if counts[kind][rejected]
    }


cdef bint is_rejected(bytes events) except -1:
    cdef const Event* event = <const Event*>PyBytes_AS_STRING(events)
    cdef Py_ssize_t at, count = PyBytes_GET_SIZE(events) // <Py_ssize_t>sizeof(Event)
    for at in range(count):
        if event[at].kind == REJECTED:
            return True
    return False
