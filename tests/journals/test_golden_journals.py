"""What a released engine made of a command is what every later engine makes of it: the same events, the same state."""

import pytest

from engine.records import COMMAND_SIZE, EVENT, EVENT_SIZE, LAYOUT_VERSION, EventKind
from tests.journals import record
from tests.support import golden
from tests.support.commands import read_events
from tests.support.engines import ENGINES, Shard, load_engine
from tests.support.golden import GoldenJournal, final_state, stops

SEQUENCE_AT = EVENT.fields["sequence"][1]  # type: ignore[index]


@pytest.fixture(scope="module", params=golden.names())
def journal(request: pytest.FixtureRequest) -> GoldenJournal:
    return golden.read(request.param)


def _events_until(journal: GoldenJournal, at: int, sequence: int) -> int:
    """Where the events of later commands than this one begin, in bytes, looking from `at` on."""
    while at < len(journal.events):
        found = int.from_bytes(journal.events[at + SEQUENCE_AT : at + SEQUENCE_AT + 8], "little")
        if found > sequence:
            break
        at += EVENT_SIZE
    return at


def _first_difference(found: bytes, recorded: bytes) -> str:
    """The first event that is another, in words."""
    for at in range(0, max(len(found), len(recorded)), EVENT_SIZE):
        pair = [data[at : at + EVENT_SIZE] for data in (recorded, found)]
        if pair[0] != pair[1]:
            was, now = (read_events(event)[0] if event else "nothing" for event in pair)
            return f"recorded: {was}\nnow:      {now}"
    return "nothing"


def go_on(shard: Shard, journal: GoldenJournal) -> None:
    """Apply the rest of the journal, compare events and digests at every stop, and the state at the end."""
    at = _events_until(journal, 0, shard.sequence)
    for stop in stops(journal.count):
        if stop <= shard.sequence:
            continue
        until = _events_until(journal, at, stop)
        found, recorded = shard.apply(journal.batch(shard.sequence, stop)), journal.events[at:until]
        if found != recorded:
            raise AssertionError(f"another event before sequence {stop}:\n{_first_difference(found, recorded)}")
        assert shard.digest() == journal.digest_at(stop), f"another state at sequence {stop}, after the same events"
        at = until
    assert at == len(journal.events)
    assert final_state(shard, [int(market) for market in journal.final["books"]]) == journal.final


@pytest.mark.parametrize("engine", ENGINES)
def test_the_recorded_commands_cause_the_recorded_events_and_states(engine: str, journal: GoldenJournal) -> None:
    go_on(load_engine(engine).Shard(), journal)


def test_a_recorded_snapshot_is_restored_and_goes_on_to_the_same_end(journal: GoldenJournal) -> None:
    middle, end = journal.snapshots
    assert 0 < middle < end == journal.count
    for sequence, image in journal.snapshots.items():
        shard = load_engine("matching").Shard.restore(image)
        assert (shard.sequence, shard.digest()) == (sequence, journal.digest_at(sequence))
        go_on(shard, journal)


def test_a_restored_shard_can_be_saved_and_restored_again(journal: GoldenJournal) -> None:
    Shard = load_engine("matching").Shard  # noqa: N806
    for image in journal.snapshots.values():
        go_on(Shard.restore(Shard.restore(image).snapshot()), journal)


def test_the_journals_of_every_released_version_are_there() -> None:
    recorded = [golden.read(name) for name in golden.names()]
    assert {"version-1-mixed", "version-1-bounds", "version-1-demo"} <= {journal.name for journal in recorded}
    for journal in recorded:
        assert journal.layout_version <= LAYOUT_VERSION
        assert journal.count == journal.final["sequence"] > 1_000
        seen = {event.kind for event in read_events(journal.events)}
        assert seen > {EventKind.ACCEPTED, EventKind.TRADED, EventKind.CANCELLED, EventKind.REJECTED}


def test_a_command_that_does_something_else_is_found_out(journal: GoldenJournal) -> None:
    commands = bytearray(journal.commands)
    place = next(at for at in range(0, len(commands), COMMAND_SIZE) if commands[at + 1] == 5)
    commands[place + 2] ^= 3  # buy for sell
    changed = GoldenJournal(**{**vars(journal), "commands": bytes(commands)})
    with pytest.raises(AssertionError, match="another event before sequence"):
        go_on(load_engine("matching").Shard(), changed)


def test_what_is_recorded_is_never_replaced(journal: GoldenJournal) -> None:
    before = golden.path_of(journal.name).read_bytes()
    with pytest.raises(FileExistsError):
        golden.write(journal)
    assert golden.path_of(journal.name).read_bytes() == before


def test_a_journal_that_is_recorded_anew_reads_back_as_it_was_written(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    made = record.record("bounds", "a commit")
    golden.write(made)
    assert golden.names() == [made.name]
    assert golden.read(made.name) == made
