"""The path of an order, with a journal that does what the test says."""

import asyncio
from collections.abc import Sequence

import pytest

from engine.matching import Shard
from engine.records import EventKind
from exchange.contracts import commands
from exchange.contracts.events import read_events
from exchange.contracts.refusals import EdgeReason, Refused
from exchange.corridor import writer as writer_module
from exchange.corridor.genesis import genesis
from exchange.corridor.writer import Writer
from exchange.storage.journal import AppendFailed, Entry

USD = 1


class GatedJournal:
    """Appends when the gate is open; fails when told to."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def append(self, entries: Sequence[Entry]) -> None:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.entries += entries
        self.batches.append(len(entries))


class Scene:
    """A writer over an empty shard, running."""

    def __init__(self) -> None:
        self.journal = GatedJournal()
        self.published: list[Entry] = []
        self.times = iter(range(10**9))
        self.writer = Writer(self.journal, Shard(), self.published.extend, lambda: next(self.times))
        self.running = asyncio.create_task(self.writer.run())

    async def open_market(self) -> None:
        await asyncio.gather(*[self.writer.submit(command) for command in genesis()])

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.open_market()
    return scene


async def test_commands_get_consecutive_sequences_and_their_own_events(scene: Scene) -> None:
    entries = await asyncio.gather(*[scene.writer.submit(commands.deposit(2, USD, amount)) for amount in (7, 0, 9)])
    assert [entry.sequence for entry in entries] == [6, 7, 8]
    kinds = [[event.kind for event in read_events(entry.events)] for entry in entries]
    assert kinds == [[EventKind.DEPOSITED], [EventKind.REJECTED], [EventKind.DEPOSITED]], "a rejection is sequenced too"
    assert scene.published == scene.journal.entries
    assert scene.writer.durable_sequence == 8


async def test_nothing_is_answered_or_published_before_the_journal_has_it(scene: Scene) -> None:
    scene.journal.gate.clear()
    published = len(scene.published)
    answer = scene.writer.submit(commands.deposit(2, USD, 5))
    await scene.settle()
    assert not answer.done()
    assert len(scene.published) == published
    assert scene.writer.durable_sequence == 5
    scene.journal.gate.set()
    assert (await answer).sequence == 6


async def test_what_comes_in_during_an_append_shares_the_next_one(scene: Scene) -> None:
    scene.journal.gate.clear()
    first = scene.writer.submit(commands.deposit(2, USD, 1))
    await scene.settle()
    others = [scene.writer.submit(commands.deposit(2, USD, 1)) for _ in range(50)]
    scene.journal.gate.set()
    await asyncio.gather(first, *others)
    assert scene.journal.batches[-2:] == [1, 50]


async def test_a_batch_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "BATCH_MAX", 8)
    scene.journal.gate.clear()
    answers = [scene.writer.submit(commands.deposit(2, USD, 1)) for _ in range(20)]
    scene.journal.gate.set()
    await asyncio.gather(*answers)
    assert scene.journal.batches[-3:] == [8, 8, 4]


async def test_a_full_inbox_refuses_and_queues_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "INBOX_MAX", 3)
    scene.journal.gate.clear()
    under_way = scene.writer.submit(commands.deposit(2, USD, 1))
    await scene.settle()
    waiting = [scene.writer.submit(commands.deposit(2, USD, 1)) for _ in range(3)]
    with pytest.raises(Refused) as refused:
        scene.writer.submit(commands.deposit(2, USD, 1))
    assert refused.value.refusal.reason == EdgeReason.OVERLOADED
    scene.journal.gate.set()
    entries = await asyncio.gather(under_way, *waiting)
    assert [entry.sequence for entry in entries] == [6, 7, 8, 9]


async def test_a_failed_append_halts_with_unknown_outcomes_and_untaken_commands_told_apart(scene: Scene) -> None:
    scene.journal.gate.clear()
    scene.journal.failure = AppendFailed("the connection broke")
    taken = scene.writer.submit(commands.deposit(2, USD, 1))
    await scene.settle()
    waiting = scene.writer.submit(commands.deposit(2, USD, 1))
    published = len(scene.published)
    scene.journal.gate.set()
    with pytest.raises(AppendFailed):
        await scene.running
    with pytest.raises(Refused) as unknown:
        await taken
    with pytest.raises(Refused) as untaken:
        await waiting
    with pytest.raises(Refused) as late:
        scene.writer.submit(commands.deposit(2, USD, 1))
    reasons = [failure.value.refusal.reason for failure in (unknown, untaken, late)]
    assert reasons == [EdgeReason.OUTCOME_UNKNOWN, EdgeReason.UNAVAILABLE, EdgeReason.UNAVAILABLE]
    assert len(scene.published) == published


async def test_what_is_durable_is_answered_even_when_telling_others_fails() -> None:
    journal = GatedJournal()

    def fail(entries: Sequence[Entry]) -> None:
        raise KeyError("a defect")

    writer = Writer(journal, Shard(), fail)
    running = asyncio.create_task(writer.run())
    answer = writer.submit(genesis()[0])
    with pytest.raises(KeyError):
        await running
    assert (await answer).sequence == 1


async def test_stopping_finishes_what_was_taken(scene: Scene) -> None:
    scene.journal.gate.clear()
    answers = [scene.writer.submit(commands.deposit(2, USD, 1)) for _ in range(5)]
    scene.writer.stop()
    with pytest.raises(Refused):
        scene.writer.submit(commands.deposit(2, USD, 1))
    scene.journal.gate.set()
    await scene.running
    assert [(await answer).sequence for answer in answers] == [6, 7, 8, 9, 10]


async def test_a_barrier_waits_for_what_was_submitted_before_it(scene: Scene) -> None:
    assert await scene.writer.barrier() == 5
    scene.journal.gate.clear()
    scene.writer.submit(commands.deposit(2, USD, 1))
    await scene.settle()
    under_way = asyncio.create_task(scene.writer.barrier())
    scene.writer.submit(commands.deposit(2, USD, 1))
    queued = asyncio.create_task(scene.writer.barrier())
    await scene.settle()
    assert not under_way.done()
    assert not queued.done()
    scene.journal.gate.set()
    assert await under_way >= 6
    assert await queued == 7


async def test_time_never_goes_back(scene: Scene) -> None:
    scene.times = iter((100, 50, 200))
    entries = [await scene.writer.submit(commands.deposit(2, USD, 1)) for _ in range(3)]
    assert [next(read_events(entry.events)).timestamp_ns for entry in entries] == [100, 100, 200]


async def test_a_caller_that_went_away_stops_nobody(scene: Scene) -> None:
    scene.journal.gate.clear()
    gone, other = (scene.writer.submit(commands.deposit(2, USD, 1)) for _ in range(2))
    await scene.settle()
    gone.cancel()
    scene.journal.gate.set()
    assert (await other).sequence == 7
