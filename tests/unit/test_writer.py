"""The path of an order, with a journal that does what the test says."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from engine.matching import Shard
from engine.records import CommandKind, Contingency, EventKind, OrderType, Reason, Side, TimeInForce
from exchange.contracts import commands
from exchange.contracts.events import read_events
from exchange.contracts.refusals import EdgeReason, Refused
from exchange.corridor import writer as writer_module
from exchange.corridor.genesis import genesis
from exchange.corridor.writer import Writer
from exchange.storage.journal import AppendFailed, Entry, Fenced

USD, BTC = 1, 2
GENESIS = len(genesis())
SECOND_NS = 10**9


def after_genesis(count: int) -> list[int]:
    return [GENESIS + number for number in range(1, count + 1)]


class GatedJournal:
    """Appends when the gate is open; fails when told to."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.confirmed = 0

    async def append(self, entries: Sequence[Entry]) -> None:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.entries += entries
        self.batches.append(len(entries))

    async def confirm(self) -> None:
        self.confirmed += 1
        if self.failure is not None:
            raise self.failure


class Scene:
    """A writer over an empty shard, running. Its clock goes on by itself until ``now_ns`` is set."""

    def __init__(self) -> None:
        self.journal = GatedJournal()
        self.published: list[Entry] = []
        self.times = iter(range(10**9))
        self.now_ns: int | None = None
        self.shard = Shard()
        self.writer = Writer(self.journal, self.shard, self.published.extend, self.clock_ns)
        self.running = asyncio.create_task(self.writer.run())

    def clock_ns(self) -> int:
        return next(self.times) if self.now_ns is None else self.now_ns

    def commands_of(self, kind: CommandKind) -> list[Entry]:
        return [entry for entry in self.journal.entries if entry.command[1] == kind]

    async def funded(self, account: int) -> None:
        assets = [commands.deposit(account, asset, 10**15) for asset in (USD, BTC)]
        await asyncio.gather(*[self.writer.submit(command) for command in assets])

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
    assert [entry.sequence for entry in entries] == after_genesis(3)
    kinds = [[event.kind for event in read_events(entry.events)] for entry in entries]
    assert kinds == [[EventKind.DEPOSITED], [EventKind.REJECTED], [EventKind.DEPOSITED]], "a rejection is sequenced too"
    assert scene.published == scene.journal.entries
    assert scene.writer.durable_sequence == GENESIS + 3


async def test_nothing_is_answered_or_published_before_the_journal_has_it(scene: Scene) -> None:
    scene.journal.gate.clear()
    published = len(scene.published)
    answer = scene.writer.submit(commands.deposit(2, USD, 5))
    await scene.settle()
    assert not answer.done()
    assert len(scene.published) == published
    assert scene.writer.durable_sequence == GENESIS
    scene.journal.gate.set()
    assert (await answer).sequence == GENESIS + 1


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
    assert [entry.sequence for entry in entries] == after_genesis(4)


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
    assert [(await answer).sequence for answer in answers] == after_genesis(5)


async def test_a_barrier_waits_for_what_was_submitted_before_it(scene: Scene) -> None:
    assert await scene.writer.barrier() == GENESIS
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
    assert await under_way >= GENESIS + 1
    assert await queued == GENESIS + 2


async def test_a_barrier_is_told_by_the_journal_that_it_still_leads(scene: Scene) -> None:
    assert await scene.writer.barrier() == GENESIS
    assert scene.journal.confirmed == 1
    scene.journal.gate.clear()
    scene.writer.submit(commands.deposit(2, USD, 1))
    await scene.settle()
    waiting = asyncio.create_task(scene.writer.barrier())
    await scene.settle()
    scene.writer.submit(commands.deposit(2, USD, 1))
    scene.journal.gate.set()
    assert await waiting >= GENESIS + 1


async def test_a_leader_that_was_deposed_answers_no_barrier(scene: Scene) -> None:
    scene.journal.failure = Fenced("another leader has taken over")
    with pytest.raises(Refused) as refused:
        await scene.writer.barrier()
    assert refused.value.refusal.reason == EdgeReason.UNAVAILABLE
    with pytest.raises(Fenced):
        await scene.running
    with pytest.raises(Refused):
        await scene.writer.barrier()


async def test_time_never_goes_back(scene: Scene) -> None:
    scene.times = iter((100, 50, 200))
    entries = [await scene.writer.submit(commands.deposit(2, USD, 1)) for _ in range(3)]
    assert [next(read_events(entry.events)).timestamp_ns for entry in entries] == [100, 100, 200]


async def test_a_caller_that_went_away_stops_nobody(scene: Scene) -> None:
    scene.journal.gate.clear()
    gone, other = (asyncio.ensure_future(scene.writer.submit(commands.deposit(2, USD, 1))) for _ in range(2))
    await scene.settle()
    gone.cancel()
    scene.journal.gate.set()
    assert (await other).sequence == GENESIS + 2


# --- What comes together ------------------------------------------------------------------------------------------


