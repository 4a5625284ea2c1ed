"""One connection's outgoing messages: in order, bounded, at its own pace.

    answers, the beginning of a channel ──> frames, first in first out: bounded
    channels                            ──> a mark that there is something newer: the messages are the channel's
    heartbeat                           ──> a mark

Who holds the same as others is told together with them (cohorts.py), and is apart where that cannot be.

What is marked is taken from the channel when it can be written (channels.py), so however slow a client is, nothing
piles up for it. When its answers overflow, when a channel does not have any more what it missed, or when its socket
takes nothing for a while, the connection is closed and told why. Nobody else notices: frames are shared, and writing is
never waited for.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from exchange.gateway.websocket import frame
from exchange.observability import metrics

BUFFER_FRAMES = 1_000  # of answers that wait; at the bound: disconnected
BUFFER_BYTES = 1024 * 1024  # that wait before another one is taken; at the bound: disconnected
STALLED_S = 10.0  # so long may a socket take nothing while something waits; then: disconnected
SLOW_CONSUMER = 4008

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """Return a message as a frame, ready for any number of connections."""
    return frame(msgspec.json.encode(message))


class Socket(Protocol):
    """Where frames are written (websocket.py)."""

    @property
    def is_open(self) -> bool: ...

    @property
    def has_room(self) -> bool: ...

    @property
    def deflates(self) -> bool:
        """Whether the client takes compressed messages."""

    @property
    def unsent(self) -> int:
        """Bytes that were written and did not leave yet."""

    def write(self, frames: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    @property
    def is_quiet(self) -> bool:
        """Whether it is open and nothing is unsent."""

    def lend(self, on_write: Callable[[], bool]) -> int | None: ...

    def catch_up(self, unsent: bytes) -> None: ...

    def take_back(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Job:
    """Frames that are to be written to sockets, by their descriptors.

    ``end`` is for then, with the bytes that each socket has got that did not take all, by its place in ``sockets``. It
    sees to the rest, in steps between which others may have the loop.
    """

    frames: bytes
    sockets: Sequence[int]
    end: Callable[[Mapping[int, int]], Iterator[None]]


class Reader(Protocol):
    """Who holds something of channels, as they see it: a subscriber, or several that hold the same (cohorts.py)."""

    @property
    def deflates(self) -> bool:
        """Whether it takes compressed messages."""

    def mark(self, channel: "Source") -> None:
        """There is something newer on a channel: it is taken in the next turn."""

    def beat(self, heartbeat: bytes) -> None:
        """Write a heartbeat behind all else in the next turn; of several that wait the last one."""

    def prepare_turn(self) -> Iterator[None]:
        """Have made what the next turn takes, in steps between which others may have the loop."""

    def take_turn(self) -> list[Job]:
        """Write what is newer, or say what is to be written."""

    def lose(self, cause: str, reason: str) -> None:
        """End the connection because its client is too slow."""

    def __len__(self) -> int:
        """How many clients it stands for."""


class Source(Protocol):
    """A channel, as a subscriber sees it."""

    subscribers: dict[Reader, int]  # and the sequence that each holds

    def prepare(self, subscriber: Reader) -> Iterator[None]: ...

    def newer(self, subscriber: Reader) -> bytes:
        """Return frames with what the subscriber does not have yet, maybe none, and take them as told."""

    def leave(self, subscriber: "Subscriber") -> None:
        """Send no more."""


class Company(Protocol):
    """Those that a subscriber is told together with."""

    def part(self, subscriber: "Subscriber") -> None: ...


class Subscriber:
    """See the module."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._frames: list[bytes] = []
        self._bytes = 0
        self._newer: dict[Source, None] = {}
        self._heartbeat = b""
        self._flushing: asyncio.Handle | None = None
        self._stalled: tuple[int, float] | None = None  # bytes unsent, since when it is so many
        self.channels: dict[Source, None] = {}  # public ones that it follows
        self.cohort: Company | None = None
        self._stays_apart = False

    def __len__(self) -> int:
        return 1

    @property
    def is_open(self) -> bool:
        return self._socket.is_open

    @property
    def deflates(self) -> bool:
        """Whether it takes compressed messages."""
        return self._socket.deflates

    def send(self, frames: bytes) -> None:
        """Write in this turn of the loop: an answer, or the beginning of a channel."""
        if not self._socket.is_open:
            return
        if self._bytes >= BUFFER_BYTES or len(self._frames) >= BUFFER_FRAMES:
            self.lose("buffer", f"slow consumer: {len(self._frames)} answers were not read")
            return
        self._frames.append(frames)
        self._bytes += len(frames)
        self.flush_soon()

    def send_all(self, frames: Sequence[bytes]) -> None:
        """Do the same with several."""
        size = sum(map(len, frames))
        if len(self._frames) + len(frames) > BUFFER_FRAMES or self._bytes + size > BUFFER_BYTES:
            for one in frames:  # as many as there is room for
                self.send(one)
        elif self._socket.is_open:
            self._frames += frames
            self._bytes += size
            self.flush_soon()

    def mark(self, channel: Source) -> None:
        """There is something newer on a channel: it is taken with the next flush."""
        self._newer[channel] = None

    def forget(self, channel: Source) -> None:
        """Take nothing more from a channel."""
        self._newer.pop(channel, None)

    def beat(self, heartbeat: bytes) -> None:
        """Write a heartbeat behind all else with the next flush; of several that wait the last one."""
        self._heartbeat = heartbeat

    @property
    def may_join(self) -> bool:
        """Whether it may be told together with others: it has taken all that its channels had."""
        apart = self.cohort is None and not self._stays_apart
        return apart and bool(self.channels) and not self._newer and self.is_open

    def step_out(self) -> None:
        """Be apart from now on, for this is about itself."""
        if self.cohort is not None:
            self.cohort.part(self)

    def stay_apart(self) -> None:
        """Be apart for ever: whose connection this is trades on it, and what he is told must not wait for a round."""
        self._stays_apart = True
        self.step_out()

    @property
    def is_quiet(self) -> bool:
        """Whether all that was written to it has left."""
        return self._socket.is_quiet

    def lend(self, on_write: Callable[[], bool]) -> int | None:
        """Lend the socket to who writes for several (websocket.py); None while something else is to be written."""
        return self._socket.lend(on_write)

    def catch_up(self, unsent: bytes) -> None:
        """Write what could not be written by who has borrowed the socket, and what has waited for him."""
        self._socket.catch_up(unsent)

    def take_back(self) -> None:
        """End ``lend``."""
        self._socket.take_back()

    def flush_soon(self) -> None:
        """Flush in this turn of the loop."""
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_soon(self.flush)

    def prepare_turn(self) -> Iterator[None]:
        """Have made what waits, where it can be written."""
        for channel in list(self._newer) if self._socket.has_room else ():
            yield from channel.prepare(self)

    def take_turn(self) -> list[Job]:
        """Write what waits."""
        self.flush()
        return []

    def flush(self) -> None:
        """Write what waits, if the socket has room; when it has room again, this is called again."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if not self._socket.has_room or not self._socket.is_open:
            return
        frames, self._frames, self._bytes = self._frames, [], 0
        if self._newer:
            newer, self._newer = self._newer, {}
            frames += [channel.newer(self) for channel in newer]
        if self._heartbeat:
            frames.append(self._heartbeat)
            self._heartbeat = b""
        written = b"".join(frames) if len(frames) > 1 else frames[0] if frames else b""
        if written and self._socket.is_open:  # a channel may have ended it
            self._socket.write(written)

    def look(self) -> None:
        """Called now and then: end a connection that takes nothing."""
        if self._socket.has_room:
            self._stalled = None
        elif self._stalled is None or self._stalled[0] != self._socket.unsent:
            self._stalled = self._socket.unsent, time.monotonic()
        elif time.monotonic() - self._stalled[1] > STALLED_S:
            self.lose("stalled", f"slow consumer: nothing was read for {STALLED_S:.0f} s")

    def lose(self, cause: str, reason: str) -> None:
        """End the connection because its client is too slow."""
        if self._socket.is_open:
            metrics.STREAM_SLOW_CONSUMERS.labels(cause).inc()
            self._drop()
            self._socket.close(SLOW_CONSUMER, reason)

    def close(self, code: int, reason: str) -> None:
        """End the connection behind what waits, as far as that can be written."""
        self.flush()
        self._drop()
        self._socket.close(code, reason)

    def _drop(self) -> None:
        self._frames, self._bytes, self._heartbeat = [], 0, b""
        self._newer.clear()
