"""Frames of a client: those that C reads are read as all the others, however they arrive."""

import asyncio
from typing import Any

import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.server import ServerState
from websockets.exceptions import NegotiationError

from engine.wire.frames import plain_messages
from exchange.gateway import websocket
from exchange.gateway.deflate import SharedDeflate
from exchange.gateway.websocket import MESSAGE_BYTES_MAX, StreamSocket
from tests.support.stream_socket import deflate

MASKS = st.binary(min_size=4, max_size=4) | st.just(bytes(4))
#: What a message is made of; the lengths around those at which a frame is written otherwise.
PAYLOADS = st.binary(max_size=300) | st.sampled_from([b"x" * size for size in (125, 126, 127, 65_535)])

TURNS = 40  # of the loop, in which all has been taken


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
DEFLATED = st.builds(lambda payload, mask: framed(0xC1, deflate(payload), mask), PAYLOADS, MASKS)
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


async def told(pieces: list[bytes], goodbye: int, deflates: bool = False) -> tuple[list[bytes], list[Any]]:
    """What a socket takes of what arrives, and what it does; its owner closes it after so many messages.

    ``deflates``: compression was agreed upon.
    """
    config = uvicorn.Config("nothing:nothing", ws_ping_interval=None, log_config=None, interface="asgi3")
    config.loaded, config.loaded_app = True, None
    stream = StreamSocket(config, ServerState(), {}, asyncio.get_running_loop())
    transport, taken = FakeTransport(), list[bytes]()
    if deflates:
        _, agreed = SharedDeflate().process_request_params([], [])
        stream.conn.extensions = [agreed]
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
    for _ in range(TURNS):
        await asyncio.sleep(0)
    stream.connection_lost(ConnectionError())
    return taken, transport.done


@given(
    st.lists(PLAIN | PLAIN | DEFLATED | ANY, max_size=12),
    st.lists(st.integers(1, 400), max_size=6),
    st.integers(1, 15),
    st.booleans(),
)
@example([framed(0x81, b"x", bytes(4))] * 64, [], 70, False)
@example([framed(0x81, b"x", bytes(4))] * 150, [70, 900], 70, True)
@example([framed(0x81, bytes(MESSAGE_BYTES_MAX), bytes(4)), framed(0x81, b"", bytes(4))], [], 9, False)
def test_a_socket_takes_the_same_and_does_the_same_without_the_short_way(
    frames: list[bytes], cuts: list[int], goodbye: int, deflates: bool
) -> None:
    received, pieces = b"".join(frames), []
    for cut in cuts:
        pieces.append(received[:cut])
        received = received[cut:]
    pieces.append(received)
    short = asyncio.run(told(pieces, goodbye, deflates))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(websocket, "plain_messages", lambda data, most, bytes_max: ([], 0))
        long = asyncio.run(told(pieces, goodbye, deflates))
    assert long == short, (frames, cuts, goodbye)


def closed_with(frames: list[bytes], deflates: bool = True) -> tuple[list[bytes], int | None]:
    """What was taken of some frames, and the code that the connection was closed with."""
    taken, done = asyncio.run(told([b"".join(frames)], 0, deflates))
    codes = [int.from_bytes(each[2:4]) for each in done if isinstance(each, bytes) and each[0] == 0x88]
    return taken, codes[0] if codes else None


@given(
    st.lists(
        st.tuples(st.binary(max_size=300) | st.just(b"x" * 30_000), MASKS, st.booleans(), st.integers(1, 5)),
        min_size=1,
        max_size=20,
    )
)
def test_compressed_messages_are_taken_as_they_were_in_however_many_frames(
    sent: list[tuple[bytes, bytes, bool, int]],
) -> None:
    frames = []
    for payload, mask, compressed, parts in sent:
        rest = deflate(payload) if compressed else payload
        for part in range(parts):
            first = (0 if part else 0xC1 - 0x80 if compressed else 0x01) | (0x80 if part == parts - 1 else 0)
            size = len(rest) if part == parts - 1 else len(rest) // (parts - part)
            frames.append(framed(first, rest[:size], mask))
            rest = rest[size:]
    assert closed_with(frames) == ([payload for payload, *_ in sent], None)


FINAL_BLOCK = b"\xf3\x48\xcd\xc9\xc9\x07\x00"  # "Hello" in a final block (RFC 7692, 7.2.3.4)
FAULTS = {
    "no extension": ([framed(0xC1, deflate(b"{}"), bytes(4))], False, 1002),
    "a part that says so again": (
        [framed(0x41, deflate(b"{}")[:1], bytes(4)), framed(0xC0, deflate(b"{}")[1:], bytes(4))],
        True,
        1002,
    ),
    "a compressed ping": ([framed(0xC9, deflate(b"{}"), bytes(4))], True, 1002),
    "another reserved bit": ([framed(0xA1, b"{}", bytes(4))], True, 1002),
    "broken": ([framed(0xC1, b"\xff\xff\xff", bytes(4))], True, 1007),
    "something behind the final block": ([framed(0xC1, FINAL_BLOCK + FINAL_BLOCK, bytes(4))], True, 1007),
    "a bomb": ([framed(0xC1, deflate(bytes(MESSAGE_BYTES_MAX + 1)), bytes(4))], True, 1009),
    "a bomb of a gigabyte": ([framed(0xC1, deflate(bytes(2**20)) * 60, bytes(4))], True, 1009),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_a_compressed_frame_ends_the_connection(fault: str) -> None:
    frames, deflates, code = FAULTS[fault]
    assert closed_with([*frames, framed(0x81, b"afterwards", bytes(4))], deflates) == ([], code)


def test_a_message_may_end_with_a_final_block_and_may_be_as_large_as_any() -> None:
    largest = bytes(MESSAGE_BYTES_MAX)
    payloads = [FINAL_BLOCK, FINAL_BLOCK + b"\0", deflate(largest), deflate(b"")]
    taken, code = closed_with([framed(0xC1, payload, bytes(4)) for payload in payloads])
    assert (taken, code) == ([b"Hello", b"Hello", largest, b""], None)


def test_messages_that_inflate_to_much_give_others_a_turn() -> None:
    _, done = asyncio.run(told([framed(0xC1, deflate(bytes(MESSAGE_BYTES_MAX)), bytes(4)) * 3], 9, deflates=True))
    assert done.count("pause") == 3
    _, done = asyncio.run(told([framed(0xC1, deflate(b"{}"), bytes(4)) * 3], 9, deflates=True))
    assert done.count("pause") == 0


OFFERS: dict[str, list[tuple[str, str | None]]] = {
    "nothing special": [],
    "a browser's": [("client_max_window_bits", None)],
    "no context": [("server_no_context_takeover", None), ("client_no_context_takeover", None)],
    "a window": [("server_max_window_bits", "12"), ("client_max_window_bits", "9")],
}


@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_is_accepted_without_context_on_either_side(offer: str) -> None:
    answer, agreed = SharedDeflate().process_request_params(OFFERS[offer], [])
    assert {("server_no_context_takeover", None), ("client_no_context_takeover", None)} <= set(answer)
    assert agreed.local_no_context_takeover and agreed.remote_no_context_takeover


def test_who_has_a_smaller_window_than_everybody_gets_plain_messages() -> None:
    with pytest.raises(NegotiationError):
        SharedDeflate().process_request_params([("server_max_window_bits", "11")], [])