async def test_what_is_submitted_together_is_durable_together(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "BATCH_MAX", 4)
    scene.journal.gate.clear()
    first = scene.writer.submit(commands.deposit(2, USD, 1))
    await scene.settle()
    alone = [scene.writer.submit(commands.deposit(2, USD, 1)) for _ in range(3)]
    together = scene.writer.submit_together([commands.deposit(2, USD, 1) for _ in range(7)])
    last = scene.writer.submit(commands.deposit(2, USD, 1))
    scene.journal.gate.set()
    await asyncio.gather(first, *alone, *together, last)
    assert scene.journal.batches[-3:] == [1, 10, 1], "over the bound rather than in two commits"


async def test_of_what_is_submitted_together_all_is_taken_or_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "INBOX_MAX", 5)
    with pytest.raises(Refused) as refused:
        scene.writer.submit_together([commands.deposit(2, USD, 1) for _ in range(6)])
    assert refused.value.refusal.reason == EdgeReason.OVERLOADED
    assert await scene.writer.barrier() == GENESIS


async def test_a_linked_order_names_the_order_before_it(scene: Scene) -> None:
    await scene.funded(7)
    target = limit(7, Side.SELL, 200)
    stop = limit(7, Side.SELL, 90, order_type=OrderType.STOP_LIMIT, trigger_price_ticks=95)
    stop[commands.CONTINGENCY] = Contingency.ONE_CANCELS_OTHER
    first, second = await asyncio.gather(*scene.writer.submit_together([target, stop], linked=True))
    accepted = next(read_events(second.events))
    assert (accepted.kind, accepted.linked_order_id) == (EventKind.ACCEPTED, first.sequence)


# --- The clock ----------------------------------------------------------------------------------------------------


def limit(account: int, side: Side, price_ticks: int, **terms: int) -> bytearray:
    order_type = terms.pop("order_type", OrderType.LIMIT)
    time_in_force = TimeInForce.GTD if "expire_ns" in terms else TimeInForce.GTC
    return commands.place(account, 1, side, order_type, time_in_force, 0, price_ticks, 10**8, **terms)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a timer of the writer is what happens
            await asyncio.sleep(0.005)


async def test_an_order_expires_though_nobody_commands_anything(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "CLOCK_LOOK_S", 0.01)
    await scene.funded(7)
    scene.now_ns = 1_000 * SECOND_NS
    entry = await scene.writer.submit(limit(7, Side.BUY, 100, expire_ns=1_005 * SECOND_NS))
    await asyncio.sleep(0.05)
    assert scene.commands_of(CommandKind.CLOCK) == [], "it is not due yet"
    scene.now_ns = 1_005 * SECOND_NS
    await until(lambda: bool(scene.commands_of(CommandKind.CLOCK)))
    (clock,) = scene.commands_of(CommandKind.CLOCK)
    (expired,) = read_events(clock.events)
    assert (expired.order_id, expired.account, expired.reason) == (entry.sequence, 7, Reason.EXPIRED)
    assert scene.published[-1] == clock
    await asyncio.sleep(0.05)
    assert len(scene.commands_of(CommandKind.CLOCK)) == 1, "nothing is due any more"


async def test_a_command_that_comes_first_takes_the_time_along(scene: Scene) -> None:
    await scene.funded(7)
    scene.now_ns = 1_000 * SECOND_NS
    order = await scene.writer.submit(limit(7, Side.BUY, 100, expire_ns=1_005 * SECOND_NS))
    scene.now_ns = 1_006 * SECOND_NS
    entry = await scene.writer.submit(commands.deposit(2, USD, 5))
    expired, deposited = read_events(entry.events)
    assert (expired.kind, expired.order_id) == (EventKind.CANCELLED, order.sequence)
    assert deposited.kind == EventKind.DEPOSITED
    assert scene.commands_of(CommandKind.CLOCK) == []


async def test_clocks_are_bounded_in_their_rate(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "CLOCK_EVERY_S", 0.2)
    await scene.funded(7)
    scene.now_ns = SECOND_NS
    expiries = [limit(7, Side.BUY, 100, expire_ns=SECOND_NS + number) for number in range(1, 4)]
    await asyncio.gather(*[scene.writer.submit(command) for command in expiries])
    scene.now_ns = SECOND_NS + 1
    await until(lambda: bool(scene.commands_of(CommandKind.CLOCK)))
    scene.now_ns = SECOND_NS + 3
    await until(lambda: len(scene.commands_of(CommandKind.CLOCK)) == 2)
    assert scene.shard.next_due_ns is None


async def test_a_command_without_events_is_an_entry_like_others(scene: Scene) -> None:
    clock = await scene.writer.submit(commands.clock())
    after = await scene.writer.submit(commands.deposit(2, USD, 5))
    assert (clock.events, clock.sequence) == (b"", GENESIS + 1)
    assert [event.kind for event in read_events(after.events)] == [EventKind.DEPOSITED]


async def test_a_writer_that_stops_leaves_no_alarm_behind(scene: Scene) -> None:
    await scene.funded(7)
    scene.now_ns = SECOND_NS
    await scene.writer.submit(limit(7, Side.BUY, 100, expire_ns=2 * SECOND_NS))
    scene.writer.stop()
    await scene.running
    assert scene.writer._alarm is None
