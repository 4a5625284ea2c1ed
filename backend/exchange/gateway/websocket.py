"""The WebSocket as the streams need it: frames made once and written to many, and nothing that can grow.

Uvicorn's protocol does the handshake and the keepalive. After that the endpoint takes over (``StreamSocket.begin``):
incoming frames are read here, outgoing ones are bytes that were framed before (``frame``) and go to the transport as
they are. The transport holds little (WRITE_BUFFER_BYTES, and so much again in the kernel); while it is full nothing is
written, and the owner is called when it has room again. Who offers compression (deflate.py) may send compressed
messages, and gets those compressed that are everybody's.

Whoever writes the same to many borrows their sockets (``lend``) and goes past their transports. While he writes, what
else is written to such a socket waits here, so that frames stay whole and in order.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from engine.wire.frames import plain_messages
from exchange.gateway.deflate import Broken, SharedDeflate, Steps, TooLarge, at_once, deflating, inflate

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the compiled part
    from websockets.utils import apply_mask

EXTENSION = "exchange.stream_socket"  # where the endpoint finds the socket in its scope
MESSAGE_BYTES_MAX = 64 * 1024  # received; beyond it the connection is closed with 1009
WRITE_BUFFER_BYTES = 64 * 1024
KERNEL_BUFFER_BYTES = 256 * 1024
FRAMES_A_TURN = 64  # received; then everybody else has a turn
INFLATED_A_FRAME = 1024  # bytes that a compressed message becomes: so many count as another frame
DEFLATED_MIN = 200  # bytes of a message that is worth compressing
DEFLATED_MAX = 256 * 1024  # bytes that are compressed in one go; what follows goes as it is
CLOSE_TIMEOUT_S = 5.0  # for the peer's answer to a close, and for what was written before it
PING_LATER_S = 0.1  # where it must wait
NOT_TO_LEND = -1  # for a descriptor

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL, _MASKED = 0x80, 0x80
_RESERVED, _DEFLATED = 0x70, 0x40


def frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """Return a whole message as a server sends it: the same bytes for everybody."""
    length = len(payload)
    if length < 126:
        return bytes((_FINAL | opcode, length)) + payload
    if length < 65_536:
        return struct.pack("!BBH", _FINAL | opcode, 126, length) + payload
    return struct.pack("!BBQ", _FINAL | opcode, 127, length) + payload


def deflated(frames: bytes) -> bytes:
    """Return whole messages as ``frame`` makes them with those compressed that are large enough."""
    return at_once(deflating_frames(frames, DEFLATED_MAX))


def deflating_frames(frames: bytes, most: int) -> Steps:
    """Do the same in steps, with ``most`` bytes; what follows goes as it is."""
    pieces, position, left = [], 0, most
    while position < len(frames):
        length, start = frames[position + 1], position + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, start = int.from_bytes(frames[start : start + size]), start + size
        end = start + length
        if DEFLATED_MIN <= length <= left:
            payload = yield from deflating(frames[start:end])
            pieces.append(frame(payload, _TEXT | _DEFLATED))
            left -= length
        else:
            pieces.append(frames[position:end])
        position = end
    return b"".join(pieces)


class StreamSocket(WebSocketsSansIOProtocol):
    """A connection. Until ``begin`` it is uvicorn's, and serves any ASGI endpoint."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._take: Callable[[list[bytes]], None] | None = None
        self._has_room: Callable[[], None] = lambda: None
        self._received = b""
        self._parts: list[bytes] = []  # of a message in several frames
        self._parts_bytes = 0
        self._parts_deflated = False
        self._inflated = 0  # bytes, of the last message taken
        self._descriptor: int | None = None  # of the same socket, for who borrows it, once somebody has asked
        self._on_write: Callable[[], bool] | None = None  # of who has borrowed it
        self._held: list[bytes] = []  # what was written while he wrote
        self._held_bytes = 0
        self._ended_by_peer = False
        self.conn.available_extensions = [SharedDeflate()]
        self.ended: asyncio.Future[None] = self.loop.create_future()

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = self

    # What the endpoint calls

    def begin(self, take: Callable[[list[bytes]], None], has_room: Callable[[], None]) -> None:
        """Take over: call ``take`` with messages that have come together, ``has_room`` when it can be written again."""
        self._take, self._has_room = take, has_room
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)

    @property
    def deflates(self) -> bool:
        """Whether the client takes compressed messages."""
        return bool(self.conn.extensions)

    @property
    def is_open(self) -> bool:
        return not (self.close_sent or self.disconnected or self.transport.is_closing())

    @property
    def has_room(self) -> bool:
        """Whether something can be written now."""
        return self.writable.is_set() and self._held_bytes < WRITE_BUFFER_BYTES

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the kernel does not have."""
        return self.transport.get_write_buffer_size() + self._held_bytes

    def write(self, frames: bytes) -> None:
        """Write whole frames, if it is open."""
        if self.is_open:
            self._put(frames)

    def _put(self, frames: bytes) -> None:
        if self._must_wait:
            self._held.append(frames)
            self._held_bytes += len(frames)
        else:
            self.transport.write(frames)

    @property
    def _must_wait(self) -> bool:
        return self._on_write is not None and self._on_write()

    @property
    def is_quiet(self) -> bool:
        """Whether it is open and the kernel has all that was written."""
        return self.is_open and self.writable.is_set() and not self.unsent

    def lend(self, on_write: Callable[[], bool]) -> int | None:
        """Return a descriptor to write whole frames to, until ``take_back``; None while it is not quiet.

        ``on_write`` is called before something else is written; where it says so, that waits for ``catch_up``. The
        descriptor is another one of the same socket: the transport may close its own at any time, and the next
        connection gets the same number.
        """
        if self._descriptor is None:
            self._descriptor = self._duplicate()
        if self._descriptor == NOT_TO_LEND or not self.is_quiet:
            return None
        self._on_write = on_write
        return self._descriptor

    def _duplicate(self) -> int:
        raw = self.transport.get_extra_info("socket")
        if raw is None or self.transport.get_extra_info("sslcontext") is not None:
            return NOT_TO_LEND
        try:
            return os.dup(raw.fileno())
        except OSError:  # no more files may be open
            return NOT_TO_LEND

    def catch_up(self, unsent: bytes) -> None:
        """Write what the borrower could not, and behind it what has waited."""
        had_room, frames = self.has_room, b"".join((unsent, *self._held))
        self._held.clear()
        self._held_bytes = 0
        if frames and not (self.disconnected or self.transport.is_closing()):
            self.transport.write(frames)
        if self._ended_by_peer:
            self.transport.close()
        elif not had_room and self.has_room:
            self._has_room()

    def take_back(self) -> None:
        """End ``lend``."""
        self._on_write = None
        if self.disconnected:
            self._close_descriptor()

    def _close_descriptor(self) -> None:
        if self._descriptor is not None and self._descriptor != NOT_TO_LEND:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = NOT_TO_LEND

    def close(self, code: int, reason: str) -> None:
        """Say good-bye, behind what was written, and see to it that the connection ends."""
        if not self.is_open:
            return
        self._put(frame(struct.pack("!H", code) + reason.encode()[:123], _CLOSE))
        self.close_sent = True
        self.stop_keepalive()
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        if self._take is None:
            super().data_received(data)
        elif not self._is_over:
            self._received += data
            self._read_frames()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._has_room()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._on_write is None:
            self._close_descriptor()
        if not self.ended.done():
            self.ended.set_result(None)

    def send_keepalive_ping(self) -> None:
        if self._must_wait:
            self.ping_timer = self.loop.call_later(PING_LATER_S, self.send_keepalive_ping)
        else:
            super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        self.close(1011, "keepalive ping timeout")

    def shutdown(self) -> None:
        if self._take is None:
            super().shutdown()
        else:
            self.close(1012, "the exchange is restarting")  # where it was not told yet

    @property
    def _is_over(self) -> bool:
        """Whether nothing more is taken from the client."""
        return self._ended_by_peer or self.transport.is_closing()

    # Incoming frames

    def _read_frames(self) -> None:
        """Take what has arrived, at most so much a turn: nobody keeps the others waiting by sending a lot."""
        assert self._take is not None
        data, position, taken = self._received, 0, 0
        if not self._parts and not self._is_over:
            messages, position = plain_messages(data, FRAMES_A_TURN, MESSAGE_BYTES_MAX)
            taken = len(messages)
            if taken and not self.close_sent:
                self._take(messages)
        while taken < FRAMES_A_TURN:
            self._inflated = 0
            end = self._read_frame(data, position)
            if end == position:
                break
            position = end
            taken += 1 + self._inflated // INFLATED_A_FRAME
        else:
            self._received = data[position:]
            if not self._is_over:
                self.transport.pause_reading()
                self.loop.call_soon(self._go_on)
            return
        self._received = data[position:]

    def _go_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self._read_frames()

    def _read_frame(self, data: bytes, position: int) -> int:
        """Take the frame that begins there; return where the next one does, the same place while it is not whole."""
        if len(data) - position < 2 or self._is_over:
            return position
        first, second = data[position], data[position + 1]
        length, start = second & 0x7F, position + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(data) - start < size:
                return position
            length, start = int.from_bytes(data[start : start + size]), start + size
        may_deflate = self.deflates and first & 0x0F in (_TEXT, _BINARY)
        if not second & _MASKED or first & _RESERVED & ~(_DEFLATED if may_deflate else 0):
            self.close(1002, "the frame is none that a client may send")
            return len(data)
        if length + self._parts_bytes > MESSAGE_BYTES_MAX:
            self.close(1009, f"a message must have at most {MESSAGE_BYTES_MAX} bytes")
            return len(data)
        end = start + 4 + length
        if len(data) < end:
            return position
        self._take_frame(first, apply_mask(data[start + 4 : end], data[start : start + 4]))
        return end

    def _take_frame(self, first: int, payload: bytes) -> None:
        opcode = first & 0x0F
        if opcode in (_CLOSE, _PING, _PONG) and first & _FINAL and len(payload) < 126:
            self._control(opcode, payload)
        elif self.close_sent:
            return  # nothing is taken any more, only the peer's good-bye is waited for
        elif opcode > _BINARY or (opcode != 0) == bool(self._parts):
            self.close(1002, "the frame does not follow the one before")
        else:
            if opcode:
                self._parts_deflated = bool(first & _DEFLATED)
            if first & _FINAL:
                parts, self._parts, self._parts_bytes = self._parts, [], 0
                self._take_message(b"".join((*parts, payload)))
            else:
                self._parts.append(payload or b"")
                self._parts_bytes += len(payload) + 1  # so that empty parts end too

    def _take_message(self, message: bytes) -> None:
        assert self._take is not None
        if self._parts_deflated:
            try:
                message = inflate(message, MESSAGE_BYTES_MAX)
            except TooLarge:
                self.close(1009, f"a message must have at most {MESSAGE_BYTES_MAX} bytes")
                return
            except Broken as broken:
                self.close(1007, f"the message cannot be inflated: {broken}")
                return
            self._inflated = len(message)
        self._take([message])

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            if self.has_room:  # who does not read has no use for an answer
                self.write(frame(payload, _PONG))
        elif opcode == _PONG:
            self.handle_pong(Frame(Opcode.PONG, payload))
        else:
            if self.is_open:
                self._put(frame(payload[:2], _CLOSE))
                self.close_sent = True
            self.stop_keepalive()
            self._ended_by_peer = True
            if not self._must_wait:
                self.transport.close()
            self.close_timer = self.close_timer or self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)
