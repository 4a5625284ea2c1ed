# Buffers of whole records: what the C code reads is never longer than what it was given.
from libc.stdint cimport uint8_t, uint64_t

from engine.matching.types cimport CLIENT_ORDER_ID_SIZE, Event, OrderCommand

cdef inline const Event* records_of(const uint8_t[::1] events, Py_ssize_t* count) except? NULL:
    # The event records of a buffer, and how many.
    count[0] = events.shape[0] // <Py_ssize_t>sizeof(Event)
    if events.shape[0] != count[0] * <Py_ssize_t>sizeof(Event):
        given = f"{events.shape[0]} bytes are no whole number of {sizeof(Event)}-byte records"
        raise ValueError(f"event records have {sizeof(Event)} bytes each: {given}")
    return <const Event*>&events[0] if count[0] else NULL

cdef inline const OrderCommand* commands_of(
    const uint8_t[::1] commands, uint64_t first, const Event* events, Py_ssize_t count
) except? NULL:
    # The command records of a buffer, of sequence ``first`` and on. Each of the events was caused by one of them.
    cdef Py_ssize_t placed = commands.shape[0] // <Py_ssize_t>sizeof(OrderCommand)
    cdef Py_ssize_t at
    if commands.shape[0] != placed * <Py_ssize_t>sizeof(OrderCommand):
        raise ValueError(f"commands are {sizeof(OrderCommand)}-byte records, got {commands.shape[0]} bytes")
    for at in range(count):
        if events[at].sequence - first >= <uint64_t>placed:  # one before the first wraps to a large number
            raise ValueError(f"no command {events[at].sequence} for its event among {placed} from {first} on")
    return <const OrderCommand*>&commands[0] if placed else NULL

cdef inline size_t client_id_size(const OrderCommand* command) noexcept:
    # How many bytes a record's client order id has, 0 for none: zeros follow it.
    cdef size_t size = CLIENT_ORDER_ID_SIZE
    while size and not command.client_order_id[size - 1]:
        size -= 1
    return size if command.client_order_id[0] else 0
