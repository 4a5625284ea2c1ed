"""WebSocket frames of a client (RFC 6455, section 5), as nearly all of them are.

What a frame may be beside that, and what is wrong with it, is told by gateway/websocket.py alone.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    WHOLE_TEXT = 0x81  # the only frame of its message, without extensions
    MASKED = 0x80
    LONGER = 126  # the length follows in two bytes
    LONGEST = 127  # in eight
    MASK_BYTES = 4


def plain_messages(bytes data not None, Py_ssize_t most, Py_ssize_t bytes_max):
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef const uint8_t* end = at + PyBytes_GET_SIZE(data)
    cdef Py_ssize_t length, head
    cdef list messages = []
    while len(messages) < most and end - at >= 2 and at[0] == WHOLE_TEXT and at[1] & MASKED:
        length, head = at[1] & ~MASKED, 2 + MASK_BYTES
        if length == LONGER:
            if end - at < 4:
                break
            length, head = at[2] << 8 | at[3], 4 + MASK_BYTES
        elif length == LONGEST:
            break
        if length > bytes_max or end - at < head + length:
            break
        messages.append(unmasked(at + head, length, at + head - MASK_BYTES))
        at += head + length
    return messages, <const char*>at - PyBytes_AS_STRING(data)


cdef bytes unmasked(const uint8_t* payload, Py_ssize_t length, const uint8_t* mask):
    # Eight bytes at a time: the mask repeats every four. The bytes are made empty, for those of one byte that are made
    # of something are everybody's.
    cdef bytes message = PyBytes_FromStringAndSize(NULL, length)
    cdef char* text = PyBytes_AS_STRING(message)
    cdef uint32_t once
    cdef uint64_t twice, some
    cdef Py_ssize_t at = 0
    memcpy(text, payload, length)
    memcpy(&once, mask, sizeof(once))
    if once == 0:
        return message
    twice = <uint64_t>once << 32 | once
    while at + <Py_ssize_t>sizeof(some) <= length:
        memcpy(&some, text + at, sizeof(some))
        some ^= twice
        memcpy(text + at, &some, sizeof(some))
        at += sizeof(some)
    while at < length:
        text[at] ^= <char>mask[at & 3]
        at += 1
    return message
