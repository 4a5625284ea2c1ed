"""Trades told together are the trades that were told one batch at a time, whoever is behind how far."""

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.gateway import channels
from exchange.gateway.channels import Tape
from exchange.gateway.subscriber import Message
from tests.support.stream_socket import Listener

READERS = 3
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.integers(1, 12), st.integers(1, 3)),  # items, entries of the journal
        st.tuples(st.just("round"), st.sets(st.integers(0, READERS - 1)), st.just(0)),  # those who have room
        st.tuples(st.just("resume"), st.integers(0, READERS - 1), st.integers(0, 30)),  # so many messages ago
    ),
    max_size=60,
)


@dataclass
class Reader:
    """One that holds every message against what it had, as strictly as the web page does."""

    sequence: int
    items: list[int] = field(default_factory=list)
    held: list[tuple[int, int]] = field(default_factory=list)  # after each message: the sequence, how many items

    def __post_init__(self) -> None:
        self.listener = Listener()
        self.held.append((self.sequence, 0))

    def take(self) -> int:
        """Take in what has come; return how many messages it was."""
        messages = self.listener.taken()
        for message in messages:
            assert message["prev_sequence"] == self.sequence < message["sequence"]
            assert message["trades"], "nothing is told of nothing"
            self.items += [item["trade_id"] for item in message["trades"]]
            self.sequence = message["sequence"]
            self.held.append((self.sequence, len(self.items)))
        return len(messages)

    def forget(self, messages: int) -> None:
        """Be again what it was so many messages ago, on another connection."""
        self.held = self.held[: max(len(self.held) - messages, 1)]
        self.sequence, count = self.held[-1]
        self.items = self.items[:count]
        self.listener = Listener()


@pytest.mark.parametrize("joined_bytes", [1, 100, 64 * 1024])
@given(steps=STEPS)
def test_whoever_is_behind_gets_every_item_once_in_order(
    joined_bytes: int, steps: list[tuple[str, object, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channels, "JOINED_BYTES", joined_bytes)
        asyncio.run(_follow(steps))


async def _follow(steps: list[tuple[str, object, int]]) -> None:
    told: list[int] = []
    tape = Tape({"channel": "trades"}, 7, lambda: {"trades": []}, lambda _: None)
    readers = [Reader(7) for _ in range(READERS)]
    for reader in readers:
        tape.resume(reader.listener.subscriber, 7)
    for what, which, number in steps:
        if what == "tell":
            assert isinstance(which, int)
            items: list[Message] = [{"trade_id": len(told) + each} for each in range(which)]
            told += range(len(told), len(told) + which)
            tape.extend(tape.sequence + number, msgspec.json.encode(items))
        elif what == "round":
            assert isinstance(which, set)
            _round(tape, [readers[each] for each in sorted(which)])
        else:
            assert isinstance(which, int)
            reader = readers[which]
            tape.leave(reader.listener.subscriber)
            reader.forget(number)
            tape.resume(reader.listener.subscriber, reader.sequence)
            reader.take()
            assert reader.items == told, "who comes back has all that was told until then"
    _round(tape, readers)
    for reader in readers:
        assert (reader.items, reader.sequence) == (told, tape.sequence)


def _round(tape: Tape, readers: list[Reader]) -> None:
    tape.line_up()
    for reader in readers:
        reader.listener.subscriber.mark(tape)
        messages = reader.take()
        assert messages <= 1 or channels.JOINED_BYTES < 1_000, "one message, however many it was behind by"
        assert reader.sequence == tape.sequence
