"""Say what is wrong with a journal entry that does not fit: which of its parts, where, and what was appended.

The chain value of an entry seals the command and events that were appended. So whatever can be put in a part's place
and fits the seal is what stood there.
"""

from dataclasses import dataclass

import numpy as np

from engine.errors import SequenceError
from engine.matching import Shard
from engine.records import (
    ASSET_COMMAND,
    COMMAND_SIZE,
    EVENT,
    EVENT_SIZE,
    FEES_COMMAND,
    FEES_EVENT,
    MARKET_COMMAND,
    MARKET_TERMS_COMMAND,
    MODE_COMMAND,
    MODE_EVENT,
    ORDER_COMMAND,
    ORDER_EVENT,
    TRANSFER_COMMAND,
    CommandKind,
    EventKind,
)
from exchange.contracts.commands import KIND, sequence_of
from exchange.storage.journal import seal

Layout = np.dtype[np.void]
_COMMANDS: dict[int, Layout] = {
    CommandKind.DEFINE_ASSET: ASSET_COMMAND,
    CommandKind.DEFINE_MARKET: MARKET_COMMAND,
    CommandKind.CONFIGURE_MARKET: MARKET_TERMS_COMMAND,
    CommandKind.SET_MODE: MODE_COMMAND,
    CommandKind.SET_FEES: FEES_COMMAND,
    CommandKind.DEPOSIT: TRANSFER_COMMAND,
    CommandKind.WITHDRAW: TRANSFER_COMMAND,
}
_EVENTS: dict[int, Layout] = {
    EventKind.TRADED: EVENT,
    EventKind.PREVENTED: EVENT,
    EventKind.MODE_CHANGED: MODE_EVENT,
    EventKind.FEES_SET: FEES_EVENT,
}


@dataclass(frozen=True, slots=True)
class Suspect:
    """An entry as it is stored, and what lies around it. ``before``: the chain of the entry before it."""

    sequence: int
    command: bytes
    events: bytes
    chain: bytes
    before: bytes
    following: tuple[bytes, bytes, bytes] | None  # command, events, chain of the next entry, if there is one


def describe(entry: Suspect, shard: Shard | None) -> str:
    """Return what is wrong with an entry. ``shard``: as it was before the entry, None where that is not known."""
    if len(entry.command) != COMMAND_SIZE:
        return f"its command is torn: it has {len(entry.command)} bytes, not {COMMAND_SIZE}"
    if len(entry.events) % EVENT_SIZE:
        return f"its events are torn: they have {len(entry.events)} bytes, no whole number of {EVENT_SIZE}"
    executed = None if shard is None else _execute(shard, entry.command)
    sealed = seal(entry.before, entry.command, entry.events)
    if sealed == entry.chain:
        return _executed_again(entry, executed)
    if entry.following is not None and seal(sealed, *entry.following[:2]) == entry.following[2]:
        return "its chain value is not the one that was appended; its command and its events are"
    if executed is not None and seal(entry.before, entry.command, executed) == entry.chain:
        return f"its events are not those that were appended: {_first_difference(entry.events, executed)}"
    appended = _one_byte_back(entry)
    if appended is not None:
        return f"its command is not the one that was appended: {_command_difference(entry.command, appended)}"
    if sequence_of(entry.command) != entry.sequence:
        return f"it holds the command of entry {sequence_of(entry.command)}"
    return "its command and its events are not those that were appended"


def _execute(shard: Shard, command: bytes) -> bytes | None:
    try:
        return shard.apply(command)
    except SequenceError:
        return None


def _executed_again(entry: Suspect, executed: bytes | None) -> str:
    if executed is None:
        return f"it holds the command of entry {sequence_of(entry.command)}"
    return f"executed again it causes other events than it did: {_first_difference(entry.events, executed)}"


def _one_byte_back(entry: Suspect) -> bytes | None:
    """The command that was appended, if one byte of it was changed."""
    candidate = bytearray(entry.command)
    for at, stored in enumerate(entry.command):
        for value in range(256):
            candidate[at] = value
            if seal(entry.before, bytes(candidate), entry.events) == entry.chain:
                return bytes(candidate)
        candidate[at] = stored
    return None


def _command_difference(stored: bytes, appended: bytes) -> str:
    return _difference(_COMMANDS.get(appended[KIND], ORDER_COMMAND), stored, appended)


def _first_difference(stored: bytes, appended: bytes) -> str:
    count, expected = len(stored) // EVENT_SIZE, len(appended) // EVENT_SIZE
    for number in range(min(count, expected)):
        part = slice(number * EVENT_SIZE, (number + 1) * EVENT_SIZE)
        if stored[part] != appended[part]:
            kind = EventKind(appended[part][0])
            layout = _EVENTS.get(kind, ORDER_EVENT)
            return f"event {number + 1} ({kind.name}), {_difference(layout, stored[part], appended[part])}"
    return f"there are {count} events, and there should be {expected}"


def _difference(layout: Layout, stored: bytes, appended: bytes) -> str:
    """The first field of a record that differs, with both its values."""
    is_one, should_be = np.frombuffer(stored, layout)[0], np.frombuffer(appended, layout)[0]
    assert layout.names is not None
    for name in layout.names:
        if is_one[name].tobytes() != should_be[name].tobytes():
            return f"{name} is {is_one[name]} and was {should_be[name]}"
    return "in bytes that no field has"
