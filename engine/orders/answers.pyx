"""The answers to orders that came together, made of their journal entries in one go: JSON, as each by itself would be.

An answer that is more than the Order is left to the caller: a refusal, what will never be known, what C does not write.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free

from engine.orders.batches cimport Answer
from engine.orders.faces cimport MarketFace, put_json
from engine.orders.state cimport command_record
from engine.orders.text cimport NO_FAILURE, Text, begin, put


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
