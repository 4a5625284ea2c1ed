"""WebSocket frames (RFC 6455, section 5), as nearly all of them are: messages of clients, and answers to their orders.

What a frame of a client may be beside that, and what is wrong with it, is told by gateway/websocket.py alone.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy

cdef enum:
    WHOLE_TEXT = 0x81  # the only frame of its message, without extensions
    MASKED = 0x80
    LONGER = 126  # the length follows in two bytes
    LONGEST = 127  # in eight
    MASK_BYTES = 4
    OP_BYTES = 40
    HEAD_BYTES = 128  # for the op and a number, or for three numbers
    BEGINNING_BYTES = 19

cdef const char* BEGINNING = b'{"type":"ack","id":'


def acknowledgement(
    bytes identity not None, bytes op not None, int status, bytes result not None, tuple left not None
):
    cdef char head[HEAD_BYTES]
    cdef char tail[HEAD_BYTES]
    cdef long long limit, remaining, reset
    cdef Py_ssize_t head_bytes, tail_bytes, length
    cdef bytes frame
    cdef char* at
    if PyBytes_GET_SIZE(op) > OP_BYTES:
        raise ValueError(f"the name of an operation has at most {OP_BYTES} bytes")
    limit, remaining, reset = left
    head_bytes = snprintf(head, sizeof(head), b',"op":"%s","status":%d,"result":', PyBytes_AS_STRING(op), status)
    tail_bytes = snprintf(
        tail, sizeof(tail), b',"rate_limit":{"limit":%lld,"remaining":%lld,"reset":%lld}}', limit, remaining, reset
    )
    length = BEGINNING_BYTES + PyBytes_GET_SIZE(identity) + head_bytes + PyBytes_GET_SIZE(result) + tail_bytes
    frame = PyBytes_FromStringAndSize(NULL, frame_head_bytes(length) + length)
    at = put_frame_head(PyBytes_AS_STRING(frame), length)
    at = put(at, BEGINNING, BEGINNING_BYTES)
    at = put(at, PyBytes_AS_STRING(identity), PyBytes_GET_SIZE(identity))
    at = put(at, head, head_bytes)
    at = put(at, PyBytes_AS_STRING(result), PyBytes_GET_SIZE(result))
    put(at, tail, tail_bytes)
    return frame


cdef bytes framed(const char* text, Py_ssize_t size):
    # A whole text message of a server.
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, frame_head_bytes(size) + size)
    put(put_frame_head(PyBytes_AS_STRING(frame), size), text, size)
    return frame


cdef inline char* put(char* at, const char* piece, Py_ssize_t size) noexcept:
    memcpy(at, piece, size)
    return at + size


cdef inline Py_ssize_t frame_head_bytes(Py_ssize_t length) noexcept:
    return 2 if length < LONGER else 4 if length < 1 << 16 else 10


cdef inline char* put_frame_head(char* at, Py_ssize_t length) noexcept:
    # Of a whole text; a server masks nothing. Numbers of several bytes begin with the highest.
    cdef Py_ssize_t bytes_of_length = frame_head_bytes(length) - 2
    cdef Py_ssize_t i
    at[0] = <char>WHOLE_TEXT
    at[1] = <char>(length if bytes_of_length == 0 else LONGER if bytes_of_length == 2 else LONGEST)
    for i in range(bytes_of_length):
        at[2 + i] = <char>(length >> (8 * (bytes_of_length - 1 - i)) & 0xFF)
    return at + 2 + bytes_of_length


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
