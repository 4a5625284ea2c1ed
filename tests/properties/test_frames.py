"""Frames of a client: those that C reads are read as all the others, however they arrive."""

import asyncio
from typing import Any

import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from engine.wire.frames import plain_messages
from exchange.gateway import websocket
from exchange.gateway.websocket import MESSAGE_BYTES_MAX, StreamSocket

MASKS = st.binary(min_size=4, max_size=4) | st.just(bytes(4))
#: What a message is made of; the lengths around those at which a frame is written otherwise.
PAYLOADS = st.binary(max_size=300) | st.sampled_from([b"x" * size for size in (125, 126, 127, 65_535)])


def framed(first: int, payload: bytes, mask: bytes | None, shortest: int = 0) -> bytes:
    """A frame; its length is written in as many bytes as it needs, or in ``shortest``."""
    masked, length = 0 if mask is None else 0x80, len(payload)
    if length < 126 and not shortest:
        size = bytes((masked | length,))
    elif length < 65_536 and shortest < 8:
        size = bytes((masked | 126,)) + length.to_bytes(2)
    else:
        size = bytes((masked | 127,)) + length.to_bytes(8)
    hidden = payload if mask is None else bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return first.to_bytes() + size + (mask or b"") + hidden


PLAIN = st.builds(framed, st.just(0x81), PAYLOADS, MASKS, st.sampled_from((0, 2)))
ANY = st.builds(
    framed,
    st.sampled_from((0x81, 0x82, 0x01, 0x00, 0x80, 0x88, 0x89, 0x8A, 0xC1, 0x83)) | st.integers(0, 255),
    st.binary(max_size=20) | PAYLOADS,
    MASKS | st.none(),
    st.sampled_from((0, 2, 8)),
)


def test_messages_of_one_byte_leave_that_byte_as_it_is() -> None:
    (message,), _ = plain_messages(framed(0x81, b"a", b"\1\2\3\4"), 1, 10)
    assert message == b"a"
    assert [b"`"[:1], b"a"[:1]] == [bytes((96,)), bytes((97,))], "those are shared by everybody"


@given(st.lists(st.tuples(PAYLOADS, MASKS, st.sampled_from((0, 2))), max_size=8), st.integers(0, 10), st.data())
def test_plain_messages_are_those_that_were_sent(
    sent: list[tuple[bytes, bytes, int]], most: int, data: st.DataObject
) -> None:
    frames = [framed(0x81, *message) for message in sent]
    received = b"".join(frames)
    received = received[: data.draw(st.integers(0, len(received)))]
    whole, end = 0, 0
    while whole < min(most, len(frames)) and end + len(frames[whole]) <= len(received):
        end += len(frames[whole])
        whole += 1
    assert plain_messages(received, most, 65_535) == ([payload for payload, _, _ in sent[:whole]], end)


@given(st.binary(max_size=200), st.integers(0, 70_000))
@example(b"\x81\xfe\xff\xff\0\0\0\0", 70_000)
@example(b"\x81\xff" + b"\xff" * 12, 70_000)
def test_whatever_arrives_is_read_within_its_bounds(received: bytes, bytes_max: int) -> None:
    messages, end = plain_messages(received, 64, bytes_max)
    assert end <= len(received)
    assert all(len(message) <= bytes_max for message in messages)


class FakeTransport(asyncio.Transport):
    """What a socket did to its connection."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[Any] = []
        self._is_closing = False

    def write(self, data: Any) -> None:
        self.done.append(bytes(data))

    def close(self) -> None:
        self._is_closing = True
        self.done.append("close")

    abort = close

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


async def told(pieces: list[bytes], goodbye: int) -> tuple[list[bytes], list[Any]]:
    """What a socket takes of what arrives, and what it does; its owner closes it after so many messages."""
    config = uvicorn.Config("nothing:nothing", ws_ping_interval=None, log_config=None, interface="asgi3")
    config.loaded, config.loaded_app = True, None
    stream = StreamSocket(config, ServerState(), {}, asyncio.get_running_loop())
    transport, taken = FakeTransport(), []
    stream.connection_made(transport)

    def take(messages: list[bytes]) -> None:
        for message in messages:
            if stream.is_open:
                taken.append(message)
                if len(taken) == goodbye:
                    stream.close(1000, "that was all")

    stream.begin(take, lambda: None)
    for piece in pieces:
        stream.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)
    stream.connection_lost(ConnectionError())
    return taken, transport.done


@given(st.lists(PLAIN | PLAIN | ANY, max_size=12), st.lists(st.integers(1, 400), max_size=6), st.integers(1, 15))
@example([framed(0x81, b"x", bytes(4))] * 64, [], 70)
@example([framed(0x81, b"x", bytes(4))] * 150, [70, 900], 70)
@example([framed(0x81, bytes(MESSAGE_BYTES_MAX), bytes(4)), framed(0x81, b"", bytes(4))], [], 9)
def test_a_socket_takes_the_same_and_does_the_same_without_the_short_way(
    frames: list[bytes], cuts: list[int], goodbye: int
) -> None:
    received, pieces = b"".join(frames), []
    for cut in cuts:
        pieces.append(received[:cut])
        received = received[cut:]
    pieces.append(received)
    short = asyncio.run(told(pieces, goodbye))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(websocket, "plain_messages", lambda data, most, bytes_max: ([], 0))
        long = asyncio.run(told(pieces, goodbye))
    assert long == short, (frames, cuts, goodbye)
