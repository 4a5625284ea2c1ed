"""A load generator over the WebSocket: every connection keeps so many orders under way, whatever the answers wait for.

Frames are bytes made beforehand into which only a serial number is written. The mask of a client's frames is zero,
which the protocol allows and which leaves them as they are.
"""

import asyncio
import base64
import os
import struct
import time
from collections.abc import Sequence
from typing import cast
from urllib.parse import urlsplit

from exchange.simulation.load import SERIAL_DIGITS, SERIAL_MARK, LoadResult, MakeRequest

_FINAL_TEXT, _MASKED, _NO_MASK = 0x81, 0x80, b"\0\0\0\0"
_ID = b'"id":"'


def text_frame(payload: bytes) -> bytes:
    """A whole message as a client sends it; less than 64 KiB."""
    if len(payload) < 126:
        return bytes((_FINAL_TEXT, _MASKED | len(payload))) + _NO_MASK + payload
    return struct.pack("!BBH", _FINAL_TEXT, _MASKED | 126, len(payload)) + _NO_MASK + payload


def place_frame(body: bytes) -> bytes:
    """The message that places an order, its serial number as its id."""
    return text_frame(b'{"op":"place","id":"' + SERIAL_MARK + b'",' + body[1:])


def split_frames(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Return (payloads of the whole frames that a server has sent, what is left of the buffer)."""
    payloads, start = [], 0
    while len(buffer) - start >= 2:
        length, body = buffer[start + 1], start + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, body = int.from_bytes(buffer[body : body + size]), body + size
        if len(buffer) < body + length:
            break
        payloads.append(buffer[body : body + length])
        start = body + length
    return payloads, buffer[start:]


class Pipeline(asyncio.Protocol):
    """One connection. `ended` resolves with None at the stop, or with what broke it."""

    def __init__(self, url: str, token: str, make_frame: MakeRequest, depth: int, result: LoadResult) -> None:
        self.ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._url = urlsplit(url)
        self._token = token
        self._make_frame = make_frame
        self._depth = depth
        self._result = result
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._is_open = False
        self._sent_ns: dict[bytes, int] = {}

    def measure(self, result: LoadResult) -> None:
        """Count into `result` from now on."""
        self._result = result

    def stop(self) -> None:
        """Send nothing more, and forget the answers under way."""
        self._end(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            "GET /ws/v1 HTTP/1.1", f"Host: {self._url.netloc}", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", "",
        )  # fmt: skip
        self._transport.write("\r\n".join(lines).encode("ascii"))

    def data_received(self, data: bytes) -> None:
        if self.ended.done():
            return
        self._buffer += data
        if not self._is_open and not self._opened():
            return
        payloads, self._buffer = split_frames(self._buffer)
        now_ns, answered = time.perf_counter_ns(), 0
        for payload in payloads:
            answered += self._take(payload, now_ns)
        if answered:
            self._send(answered)

    def _opened(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        if not head.startswith(b"HTTP/1.1 101"):
            line = head.partition(b"\r\n")[0]
            self._end(f"no WebSocket: {line.decode(errors='replace')[:40]}")
            return False
        self._buffer, self._is_open = rest, True
        assert self._transport is not None
        self._transport.write(text_frame(b'{"op":"authenticate","token":"' + self._token.encode("ascii") + b'"}'))
        self._send(self._depth)
        return True

    def _take(self, payload: bytes, now_ns: int) -> int:
        """Count an answer to an order; 0 for what is none."""
        at = payload.find(_ID, 0, 40)
        if at < 0:
            if b'"type":"error"' in payload:
                self._end(payload.decode(errors="replace")[:200])
            return 0
        start = at + len(_ID)
        sent_ns = self._sent_ns.pop(payload[start : start + SERIAL_DIGITS], None)
        if sent_ns is None:
            return 0
        at = payload.index(b'"status":') + 9
        status = int(payload[at : at + 3])
        self._result.latency.add(now_ns - sent_ns)
        self._result.statuses[status] += 1
        self._result.accepted += status == 201
        return 1

    def _send(self, count: int) -> None:
        assert self._transport is not None
        now_ns, frames = time.perf_counter_ns(), []
        for _ in range(count):
            frame = self._make_frame()
            start = frame.index(_ID) + len(_ID)
            self._sent_ns[frame[start : start + SERIAL_DIGITS]] = now_ns
            frames.append(frame)
        self._transport.write(b"".join(frames))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"connection lost: {exc or 'closed by the server'}")

    def _end(self, cause: str | None) -> None:
        if self._transport is not None:
            self._transport.abort()
        if not self.ended.done():
            self.ended.set_result(cause)


async def open_pipelines(
    url: str, tokens: Sequence[str], frames: Sequence[MakeRequest], depth: int, result: LoadResult
) -> list[Pipeline]:
    """A connection for each of `frames`, under the tokens in turn, each with `depth` orders under way.

    Raises OSError when the server cannot be connected to.
    """
    parts, pipelines = urlsplit(url), []
    for number, make_frame in enumerate(frames):
        pipeline = Pipeline(url, tokens[number % len(tokens)], make_frame, depth, result)
        address = (parts.hostname or "localhost", parts.port or 80)
        await asyncio.get_running_loop().create_connection(lambda made=pipeline: made, *address)  # type: ignore[misc]
        pipelines.append(pipeline)
    return pipelines
