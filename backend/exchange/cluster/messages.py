"""What the roles tell each other: MessagePack, a version in front of each message's type.

A message of another version is not understood and counts as lost: the journal has what matters, and who waits for an
answer learns that the outcome is not known.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, TypeVar

import msgspec

from engine.records import Reason
from exchange.contracts.commands import sequence_of
from exchange.contracts.refusals import AnyReason, EdgeReason, Refusal
from exchange.storage.journal import Entry

VERSION = 1
EDGE_REASONS_FROM = 9_000

T = TypeVar("T")


class NotUnderstood(Exception):
    """The message is of another version, or damaged."""


class Way(IntEnum):
    """How the commands of an Ask enter the corridor: the methods of Corridor."""

    SUBMIT = 1
    PLACE = 2
    PLACE_ALL = 3
    PLACE_LINKED = 4
    BARRIER = 5


class Ask(msgspec.Struct, array_like=True, frozen=True):
    """One call of the corridor. ``commands``: (record, client order id); ``asked_ns``: when its caller asked."""

    tag: int
    way: int
    account: int
    asked_ns: int
    commands: list[tuple[bytes, str | None]]


class Asks(msgspec.Struct, array_like=True, frozen=True):
    """From an API process to the leader of an epoch, in the order in which they were asked."""

    sender: str
    asks: list[Ask]


class Problem(msgspec.Struct, array_like=True, frozen=True):
    """A Refusal."""

    reason: int
    detail: str
    field: str | None
    limit: str | None
    nearest: str | None
    sequence: int | None
    retry_after_s: int | None
    extra: list[tuple[str, Any]]


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """What became of one command: its entry, and whether an earlier request had it; or why it was refused."""

    command: bytes
    events: bytes
    was_there: bool
    problem: Problem | None


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """To one Ask. ``sequence``: of BARRIER; ``problem``: the whole Ask was refused."""

    tag: int
    sequence: int
    outcomes: list[Outcome]
    problem: Problem | None


class Answers(msgspec.Struct, array_like=True, frozen=True):
    """From the leader to one API process."""

    answers: list[Answer]


class Entries(msgspec.Struct, array_like=True, frozen=True):
    """Consecutive durable entries, (command, events), from the leader to everybody."""

    epoch: int
    entries: list[tuple[bytes, bytes]]


class Leading(msgspec.Struct, array_like=True, frozen=True):
    """That a leader takes commands; said when it begins and every HEARTBEAT_S."""

    epoch: int
    sequence: int


class Reached(msgspec.Struct, array_like=True, frozen=True):
    """How far the tables are; from a projector to everybody."""

    watermark: int


class Hurry(msgspec.Struct, array_like=True, frozen=True):
    """That somebody waits for the tables to reach an entry; to the projectors."""

    sequence: int


def encode(message: msgspec.Struct) -> bytes:
    """Return the bytes of a message."""
    return _HEAD + _encoder.encode(message)


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Return what reads the messages of one type; it raises NotUnderstood."""
    read = msgspec.msgpack.Decoder(kind).decode

    def decode(message: bytes) -> T:
        if message[:1] != _HEAD:
            raise NotUnderstood(f"a message of version {message[:1].hex()}, where {VERSION} is spoken")
        try:
            return read(memoryview(message)[1:])
        except msgspec.MsgspecError as error:
            raise NotUnderstood(str(error)) from error

    return decode


def problem_of(refusal: Refusal) -> Problem:
    """Return a refusal as it travels."""
    return Problem(
        int(refusal.reason), refusal.detail, refusal.field, refusal.limit, refusal.nearest, refusal.sequence,
        refusal.retry_after_s, list(refusal.extra),
    )  # fmt: skip


def refusal_of(problem: Problem) -> Refusal:
    """Return the refusal that travelled."""
    reason: AnyReason = (EdgeReason if problem.reason >= EDGE_REASONS_FROM else Reason)(problem.reason)
    return Refusal(
        reason, problem.detail, field=problem.field, limit=problem.limit, nearest=problem.nearest,
        sequence=problem.sequence, retry_after_s=problem.retry_after_s, extra=tuple(problem.extra),
    )  # fmt: skip


def outcome_of(entry: Entry, was_there: bool) -> Outcome:
    """Return what became of a command."""
    return Outcome(entry.command, entry.events, was_there, None)


def entries_of(message: Entries) -> list[Entry]:
    """Return the entries of a message."""
    return [Entry(sequence_of(command), command, events) for command, events in message.entries]


def entries_message(epoch: int, entries: Sequence[Entry]) -> bytes:
    """Return the bytes of an Entries."""
    return encode(Entries(epoch, [(entry.command, entry.events) for entry in entries]))


_HEAD = bytes((VERSION,))
_encoder = msgspec.msgpack.Encoder()
