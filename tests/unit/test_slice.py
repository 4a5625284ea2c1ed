"""A run of the journal is taken in turns, each of whole commands."""

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.records import EVENT, EVENT_SIZE
from exchange.projections import slice as slices
from exchange.projections.slice import Slice


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 6))
async def test_turns_are_of_whole_commands_and_no_longer_than_they_must(counts: list[int], turn: int) -> None:
    events = np.zeros(sum(counts), EVENT)
    events["sequence"] = [100 + number for number, count in enumerate(counts) for _ in range(count)]
    run = Slice(1, 100, 99 + len(counts), b"", events.tobytes())
    with mock.patch.object(slices, "TURN_EVENTS", turn):
        turns = [bytes(part) for part in [part async for part in run.turns()]]
    assert b"".join(turns) == run.events
    sequences = [{int(n) for n in np.frombuffer(part, EVENT)["sequence"]} for part in turns]
    assert sum(map(len, sequences)) == len(set().union(*sequences)), "no command is in two turns"
    for part, of in zip(turns, sequences, strict=True):
        last = np.frombuffer(part, EVENT)["sequence"] == max(of)
        assert len(part) // EVENT_SIZE - int(last.sum()) < turn, "it would have ended a command earlier"
