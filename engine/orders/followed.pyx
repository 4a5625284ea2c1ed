"""Orders as a run of journal entries leaves them: one that came and went within the run is written once.

Orders are known as the table has them. Of a run first ask which must be learnt (`unknown`), then let it be taken
(`take`), then take what is to be written (`accepted`, `changed`) and forget who has ended (`settle`).
"""

from libc.stdint cimport uint8_t, uint64_t

from engine.matching.types cimport *
from engine.orders.buffers cimport commands_of, records_of
from engine.orders.state cimport OrderState, accepted_order


cdef class FollowedOrders:
    cdef dict _known        # by id: live ones of earlier runs, and all of this one
    cdef dict _accepted
    cdef dict _changed      # of earlier runs

    def __cinit__(self):
        self._known, self._accepted, self._changed = {}, {}, {}

    def __len__(self):
        """How many orders are known."""
        return len(self._known)

    def forget(self):
        """Know no order any more."""
        self._known.clear()
        self._accepted.clear()
        self._changed.clear()

    def learn(self, OrderState order not None):
        """Know an order as the table has it."""
        self._known[order.order_id] = order

    def unknown(self, uint64_t first, const uint8_t[::1] commands not None, const uint8_t[::1] events not None):
        """Return the orders from before ``first`` that the events name and that are not known.

        ``commands``: whole records, of sequence ``first`` and on, that caused the events. Raises ValueError for other
        buffers.
        """
        cdef Py_ssize_t count, at
        cdef const Event* records = records_of(events, &count)
        cdef const OrderCommand* placed = commands_of(commands, first, records, count)
        cdef set found = set()
        for at in range(count):
            if is_of_two_orders(records[at].kind):
                self._look(first, records[at].order_id, found)
                self._look(first, records[at].maker_order_id, found)
            elif is_of_an_order(records[at].kind):
                self._look(first, records[at].order_id, found)
            elif records[at].kind == ACCEPTED:
                self._look(first, named_by(&records[at], &placed[records[at].sequence - first]), found)
        return found

    cdef int _look(self, uint64_t first, uint64_t order_id, set found) except -1:
        if 0 < order_id < first and order_id not in self._known:
            found.add(order_id)
        return 0

    def take(self, uint64_t first, const uint8_t[::1] commands not None, const uint8_t[::1] events not None):
        """Take events. Buffers and errors as of `unknown`; KeyError for an order that is not known."""
        cdef Py_ssize_t count, at
        cdef const Event* records = records_of(events, &count)
        cdef const OrderCommand* placed = commands_of(commands, first, records, count)
        for at in range(count):
            if records[at].kind == ACCEPTED:
                self._accept(&records[at], &placed[records[at].sequence - first])
            elif is_of_two_orders(records[at].kind):
                self._touch(records[at].order_id).take_event(&records[at])
                self._touch(records[at].maker_order_id).take_event(&records[at])
            elif is_of_an_order(records[at].kind):
                self._touch(records[at].order_id).take_event(&records[at])

    cdef int _accept(self, const Event* event, const OrderCommand* command) except -1:
        cdef OrderState order = accepted_order(event, command)
        self._known[order.order_id] = self._accepted[order.order_id] = order
        if order.named():
            self._touch(order.named()).link_with(order)
        return 0

    cdef OrderState _touch(self, uint64_t order_id):
        cdef object key = order_id
        cdef OrderState order = self._known[key]
        if key not in self._accepted:
            self._changed[key] = order
        return order

    def accepted(self):
        """Return the orders that were accepted since `settle`."""
        return list(self._accepted.values())

    def changed(self):
        """Return the orders that were accepted before `settle` and have changed since."""
        return list(self._changed.values())

    def settle(self):
        """The tables have what was accepted and changed: forget those that have ended."""
        cdef OrderState order
        for touched in (self._accepted, self._changed):
            for order in (<dict>touched).values():
                if not order.lives():
                    del self._known[order.order_id]
            (<dict>touched).clear()


cdef inline bint is_of_two_orders(int kind) noexcept nogil:
    return kind == TRADED or kind == PREVENTED


cdef inline bint is_of_an_order(int kind) noexcept nogil:
    return kind == CANCELLED or kind == TRIGGERED or kind == ACTIVATED or kind == REFRESHED or kind == AMENDED


cdef inline uint64_t named_by(const Event* event, const OrderCommand* command) noexcept nogil:
    # The order that an accepted one hangs on, 0 for none. Version 1 knew none.
    if command.header.version < 2 or command.header.contingency == NO_CONTINGENCY:
        return 0
    return (<const OrderEvent*>event).linked_order_id
