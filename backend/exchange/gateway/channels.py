"""Channels: streams of messages with the sequence that each includes, and that of the message before.

A channel has its last messages; a subscriber has the sequence that it holds, and takes what is newer when it can. So a
message is made and kept once, whoever and however many listen. A *log* gives every message that came since; a
*conflated* channel is a state, and gives one update from what the subscriber holds to what is now. Who holds something
older than what is kept has missed something: a log ends the connection, a conflated channel sends a new snapshot. Who
comes back soon resumes here; later, from the journal (hub.py).

A round of turns (hub.py) takes a while, and a busy log is told something new meanwhile. So a log leads all of a round
to the same sequence, that where it was lined up: they hold the same then, and what follows is made once for all again.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from exchange.gateway.subscriber import Message, Reader, Subscriber, encode
from exchange.gateway.websocket import deflated, deflating_frames
from exchange.observability import metrics

KEPT_MESSAGES = 4_000  # of a channel; at the bound the oldest is forgotten
KEPT_BYTES = 4 * 1024 * 1024  # of a public log
KEPT_PRIVATE_BYTES = 512 * 1024  # of an account's
KEPT_CHANGES = 4_000  # of a conflated channel, in all its updates: beyond it a snapshot is cheaper
SHARED_MAX = 64  # joined messages that wait for others at the same sequence; beyond it they are made for each anew
SHARED_BYTES = 4 * 1024 * 1024  # of them together
JOINED_BYTES = 64 * 1024  # of several messages of a tape as one; where there is more, the next one begins


class Shared:
    """Frames for many, and the same compressed as soon as somebody takes them so."""

    __slots__ = ("_deflated", "plain")

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._deflated: bytes | None = None

    def of(self, deflates: bool) -> bytes:
        if not deflates:
            return self.plain
        if self._deflated is None:
            self._deflated = deflated(self.plain)
        return self._deflated

    def deflate(self) -> Iterator[None]:
        """Compress them in steps, however many they are."""
        if self._deflated is None:
            self._deflated = yield from deflating_frames(self.plain, len(self.plain))


NOTHING = Shared(b"")


class Channel(ABC):
    """What both kinds have: a sequence, who listens, and a snapshot made once for all who ask at the same time.

    ``snapshot`` gives the content of a snapshot as of the channel's sequence; it may take newer state first.
    ``when_told`` is called with every update. ``is_public``: what it tells is everybody's, and may be compressed.
    """

    is_public = True

    def __init__(
        self, head: Message, sequence: int, snapshot: Callable[[], Message], when_told: "Callable[[Channel], None]"
    ) -> None:
        self._head = head
        self._snapshot_content = snapshot
        self._when_told = when_told
        self._snapshot: tuple[int, Shared] = (-1, NOTHING)
        self._newer: dict[int, Shared] = {}  # that lead to the line, by the sequence that they go on from
        self._newer_bytes = 0
        self._floor = sequence  # what is kept leads from there to the sequence
        self._line = sequence  # where turns lead to
        self.sequence = sequence
        self.subscribers: dict[Reader, int] = {}  # and the sequence that each holds

    def begin(self, subscriber: Subscriber) -> None:
        """Send a snapshot, and updates from then on."""
        self.go_on(subscriber, self._for(subscriber, self.snapshot()))

    def keeps(self, sequence: int) -> bool:
        """Whether what came after a sequence is here."""
        return sequence >= self._floor

    def resume(self, subscriber: Subscriber, sequence: int) -> None:
        """Send what came after a sequence that is kept, and updates from then on."""
        self.go_on(subscriber, self._make(sequence, self.sequence) if sequence < self.sequence else b"")

    def go_on(self, subscriber: Subscriber, begun: bytes) -> None:
        """Send frames that lead to the channel's sequence, and updates from then on."""
        subscriber.step_out()
        if begun:
            subscriber.send(begun)
        self.subscribers[subscriber] = self.sequence
        subscriber.forget(self)
        if self.is_public:
            subscriber.channels[self] = None

    def leave(self, subscriber: Subscriber) -> None:
        """Send no more."""
        if self in subscriber.channels:
            subscriber.step_out()
            del subscriber.channels[self]
        self.subscribers.pop(subscriber, None)
        subscriber.forget(self)

    def line_up(self) -> None:
        """Let turns lead to what was told until now."""
        self._line = self.sequence
        self._newer.clear()
        self._newer_bytes = 0

    def prepare(self, subscriber: Reader) -> Iterator[None]:
        """Make what a subscriber is about to take, in steps between which others may have the loop."""
        held = self.subscribers.get(subscriber, self._line)
        known = held in self._newer
        if held >= self._line or not self.keeps(held) or (not known and len(self._newer) >= SHARED_MAX):
            return
        shared = self._after(held)
        if not known:
            yield
        if self.is_public and subscriber.deflates:
            yield from shared.deflate()

    def newer(self, subscriber: Reader) -> bytes:
        """Return frames that lead the subscriber to the line, maybe none, and take them as told."""
        held = self.subscribers.get(subscriber, self.sequence)
        if self.keeps(held):
            shared, reached = self._after(held), max(held, self._line)
        else:
            shared, reached = self._too_late(subscriber), self.sequence
        if subscriber in self.subscribers:
            self.subscribers[subscriber] = reached
        return self._for(subscriber, shared)

    def _for(self, subscriber: Reader, shared: Shared) -> bytes:
        return shared.of(self.is_public and subscriber.deflates)

    def advance(self, sequence: int) -> None:
        """Pass over what nobody listens to."""
        self.sequence = self._floor = sequence
        self.line_up()
        self._forget_all()

    def snapshot(self) -> Shared:
        """The whole state at the sequence of the last message."""
        if self._snapshot[0] != self.sequence:
            content = self._snapshot_content()
            head = {"type": "snapshot"} | self._head | {"sequence": self.sequence}
            self._snapshot = self.sequence, Shared(encode(head | content))
        return self._snapshot[1]

    def frame(self, sequence: int, prev_sequence: int, content: Message) -> bytes:
        """An update that leads from one sequence to another."""
        return encode(
            {"type": "update"} | self._head | {"sequence": sequence, "prev_sequence": prev_sequence} | content
        )

    def _after(self, sequence: int) -> Shared:
        if sequence >= self._line:
            return NOTHING
        shared = self._newer.get(sequence)
        if shared is None:
            shared = Shared(self._make(sequence, self._line))
            size = len(shared.plain)
            if len(self._newer) < SHARED_MAX and self._newer_bytes + size <= SHARED_BYTES:
                self._newer[sequence] = shared
                self._newer_bytes += size
        return shared

    @abstractmethod
    def _make(self, sequence: int, end: int) -> bytes:
        """Frames that lead from a sequence that is not before the floor to a later one, the line or the channel's."""

    @abstractmethod
    def _too_late(self, subscriber: Reader) -> Shared:
        """What a subscriber gets that holds something older than what is kept."""

    @abstractmethod
    def _forget_all(self) -> None: ...


