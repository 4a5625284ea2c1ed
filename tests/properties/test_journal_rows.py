"""What is appended to the journal is what plain Python would make of the entries: sealed, as rows, and counted."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.orders.journal import CHAIN_SIZE, count_outcomes, sealed_rows
from engine.orders.rows import COPY_BEGIN, COPY_END
from engine.records import COMMAND_SIZE, EVENT_SIZE, EventKind
from exchange.contracts.events import is_rejected
from exchange.storage.journal import COLUMNS, Entry, seal
from exchange.storage.tables import journal
from tests.support.copied import read_rows

SHARD, EPOCH = 7, 3

chains = st.binary(min_size=CHAIN_SIZE, max_size=CHAIN_SIZE)
anything = st.builds(Entry, st.integers(0, 2**63 - 1), st.binary(max_size=300), st.binary(max_size=900))
commands = st.builds(
    lambda kind, rest: bytes((2, kind)) + rest,
    st.integers(0, 255), st.binary(min_size=COMMAND_SIZE - 2, max_size=COMMAND_SIZE - 2),
)  # fmt: skip
events = st.builds(
    lambda kinds: b"".join(bytes((kind,)) + bytes(EVENT_SIZE - 1) for kind in kinds),
    st.lists(st.one_of(st.sampled_from(EventKind), st.integers(0, 255)), max_size=4),
)
recorded = st.builds(Entry, st.integers(0, 2**63 - 1), commands, events)


@given(st.lists(anything, max_size=8), chains)
def test_entries_are_sealed_and_written_as_one_by_one(entries: list[Entry], chain: bytes) -> None:
    rows, sealed = sealed_rows(SHARD, EPOCH, entries, chain)
    assert rows.startswith(COPY_BEGIN)
    assert rows.endswith(COPY_END)
    expected = []
    for entry in entries:
        chain = seal(chain, entry.command, entry.events)
        expected.append((SHARD, entry.sequence, EPOCH, entry.command, entry.events, chain))
    assert read_rows(journal, COLUMNS, bytes(rows[len(COPY_BEGIN) : -len(COPY_END)])) == expected
    assert sealed == chain


@pytest.mark.parametrize(("shard", "epoch", "sequence"), [(2**31, 1, 1), (1, 2**63, 1), (1, 1, 2**63), (1, 1, -1)])
def test_what_is_beyond_its_column_is_not_written(shard: int, epoch: int, sequence: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        sealed_rows(shard, epoch, [Entry(sequence, b"", b"")], bytes(CHAIN_SIZE))


@given(st.lists(recorded, max_size=30))
def test_outcomes_are_counted(entries: list[Entry]) -> None:
    assert count_outcomes(entries) == Counter((entry.command[1], is_rejected(entry.events)) for entry in entries)


@pytest.mark.parametrize("size", [0, 1, COMMAND_SIZE - 1, COMMAND_SIZE + 1])
def test_what_is_no_command_is_not_counted(size: int) -> None:
    with pytest.raises(ValueError, match="a command record has"):
        count_outcomes([Entry(1, bytes(size), b"")])
