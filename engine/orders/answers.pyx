"""The answers to orders that came together, made of their journal entries in one go: JSON, as each by itself would be.

An answer that is more than the Order is left to the caller: a refusal, what will never be known, what C does not write.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free

from engine.orders.batches cimport Answer
from engine.orders.faces cimport MarketFace, put_json, put_plain_text
from engine.orders.state cimport command_record
from engine.orders.text cimport NO_FAILURE, OUT_OF_MEMORY, UNSUITED, Text, begin, fail, put, put_number
from engine.wire.frames cimport framed

cdef object NUMBERS_END = 1 << 64


def show_outcomes(list outcomes not None, dict markets not None, find, otherwise):
    cdef Text text
    cdef bint is_first = True
    begin(&text)
    try:
        put(&text, b'{"outcomes":[')
        for outcome in outcomes:
            if not is_first:
                put(&text, b",")
            is_first = False
            if type(outcome) is bytes:
                put_json(&text, <bytes>outcome)
            elif not put_outcome(&text, <Answer?>outcome, markets, find):
                put_json(&text, <bytes?>otherwise(outcome))
        put(&text, b"]}")
        return text_of(&text)
    finally:
        free(text.data)


cdef bint put_outcome(Text* text, Answer answer, dict markets, find) except -1:
    # Of an order that was placed; False, and nothing put, for any other.
    cdef Py_ssize_t start = text.size
    put(text, b'{"status":201,"order":')
    if not put_placed(text, answer, markets, find):
        text.size = start
        return False
    put(text, b',"problem":null}')
    return True


def show_acknowledgements(list answers not None, dict markets not None, find, otherwise):
    cdef Text text
    cdef Answer answer
    cdef list frames = []
    begin(&text)
    try:
        for answer in answers:
            text.size = 0
            if put_acknowledgement(&text, answer, markets, find):
                frames.append(framed(text.data, text.size))
            elif text.failure == OUT_OF_MEMORY:
                raise MemoryError
            else:
                frames.append(otherwise(answer))
        return frames
    finally:
        free(text.data)


cdef bint put_acknowledgement(Text* text, Answer answer, dict markets, find) except -1:
    # Of an order that was placed; False, and nothing put, where it is to be made otherwise.
    cdef object asked = answer.context
    put(text, b'{"type":"ack","id":')
    put_identity(text, asked.id)
    put(text, b',"op":"place","status":201,"result":')
    if put_placed(text, answer, markets, find):
        put_budget(text, asked.left.told())
        if text.failure == NO_FAILURE:
            return True
    text.size = 0
    if text.failure == UNSUITED:
        text.failure = NO_FAILURE
    return False


cdef int put_budget(Text* text, tuple told) except -1:
    limit, remaining, reset = told
    put(text, b',"rate_limit":{"limit":')
    put_whole(text, limit)
    put(text, b',"remaining":')
    put_whole(text, remaining)
    put(text, b',"reset":')
    put_whole(text, reset)
    put(text, b"}}")
    return 0


cdef inline void put_whole(Text* text, int64_t number) noexcept:
    if number < 0:
        fail(text, UNSUITED)
    else:
        put_number(text, <uint64_t>number)


cdef int put_identity(Text* text, identity) except -1:
    # That of a message: a number, a text or none.
    if type(identity) is not int:
        put_plain_text(text, identity)
    elif 0 <= identity < NUMBERS_END:
        put_number(text, identity)
    else:
        fail(text, UNSUITED)
    return 0


cdef bint put_placed(Text* text, Answer answer, dict markets, find) except -1:
    # The Order with fills, as its command left it; False, and nothing put, where that is to be made otherwise.
    cdef object entry = answer.entry
    cdef bytes command
    cdef object number
    cdef MarketFace face
    if entry is None:
        return False
    number, command = entry.sequence, entry.command
    face = markets[command_record(command).market].face
    return face.put_placed(text, find(number), number, command, entry.events)


cdef bytes text_of(Text* text):
    if text.failure != NO_FAILURE:
        raise MemoryError  # whatever is unsuited was taken back
    return PyBytes_FromStringAndSize(text.data, text.size)
