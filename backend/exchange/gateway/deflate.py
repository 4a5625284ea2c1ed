"""Compression of single messages, as permessage-deflate has it (RFC 7692).

No message refers to one before it (no context takeover, on neither side), and all have the same window. So a message
for many is compressed once, and a connection has nothing of its own in memory.
"""

import zlib
from collections.abc import Generator, Sequence

from websockets.exceptions import NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.typing import ExtensionParameter

WINDOW_BITS = 12  # 4 KiB: some twenty trades; a larger one gains nothing (decisions/0024)
STEP_BYTES = 8 * 1024  # some 0.03 ms
_LEVEL = 1
_MEMORY = 5
_INFLATE_BITS = 15  # whatever window a client has
_TAIL = b"\0\0\xff\xff"  # of a flush; left out of every message

Steps = Generator[None, None, bytes]  # between which others may have the loop; they return what they come to


class TooLarge(Exception):
    """A message inflates to more than it may have."""


class Broken(Exception):
    """A message is no deflated one."""


class SharedDeflate(ServerPerMessageDeflateFactory):
    """Accepts an offer that what is compressed for everybody meets; who wants a smaller window gets plain messages."""

    def __init__(self) -> None:
        super().__init__(
            server_no_context_takeover=True, client_no_context_takeover=True, server_max_window_bits=WINDOW_BITS
        )

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        answer, extension = super().process_request_params(params, accepted_extensions)
        if extension.local_max_window_bits != WINDOW_BITS:
            raise NegotiationError(f"the window has {WINDOW_BITS} bits")
        return answer, extension


def deflating(message: bytes) -> Steps:
    """Make the payload of a compressed message."""
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -WINDOW_BITS, _MEMORY)
    pieces = []
    for at in range(0, len(message), STEP_BYTES):
        pieces.append(deflater.compress(message[at : at + STEP_BYTES]))
        yield
    pieces.append(deflater.flush(zlib.Z_SYNC_FLUSH))
    return b"".join(pieces)[: -len(_TAIL)]


def at_once(steps: Steps) -> bytes:
    """Take all steps, and return what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: bytes = end.value
            return made


def inflate(payload: bytes, bytes_max: int) -> bytes:
    """Return the message of a compressed payload. Raises TooLarge beyond ``bytes_max``, making no more, and Broken."""
    inflater = zlib.decompressobj(-_INFLATE_BITS)
    try:
        message = inflater.decompress(payload + _TAIL, bytes_max + 1)
    except zlib.error as error:
        raise Broken(str(error)) from None
    if len(message) > bytes_max:
        raise TooLarge
    if inflater.eof and inflater.unused_data not in (_TAIL, b"\0" + _TAIL):  # RFC 7692, 7.2.3.4: a final block, then 0
        raise Broken("something follows the final block")
    return message
