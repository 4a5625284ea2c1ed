"""A socket that streams are written to in tests, and the messages that it got."""

import asyncio
import itertools
import json
import zlib
from collections.abc import Callable
from typing import Any

from exchange.gateway.deflate import at_once, deflating
from exchange.gateway.subscriber import Subscriber

WHOLE_TEXT, DEFLATED_TEXT = 0x81, 0xC1  # how a frame begins
NO_FILES = 1 << 30  # descriptors from here on


def inflated(payload: bytes) -> bytes:
    """A message that was compressed by itself (RFC 7692)."""
    return zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")


def deflate(message: bytes) -> bytes:
    """The payload of a compressed message."""
    return at_once(deflating(message))


def whole_messages(data: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """The JSON of whole frames as a server sends them, compressed or not, and what has begun behind them."""
    found, position = [], 0
    while len(data) >= position + 2:
        first = data[position]
        assert first in (WHOLE_TEXT, DEFLATED_TEXT)
        length, start = data[position + 1], position + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, start = int.from_bytes(data[start : start + size]), start + size
        if len(data) < start + length:
            break
        payload = data[start : start + length]
        found.append(json.loads(inflated(payload) if first == DEFLATED_TEXT else payload))
        position = start + length
    return found, data[position:]


def messages_of(frames: bytes) -> list[dict[str, Any]]:
    """The same of nothing but whole frames."""
    found, rest = whole_messages(frames)
    assert not rest
    return found


class FakeSocket:
    """Takes frames while it ``has_room``. Who has borrowed it may write any part of them (``receive``)."""

    _number = itertools.count(NO_FILES)

    def __init__(self) -> None:
        self._has_room = True
        self._rest = b""  # that is sent when there is room
        self.deflates = False
        self.unsent = 0
        self.closed: tuple[int, str] | None = None
        self.messages: list[dict[str, Any]] = []
        self.writes = 0
        self.deflated = 0  # writes that begin with a compressed message
        self.descriptor = next(self._number)
        self._on_write: Callable[[], bool] | None = None
        self._held: list[bytes] = []  # what is written meanwhile
        self._begun = b""  # of a frame
        self._arrived = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self.closed is None

    @property
    def has_room(self) -> bool:
        return self._has_room

    @has_room.setter
    def has_room(self, has_room: bool) -> None:
        self._has_room = has_room
        if has_room and self._rest:
            rest, self._rest, self.unsent = self._rest, b"", 0
            self.receive(rest)

    def write(self, frames: bytes) -> None:
        assert self.is_open
        if self._on_write is not None and self._on_write():
            self._held.append(frames)
            return
        self.receive(frames)
        assert not self._begun, "a frame was written into another one"

    def receive(self, data: bytes) -> None:
        """Take any bytes; whole frames become messages."""
        messages, self._begun = whole_messages(self._begun + data)
        self.messages += messages
        self.deflated += data.startswith(bytes((DEFLATED_TEXT,)))
        self.writes += 1
        self._arrived.set()

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

    @property
    def is_quiet(self) -> bool:
        return self.is_open and self.has_room and not self.unsent

    def lend(self, on_write: Callable[[], bool]) -> int | None:
        assert self._on_write is None, "it is lent"
        if not self.is_quiet:
            return None
        self._on_write = on_write
        return self.descriptor

    def catch_up(self, unsent: bytes) -> None:
        data = b"".join((unsent, *self._held))
        self._held.clear()
        if not self.has_room:
            self._rest += data
            self.unsent = len(self._rest)
            return
        if data and self.is_open:
            self.receive(data)
        assert not (self._begun and self.is_open), "a frame was left as it had begun"

    def take_back(self) -> None:
        assert self._on_write is not None, "it is not lent"
        self._on_write = None

    async def next(self) -> dict[str, Any]:
        """The next message."""
        async with asyncio.timeout(10):
            while not self.messages:
                self._arrived.clear()
                await self._arrived.wait()
        return self.messages.pop(0)


class Listener:
    """A subscriber on a socket of its own."""

    def __init__(self) -> None:
        self.socket = FakeSocket()
        self.subscriber = Subscriber(self.socket)

    async def next(self) -> dict[str, Any]:
        return await self.socket.next()

    def taken(self) -> list[dict[str, Any]]:
        """What has arrived, once what waits was written."""
        self.subscriber.flush()
        messages, self.socket.messages = self.socket.messages, []
        return messages
