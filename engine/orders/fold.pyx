"""What a run of journal entries does to orders, those of earlier entries included: for tables that follow the journal."""

from libc.stdint cimport uint8_t, uint64_t

from engine.matching.types cimport *
from engine.orders.buffers cimport records_of
from engine.orders.state cimport OrderState, accepted_order


cdef class OrderFold:
    """A run's orders, each in its state after it: one that came and went within the run is in ``accepted`` only.

    ``orders`` are known from earlier entries; those that are accepted come to them, and nobody leaves.
    """

    cdef readonly dict orders
    cdef readonly dict accepted
    cdef readonly dict changed
    cdef readonly uint64_t first
    cdef bytes _commands

    def __init__(self, dict orders not None, uint64_t first, bytes commands not None):
        if len(commands) % sizeof(OrderCommand):
            raise ValueError(f"command records have {sizeof(OrderCommand)} bytes each, got {len(commands)}")
        self.orders, self.accepted, self.changed = orders, {}, {}
        self.first, self._commands = first, commands

    def unknown(self, const uint8_t[::1] events not None):
        """Return the ids of orders of before the run that events name and that are not known."""
        cdef Py_ssize_t at, count
        cdef const Event* event = records_of(events, &count)
        cdef set found = set()
        for at in range(count):
            if event.kind == TRADED or event.kind == PREVENTED:
                self._look(event.order_id, found)
                self._look(event.maker_order_id, found)
            elif is_of_an_order(event.kind):
                self._look(event.order_id, found)
            elif event.kind == ACCEPTED and self._links(event):
                self._look((<const OrderEvent*>event).linked_order_id, found)
            event += 1
        return found

    def take(self, const uint8_t[::1] events not None):
        """Take events, in their order. Raises KeyError for one of an order that is not known."""
        cdef Py_ssize_t at, count
        cdef const Event* event = records_of(events, &count)
        for at in range(count):
            if event.kind == ACCEPTED:
                self._accept(event)
            elif event.kind == TRADED or event.kind == PREVENTED:
                self._touch(event.order_id).take_event(event)
                self._touch(event.maker_order_id).take_event(event)
            elif is_of_an_order(event.kind):
                self._touch(event.order_id).take_event(event)
            event += 1

    cdef int _accept(self, const Event* event) except -1:
        cdef OrderState order = accepted_order(event, self._command_of(event))
        order_id = order.order_id
        self.orders[order_id] = self.accepted[order_id] = order
        if order.named():
            self._touch(order.named()).link_with(order)
        return 0

    cdef OrderState _touch(self, uint64_t order_id):
        cdef OrderState order
        number = order_id
        order = self.orders[number]
        if number not in self.accepted:
            self.changed[number] = order
        return order

    cdef int _look(self, uint64_t order_id, set found) except -1:
        if order_id < self.first and order_id not in self.orders:
            found.add(order_id)
        return 0

    cdef bint _links(self, const Event* event) except -1:
        cdef const OrderCommand* command = self._command_of(event)
        return command.header.version > 1 and command.header.contingency and (<const OrderEvent*>event).linked_order_id

    cdef const OrderCommand* _command_of(self, const Event* event) except NULL:
        # The command that caused an event: those of a run follow each other.
        cdef uint64_t at = event.sequence - self.first
        if at >= <uint64_t>len(self._commands) // sizeof(OrderCommand):
            raise ValueError(f"an event of entry {event.sequence} is not of these, which begin with {self.first}")
        return &(<const OrderCommand*><const char*>self._commands)[at]


cdef inline bint is_of_an_order(int kind) noexcept nogil:
    return kind == CANCELLED or kind == TRIGGERED or kind == ACTIVATED or kind == REFRESHED or kind == AMENDED
