"""Batches of commands on their way through the journal: stamped, divided into entries, and answered.

An answer is what a future would be, for a thousand of which the event loop needs one call and not a thousand.
"""

from asyncio import get_running_loop

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from engine.matching.types cimport Event, OrderCommand

ALONE, JOINED, LINKED = 0, 1, 2  # how a command follows the one submitted before it

cdef enum:
    FOLLOWS_LINKED = 2


cdef class Answer:
    """What becomes of a command."""

    def __init__(self, bytearray command=None, int follows=0):
        self.command, self.follows = command, follows

    def __class_getitem__(cls, entry):
        return cls

    @staticmethod
    def of(entry):
        cdef Answer answer = Answer()
        answer.entry = entry
        return answer

    cdef bint is_known(self) noexcept:
        return self.entry is not None or self._error is not None

    def done(self):
        return self.is_known()

    @property
    def failed(self):
        return self._error is not None

    def then(self, call):
        if self.is_known():
            get_running_loop().call_soon(call, self)
        elif self._calls is None:
            self._calls = [call]
        else:
            self._calls.append(call)

    def hand_to(self, receiver, context):
        if self.is_known():
            get_running_loop().call_soon(receiver, [self])
        self._receiver, self.context = receiver, context

    cdef bint is_awaited(self) noexcept:
        return self._receiver is not None or self._calls is not None

    def taken(self):
        if self._error is not None:
            raise self._error.with_traceback(None)  # several may be told of the same
        if self.entry is None:
            raise RuntimeError("what becomes of the command is not known yet")
        return self.entry, False

    async def wait(self):
        if not self.is_known():
            known = get_running_loop().create_future()
            self.then(Waking(known))
            await known

    async def result(self):
        await self.wait()
        return self.taken()

    async def _entry_alone(self):
        await self.wait()
        return self.taken()[0]

    def __await__(self):
        return self._entry_alone().__await__()


cdef class Waking:
    """Wakes who waits for an answer, unless it is gone."""

    cdef object _known

    def __init__(self, known):
        self._known = known

    def __call__(self, answer):
        if not self._known.done():
            self._known.set_result(None)


def deliver(answers, entries):
    cdef Answer answer
    cdef list called = []
    for answer, entry in zip(answers, entries, strict=True):
        if not answer.is_known():
            answer.entry, answer.command = entry, None
            if answer.is_awaited():
                called.append(answer)
    tell(called)


def fail(answers, error):
    cdef Answer answer
    cdef list called = []
    for answer in answers:
        if not answer.is_known():
            answer._error, answer.command = error, None
            if answer.is_awaited():
                called.append(answer)
    tell(called)


cdef int tell(list called) except -1:
    # In the next turn of the loop: who makes it known goes on first.
    if called:
        get_running_loop().call_soon(call_all, called)
    return 0


def call_all(list called):
    """Call everybody who waits for these answers. One that fails is the loop's to tell of, and keeps nobody waiting."""
    cdef Answer answer
    cdef list calls, run = []
    cdef object receiver = None
    for answer in called:
        if run and answer._receiver is not receiver:
            call_receiver(receiver, run)
            run = []
        receiver = answer._receiver
        if receiver is not None:
            run.append(answer)
        calls, answer._calls = answer._calls, None
        if calls is not None:
            for call in calls:
                call_one(call, answer)
    if run:
        call_receiver(receiver, run)


cdef int call_receiver(receiver, list run) except -1:
    # Answers are remembered long after: who took them, and what for, is not.
    cdef Answer answer
    call_one(receiver, run)
    for answer in run:
        answer._receiver = answer.context = None
    return 0


cdef int call_one(call, argument) except -1:
    try:
        call(argument)
    except Exception as error:
        get_running_loop().call_exception_handler({"message": "an answer was not taken", "exception": error})
    return 0


def stamp(answers, uint64_t sequence, int64_t timestamp_ns):
    cdef Answer answer
    cdef OrderCommand* command
    cdef bytes records = PyBytes_FromStringAndSize(NULL, len(answers) * <Py_ssize_t>sizeof(OrderCommand))
    cdef OrderCommand* record = <OrderCommand*>PyBytes_AS_STRING(records)
    cdef OrderCommand* end = record + len(answers)
    for answer in answers:
        if answer.command is None or PyByteArray_GET_SIZE(answer.command) != sizeof(OrderCommand):
            raise ValueError(f"a command has {sizeof(OrderCommand)} bytes")
        if record == end:
            raise ValueError("more commands than there were")
        command = <OrderCommand*>PyByteArray_AS_STRING(answer.command)
        if answer.follows == FOLLOWS_LINKED:
            command.order_id = sequence
        sequence += 1
        command.header.sequence, command.header.timestamp_ns = sequence, timestamp_ns
        memcpy(record, command, sizeof(OrderCommand))
        record += 1
    return records


def split(bytes commands not None, bytes events not None, make):
    cdef const OrderCommand* command = <const OrderCommand*>PyBytes_AS_STRING(commands)
    cdef const Event* event = <const Event*>PyBytes_AS_STRING(events)
    cdef const OrderCommand* commands_end = command + PyBytes_GET_SIZE(commands) // <Py_ssize_t>sizeof(OrderCommand)
    cdef const Event* events_end = event + PyBytes_GET_SIZE(events) // <Py_ssize_t>sizeof(Event)
    cdef const Event* first
    cdef list entries = []
    if PyBytes_GET_SIZE(commands) % sizeof(OrderCommand) or PyBytes_GET_SIZE(events) % sizeof(Event):
        raise ValueError("commands and events are whole records")
    while command < commands_end:
        first = event
        while event < events_end and event.sequence <= command.header.sequence:
            event += 1
        entries.append(
            make(
                command.header.sequence,
                PyBytes_FromStringAndSize(<const char*>command, sizeof(OrderCommand)),
                PyBytes_FromStringAndSize(<const char*>first, <const char*>event - <const char*>first),
            )
        )
        command += 1
    return entries
