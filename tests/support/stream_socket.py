"""A socket that streams are written to in tests, and the messages that it got."""

import asyncio
import json
import zlib
from typing import Any

from exchange.gateway.subscriber import Subscriber

WHOLE_TEXT, DEFLATED_TEXT = 0x81, 0xC1  # how a frame begins


def inflated(payload: bytes) -> bytes:
    """A message that was compressed by itself (RFC 7692)."""
    return zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")


def messages_of(frames: bytes) -> list[dict[str, Any]]:
    """The JSON of whole frames as a server sends them, compressed or not."""
    found, position = [], 0
    while position < len(frames):
        first = frames[position]
        assert first in (WHOLE_TEXT, DEFLATED_TEXT)
        length, start = frames[position + 1], position + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, start = int.from_bytes(frames[start : start + size]), start + size
        payload = frames[start : start + length]
        found.append(json.loads(inflated(payload) if first == DEFLATED_TEXT else payload))
        position = start + length
    return found


class FakeSocket:
    """Takes frames while it ``has_room``."""

    def __init__(self) -> None:
        self.has_room = True
        self.deflates = False
        self.unsent = 0
        self.closed: tuple[int, str] | None = None
        self.messages: list[dict[str, Any]] = []
        self.writes = 0
        self.deflated = 0  # writes that begin with a compressed message
        self._arrived = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self.closed is None

    def write(self, frames: bytes) -> None:
        assert self.is_open
        self.messages += messages_of(frames)
        self.deflated += frames.startswith(bytes((DEFLATED_TEXT,)))
        self.writes += 1
        self._arrived.set()

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

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