class Log(Channel):
    """Everybody gets every message."""

    def __init__(
        self,
        head: Message,
        sequence: int,
        snapshot: Callable[[], Message],
        when_told: Callable[[Channel], None],
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        super().__init__(head, sequence, snapshot, when_told)
        self._kept: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._bytes_max = kept_bytes

    def update(self, sequence: int, content: Message) -> None:
        """Tell a message."""
        self._keep(sequence, self.frame(sequence, self.sequence, content))

    def _keep(self, sequence: int, piece: bytes) -> None:
        self._kept.append((sequence, piece))
        self._bytes += len(piece)
        while len(self._kept) > 1 and (self._bytes > self._bytes_max or len(self._kept) > KEPT_MESSAGES):
            self._floor, dropped = self._kept.popleft()
            self._bytes -= len(dropped)
        self.sequence = sequence
        self._when_told(self)

    def _between(self, sequence: int, end: int) -> list[tuple[int, bytes]]:
        """What is kept after a sequence, up to a later one, oldest first."""
        newest_first = []
        for at, piece in reversed(self._kept):
            if at <= sequence:
                break
            if at <= end:
                newest_first.append((at, piece))
        return newest_first[::-1]

    def _make(self, sequence: int, end: int) -> bytes:
        return b"".join(frame for _, frame in self._between(sequence, end))

    def _too_late(self, subscriber: Reader) -> Shared:
        name = self._head["channel"]
        subscriber.lose("overflow", f"slow consumer: more than {len(self._kept)} messages of {name} were not read")
        return NOTHING

    def _forget_all(self) -> None:
        self._kept.clear()
        self._bytes = 0


class Private(Log):
    """An account's own log, never compressed: whose secrets are mixed with what others say tells them by its length."""

    is_public = False

    def __init__(
        self, head: Message, sequence: int, snapshot: Callable[[], Message], when_told: Callable[[Channel], None]
    ) -> None:
        super().__init__(head, sequence, snapshot, when_told, KEPT_PRIVATE_BYTES)


class Tape(Log):
    """A log whose messages are lists: who is behind by several gets one with all that they list, oldest first."""

    def __init__(
        self, head: Message, sequence: int, snapshot: Callable[[], Message], when_told: Callable[[Channel], None]
    ) -> None:
        super().__init__(head, sequence, snapshot, when_told)
        self._list = head["channel"]  # the messages' field has the channel's name

    def extend(self, sequence: int, items: bytes) -> None:
        """Tell some items, at least one: a list, as JSON. They are made once, whoever gets them in which message."""
        self._keep(sequence, items[1:-1])

    def _make(self, sequence: int, end: int) -> bytes:
        frames, run, size, held = [], list[bytes](), 0, sequence
        for at, items in self._between(sequence, end):
            if run and size + len(items) > JOINED_BYTES:
                frames.append(self._joined(sequence, held, run))
                run, size, held = [], 0, sequence
            run.append(items)
            size += len(items) + 1
            sequence = at
        frames.append(self._joined(sequence, held, run))
        return b"".join(frames)

    def _joined(self, sequence: int, prev_sequence: int, run: list[bytes]) -> bytes:
        return self.frame(sequence, prev_sequence, {self._list: msgspec.Raw(b"[" + b",".join(run) + b"]")})


class Conflated(Channel):
    """A state. An update says what became of which parts of it, so that later ones replace earlier ones.

    ``content`` makes the content of a message of what one update told, or several together.
    """

    def __init__(
        self,
        head: Message,
        sequence: int,
        snapshot: Callable[[], Message],
        when_told: Callable[[Channel], None],
        content: Callable[[dict[Any, Any]], Message],
    ) -> None:
        super().__init__(head, sequence, snapshot, when_told)
        self._content = content
        self._kept: deque[tuple[int, Mapping[Any, Any]]] = deque()
        self._changes = 0

    def update(self, sequence: int, changes: Mapping[Any, Any]) -> None:
        """Tell what changed since the last update."""
        self._kept.append((sequence, changes))
        self._changes += len(changes)
        while len(self._kept) > 1 and (self._changes > KEPT_CHANGES or len(self._kept) > KEPT_MESSAGES):
            self._floor, dropped = self._kept.popleft()
            self._changes -= len(dropped)
        self.sequence = sequence
        self.line_up()  # the content of a message is of now
        self._when_told(self)

    def _make(self, sequence: int, end: int) -> bytes:
        steps = []
        for at, changes in reversed(self._kept):
            if at <= sequence:
                break
            steps.append(changes)
        merged: dict[Any, Any] = {}
        for changes in reversed(steps):
            merged.update(changes)
        metrics.STREAM_CONFLATED.inc(len(steps) - 1)
        return self.frame(end, sequence, self._content(merged))

    def _too_late(self, subscriber: Reader) -> Shared:
        return self.snapshot()

    def _forget_all(self) -> None:
        self._kept.clear()
        self._changes = 0
