"""Cohorts: subscribers that hold the same of the same channels, told with the same bytes in one go.

    who is led to where others are ──────────> joins them        (admit)
    who is slow, or wants other channels ────> is apart  (part), until it is where they are again

To channels a cohort is one subscriber, and a turn of it touches no member but those that something else was written to:
a round costs about as much for a thousand as for one. What is left for each is its write, which is made elsewhere
(rounds.py) with sockets that the members have lent.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from exchange.gateway.subscriber import Job, Source, Subscriber


class Cohort:
    """See the module. ``channels``: public ones; ``deflates``: whether its members take compressed messages."""

    def __init__(self, channels: Iterable[Source], deflates: bool) -> None:
        self._channels = tuple(channels)
        self.deflates = deflates
        self._members: dict[Subscriber, int] = {}  # and the descriptors of their sockets
        self._newer: dict[Source, None] = {}
        self._heartbeat = b""
        self._is_writing = False  # somebody does, to all sockets
        self._touched: dict[Subscriber, None] = {}  # members that something else was, or is to be, written to
        self._leaving: list[Subscriber] = []  # as soon as nobody is writing

    def __len__(self) -> int:
        return len(self._members)

    def holds_the_same(self, subscriber: Subscriber) -> bool:
        """Whether a subscriber of the same channels holds the same of each."""
        return all(channel.subscribers[self] == channel.subscribers[subscriber] for channel in self._channels)

    def admit(self, subscriber: Subscriber) -> bool:
        """Take one in who holds the same; the first one says what that is. Return whether it could be."""
        socket = subscriber.lend(partial(self._touch, subscriber))
        if socket is None:
            return False
        for channel in self._channels:
            channel.subscribers[self] = channel.subscribers.pop(subscriber)
        self._members[subscriber] = socket
        subscriber.cohort = self
        return True

    def part(self, subscriber: Subscriber) -> None:
        """Let a member go, with what it holds and what it has not been told."""
        del self._members[subscriber]
        subscriber.cohort = None
        for channel in self._channels:
            channel.subscribers[subscriber] = channel.subscribers[self]
            if not self._members:
                del channel.subscribers[self]
        for newer in self._newer:
            subscriber.mark(newer)
        if self._heartbeat:
            subscriber.beat(self._heartbeat)
        if self._is_writing:
            self._leaving.append(subscriber)
        else:
            subscriber.take_back()
        subscriber.flush_soon()

    def _touch(self, subscriber: Subscriber) -> bool:
        """Something else is to be written to a member; return whether it has to wait."""
        self._touched[subscriber] = None
        return self._is_writing

    def mark(self, channel: Source) -> None:
        """There is something newer on a channel."""
        self._newer[channel] = None

    def beat(self, heartbeat: bytes) -> None:
        """Write a heartbeat behind all else in the next turn."""
        self._heartbeat = heartbeat

    def lose(self, cause: str, reason: str) -> None:
        """End the connections of all members, because they are too slow."""
        for member in list(self._members):
            self.part(member)
            member.lose(cause, reason)

    def prepare_turn(self) -> Iterator[None]:
        """Have made what the next turn takes, in steps between which others may have the loop."""
        for channel in list(self._newer):
            yield from channel.prepare(self)

    def take_turn(self) -> list[Job]:
        """Take what the members do not have yet as told, and return what is to be written to them, if anything.

        Whose socket is not empty is apart from here on.
        """
        touched, self._touched = self._touched, {}
        for subscriber in touched:
            if subscriber in self._members and not subscriber.is_quiet:
                self.part(subscriber)
        frames = self._take_newer() if self._members else b""
        if not frames or not self._members:  # it may have lost them, with what it took
            return []
        self._is_writing = True
        return [Job(frames, tuple(self._members.values()), partial(self._end_turn, frames, tuple(self._members)))]

    def _take_newer(self) -> bytes:
        newer, self._newer = self._newer, {}
        heartbeat, self._heartbeat = self._heartbeat, b""
        return b"".join([*(channel.newer(self) for channel in newer), heartbeat])

    def _end_turn(self, frames: bytes, subscribers: tuple[Subscriber, ...], left: Mapping[int, int]) -> Iterator[None]:
        for place, written in left.items():
            self._touched[subscribers[place]] = None
            subscribers[place].catch_up(frames[written:])
            yield
        self._is_writing = False
        for subscriber in list(self._touched):
            subscriber.catch_up(b"")
        leaving, self._leaving = self._leaving, []
        for subscriber in leaving:
            subscriber.take_back()


class Cohorts:
    """All cohorts."""

    def __init__(self) -> None:
        self._by_kind: dict[tuple[frozenset[Source], bool], list[Cohort]] = {}

    def __iter__(self) -> Iterator[Cohort]:
        return (cohort for cohorts in self._by_kind.values() for cohort in cohorts)

    def prune(self) -> None:
        """Forget those that nobody is left in."""
        kept = {kind: [cohort for cohort in cohorts if cohort] for kind, cohorts in self._by_kind.items()}
        self._by_kind = {kind: cohorts for kind, cohorts in kept.items() if cohorts}

    def clear(self) -> None:
        """Forget all, with their members."""
        self._by_kind.clear()

    def admit(self, subscriber: Subscriber) -> None:
        """Have one that is apart join those that hold the same, or begin a cohort."""
        if not subscriber.may_join:
            return
        kind = frozenset(subscriber.channels), subscriber.deflates
        cohorts = self._by_kind.setdefault(kind, [])
        cohort = next((one for one in cohorts if one and one.holds_the_same(subscriber)), None)
        if cohort is not None:
            cohort.admit(subscriber)
        elif (cohort := Cohort(*kind)).admit(subscriber):
            cohorts.append(cohort)
