"""Batches of commands: C stamps and divides them as plain Python does, and everybody who waits is answered once."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.orders.batches import ALONE, JOINED, LINKED, Answer, deliver, fail, split, stamp
from engine.records import COMMAND_SIZE, EVENT_SIZE
from exchange.contracts import commands

RECORDS = st.binary(min_size=COMMAND_SIZE, max_size=COMMAND_SIZE)


@given(
    st.lists(st.tuples(RECORDS, st.sampled_from((ALONE, JOINED, LINKED))), max_size=8),
    st.integers(0, 2**63),
    st.integers(-(2**63), 2**63 - 1),
)
def test_commands_are_stamped_as_one_by_one(batch: list[tuple[bytes, int]], sequence: int, timestamp_ns: int) -> None:
    answers: list[Answer[Any]] = [Answer(bytearray(record), follows) for record, follows in batch]
    expected = []
    for number, (record, follows) in enumerate(batch, sequence):
        command = bytearray(record)
        if follows == LINKED:
            commands.link(command, number)
        commands.stamp(command, number + 1, timestamp_ns)
        expected.append(bytes(command))
    assert stamp(answers, sequence, timestamp_ns) == b"".join(expected)
    assert [bytes(answer.command or b"") for answer in answers] == expected


@given(st.integers(0, 2**62), st.lists(st.integers(0, 3), max_size=8), st.data())
def test_entries_have_their_own_events(first: int, counts: list[int], data: st.DataObject) -> None:
    expected = []
    for sequence, count in enumerate(counts, first):
        command = bytearray(data.draw(RECORDS))
        commands.stamp(command, sequence, 0)
        events = b"".join(
            bytes((number,)) * 8 + sequence.to_bytes(8, "little") + bytes(EVENT_SIZE - 16) for number in range(count)
        )
        expected.append((sequence, bytes(command), events))
    records, events = (b"".join(entry[place] for entry in expected) for place in (1, 2))
    assert split(records, events, lambda *entry: entry) == expected


@pytest.mark.parametrize("size", [0, 1, COMMAND_SIZE - 1, COMMAND_SIZE + 1])
def test_what_is_no_record_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        stamp([Answer(bytearray(size))], 1, 1)
    with pytest.raises(ValueError, match="bytes"):
        stamp([Answer()], 1, 1)
    if size:
        for records, events in ((bytes(size), b""), (b"", bytes(size))):
            with pytest.raises(ValueError, match="whole"):
                split(records, events, lambda *entry: entry)


async def test_who_waits_is_told_once_in_order_and_a_failure_keeps_nobody_waiting() -> None:
    loop, told, failures = asyncio.get_running_loop(), [], []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    answers: list[Answer[int]] = [Answer(bytearray(1)) for _ in range(8)]

    def broken(answer: object) -> None:
        told.append("broken")
        raise ZeroDivisionError

    def left(run: list[Answer[int]]) -> None:
        told.append(("left", [answer.context for answer in run]))

    def right(run: list[Answer[int]]) -> None:
        told.append(("right", [answer.context for answer in run]))
        raise ZeroDivisionError

    for number, receiver in ((0, left), (1, left), (2, right), (4, right), (5, left), (6, left)):
        answers[number].hand_to(receiver, number)
    answers[3].then(broken)
    answers[3].then(lambda answer: told.append(answer.taken()))
    waiting = asyncio.ensure_future(answers[7].result())
    gone = asyncio.ensure_future(answers[7].wait())
    await asyncio.sleep(0)
    gone.cancel()
    deliver(answers[:5], list(range(5)))
    assert told == [], "in the next turn of the loop"
    assert answers[3].done()
    assert answers[3].entry == 3
    await asyncio.sleep(0)
    assert told == [("left", [0, 1]), ("right", [2]), "broken", (3, False), ("right", [4])]
    assert [answer.context for answer in answers[:5]] == [None] * 5, "they are remembered for longer than that"
    fail(answers, ValueError("lost"))
    deliver(answers, [9] * 8)
    with pytest.raises(ValueError, match="lost"):
        await waiting
    assert told[5:] == [("left", [5, 6])], "each is known once"
    assert [answer.failed for answer in answers] == [False] * 5 + [True] * 3
    assert await answers[0] == 0
    answers[6].then(lambda answer: told.append(answer.failed))
    await asyncio.sleep(0)
    assert told[6:] == [True]
    assert [type(failure) for failure in failures] == [ZeroDivisionError] * 3
