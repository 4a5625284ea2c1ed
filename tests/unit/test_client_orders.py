"""A client order id is the same order for ever."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from engine.orders.batches import Answer, deliver, fail
from engine.orders.seen import BloomFilter
from engine.records import CommandKind, Contingency, Reason, SelfTrade
from exchange.contracts import commands
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.corridor import client_orders as client_orders_module
from exchange.corridor.client_orders import ClientOrders, Key, Result, Submit
from exchange.storage.journal import Entry


def order(quantity_lots: int = 1, account: int = 2) -> bytearray:
    return commands.place(account, 1, 1, 2, 1, 0, 100, quantity_lots, b"id")


class Tables:
    """What the tables know: entries by key, up to a watermark."""

    def __init__(self) -> None:
        self.entries: dict[Key, Entry] = {}
        self.watermark = 0
        self.looked_up: list[Key] = []

    async def find(self, account: int, client_order_id: str) -> Entry | None:
        self.looked_up.append((account, client_order_id))
        await asyncio.sleep(0)
        return self.entries.get((account, client_order_id))


class Submitter:
    """Hands out answers, and gives them when told."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytearray, Answer[Entry]]] = []

    def __call__(self, command: bytearray) -> Answer[Entry]:
        answer: Answer[Entry] = Answer(command)
        self.taken.append((command, answer))
        return answer

    def answer_all(self) -> None:
        for number, (command, answer) in enumerate(self.taken, start=1):
            if not answer.done():
                commands.stamp(command, number, number)
                deliver([answer], [Entry(number, bytes(command), b"")])


async def placed(known: ClientOrders, key: Key, command: bytearray, submit: Submit) -> Result:
    return await (await known.begin(key, command, submit)).result()


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def known(tables: Tables) -> ClientOrders:
    return ClientOrders(tables.find, lambda: tables.watermark)


async def test_a_hundred_at_once_are_one_order(known: ClientOrders, tables: Tables) -> None:
    submit = Submitter()
    asked = [asyncio.create_task(placed(known, (2, "id"), order(), submit)) for _ in range(100)]
    await asyncio.sleep(0.01)
    submit.answer_all()
    answers = await asyncio.gather(*asked)
    assert len(submit.taken) == 1
    assert sorted(was_there for _, was_there in answers) == [False] + [True] * 99
    assert {entry.sequence for entry, _ in answers} == {1}


async def test_the_same_id_of_another_account_is_another_order(known: ClientOrders) -> None:
    submit = Submitter()
    asked = [asyncio.create_task(placed(known, (account, "id"), order(account=account), submit)) for account in (2, 3)]
    await asyncio.sleep(0.01)
    submit.answer_all()
    assert [was_there for _, was_there in await asyncio.gather(*asked)] == [False, False]


async def test_another_order_under_a_used_id_is_refused(known: ClientOrders) -> None:
    submit = Submitter()
    first = asyncio.create_task(placed(known, (2, "id"), order(1), submit))
    await asyncio.sleep(0.01)
    submit.answer_all()
    await first
    with pytest.raises(Refused) as refused:
        await placed(known, (2, "id"), order(2), submit)
    assert refused.value.refusal.reason == Reason.CLIENT_ORDER_ID_REUSED
    assert len(submit.taken) == 1


async def test_an_id_from_before_the_start_is_found_in_the_tables(known: ClientOrders, tables: Tables) -> None:
    async def ids() -> "asyncio.AsyncIterator[Key]":  # type: ignore[name-defined]
        yield (2, "old")

    await known.load(ids())
    command = order()
    commands.stamp(command, 5, 5)
    tables.entries[2, "old"] = Entry(5, bytes(command), b"")
    submit = Submitter()
    assert await placed(known, (2, "old"), order(), submit) == (tables.entries[2, "old"], True)
    with pytest.raises(Refused):
        await placed(known, (2, "old"), order(7), submit)
    assert submit.taken == []


async def test_a_new_id_asks_the_tables_nothing(known: ClientOrders, tables: Tables) -> None:
    submit = Submitter()
    for number in range(50):
        asyncio.create_task(placed(known, (2, f"new-{number}"), order(), submit)).add_done_callback(lambda _: None)
    await asyncio.sleep(0.01)
    assert len(submit.taken) == 50
    assert tables.looked_up == []
    submit.answer_all()
    await asyncio.sleep(0)


async def test_an_order_that_was_not_taken_may_be_sent_again(known: ClientOrders) -> None:
    def refuse_all(command: bytearray) -> Answer[Entry]:
        raise refuse(EdgeReason.OVERLOADED, "full")

    with pytest.raises(Refused):
        await placed(known, (2, "id"), order(), refuse_all)
    submit = Submitter()
    again = asyncio.create_task(placed(known, (2, "id"), order(), submit))
    await asyncio.sleep(0.01)
    submit.answer_all()
    assert (await again)[1] is False


async def test_a_failed_answer_is_forgotten(known: ClientOrders) -> None:
    submit = Submitter()
    first = asyncio.create_task(placed(known, (2, "id"), order(), submit))
    await asyncio.sleep(0.01)
    fail([submit.taken[0][1]], refuse(EdgeReason.OUTCOME_UNKNOWN, "lost"))
    with pytest.raises(Refused):
        await first
    again = asyncio.create_task(placed(known, (2, "id"), order(), submit))
    await asyncio.sleep(0.01)
    assert len(submit.taken) == 2
    submit.answer_all()
    await again


async def test_memory_is_bounded_and_never_forgets_what_the_tables_lack(
    known: ClientOrders, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_orders_module, "RECENT_MAX", 10)
    submit = Submitter()

    async def place(number: int) -> tuple[Entry, bool]:
        asked = asyncio.create_task(placed(known, (2, f"id-{number}"), order(), submit))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        submit.answer_all()
        return await asked

    for number in range(30):
        await place(number)
    assert await place(0) == (Entry(1, bytes(submit.taken[0][0]), b""), True), "not in the tables yet: still remembered"
    tables.watermark = 30
    for number in range(30, 33):
        await place(number)
    assert len(known._recent) == 10
    tables.entries[2, "id-0"] = Entry(1, bytes(submit.taken[0][0]), b"")
    assert (await place(0))[1] is True
    assert tables.looked_up == [(2, "id-0")]


def test_the_filter_forgets_nothing_and_rarely_errs() -> None:
    rng = random.Random(1)
    seen = BloomFilter(bits=1 << 20, hashes=4)
    keys = [(rng.randrange(10**6), f"{rng.getrandbits(64):x}") for _ in range(20_000)]
    for key in keys:
        seen.add(key)
    assert all(key in seen for key in keys)
    others = [(rng.randrange(10**6), f"x{rng.getrandbits(64):x}") for _ in range(20_000)]
    assert sum(key in seen for key in others) < 20
    with pytest.raises(ValueError, match="power of two"):
        BloomFilter(bits=1_000, hashes=4)


# --- Several at once ----------------------------------------------------------------------------------------------


class Together(Submitter):
    """Takes several in one call."""

    def all(self, batch: Sequence[bytearray]) -> list[Answer[Entry]]:
        return [self(command) for command in batch]


def named(name: str | None, quantity_lots: int = 1) -> tuple[Key | None, bytearray]:
    encoded = (name or "").encode()
    return (None if name is None else (2, name)), commands.place(2, 1, 1, 2, 1, 0, 100, quantity_lots, encoded)


async def placed_all(known: ClientOrders, submit: Together, *requests: tuple[Key | None, bytearray]) -> list[object]:
    placing = asyncio.create_task(results_of(known, requests, submit))
    await asyncio.sleep(0.01)
    submit.answer_all()
    return [
        result.refusal.reason if isinstance(result, Refused) else (result[0].sequence, result[1])
        for result in await placing
    ]


async def results_of(
    known: ClientOrders, requests: Sequence[tuple[Key | None, bytearray]], submit: Together, *, linked: bool = False
) -> "list[Result | Refused]":
    results: list[Result | Refused] = []
    for placing in await known.begin_all(requests, submit.all, linked=linked):
        try:
            results.append(await placing.result())
        except Refused as refused:
            results.append(refused)
    return results


async def test_of_several_the_new_ones_are_submitted_together_and_the_others_found(
    known: ClientOrders, tables: Tables
) -> None:
    submit = Together()
    first = await placed_all(known, submit, named("a"), named(None), named("b"))
    assert first == [(1, False), (2, False), (3, False)]
    again = await placed_all(known, submit, named("c"), named("a"), named("b", 7), named(None))
    assert again == [(4, False), (1, True), Reason.CLIENT_ORDER_ID_REUSED, (5, False)]


async def test_an_id_twice_in_one_batch_is_one_order(known: ClientOrders) -> None:
    submit = Together()
    found = await placed_all(known, submit, named("a"), named("a"), named("a", 9))
    assert found == [(1, False), (1, True), Reason.CLIENT_ORDER_ID_REUSED]


async def test_two_batches_of_the_same_ids_at_once_are_one(known: ClientOrders) -> None:
    submit = Together()
    requests = [named("a"), named("b")]
    both = asyncio.gather(*[results_of(known, requests, submit) for _ in range(2)])
    await asyncio.sleep(0.01)
    submit.answer_all()
    for results in await both:
        assert [result[0].sequence for result in results if not isinstance(result, Refused)] == [1, 2]
    assert len(submit.taken) == 2


async def test_a_list_was_placed_as_a_whole_or_is_refused(known: ClientOrders) -> None:
    submit = Together()
    legs = [named("a"), named("b")]
    placing = asyncio.create_task(results_of(known, legs, submit, linked=True))
    await asyncio.sleep(0.01)
    submit.answer_all()
    first = await placing
    assert await results_of(known, legs, submit, linked=True) == [(entry, True) for entry, _ in first]  # type: ignore[misc]
    with pytest.raises(Refused) as refused:
        await results_of(known, [named("a"), named("new")], submit, linked=True)
    assert refused.value.refusal.reason == Reason.CLIENT_ORDER_ID_REUSED
    assert len(submit.taken) == 2


async def test_what_cannot_be_submitted_together_is_refused_as_one_and_forgotten(known: ClientOrders) -> None:
    def refuse_all(batch: Sequence[bytearray]) -> list[Answer[Entry]]:
        raise refuse(EdgeReason.OVERLOADED, "full")

    with pytest.raises(Refused):
        await known.begin_all([named("a"), named("b")], refuse_all)
    assert await placed_all(known, Together(), named("a")) == [(1, False)]


# --- What is the same order ---------------------------------------------------------------------------------------


def test_the_sequencers_fields_and_the_order_that_a_linked_one_names_are_not_asked_for() -> None:
    linked = commands.place(2, 1, 2, 4, 1, 0, 100, 1, b"id", contingency=Contingency.ONE_CANCELS_OTHER)
    before = client_orders_module.what_is_asked(linked)
    commands.link(linked, 41)
    commands.stamp(linked, 42, 43)
    assert client_orders_module.what_is_asked(linked) == before
    replacing = commands.place(2, 1, 2, 2, 1, 0, 100, 1, b"id", kind=CommandKind.CANCEL_REPLACE, order_id=7)
    other = commands.place(2, 1, 2, 2, 1, 0, 100, 1, b"id", kind=CommandKind.CANCEL_REPLACE, order_id=8)
    assert client_orders_module.what_is_asked(replacing) != client_orders_module.what_is_asked(other)


async def test_an_order_of_version_1_is_found_whatever_self_trade_prevention_is_asked_for_today(
    known: ClientOrders, tables: Tables
) -> None:
    async def ids() -> "asyncio.AsyncIterator[Key]":  # type: ignore[name-defined]
        yield (2, "old")

    await known.load(ids())
    old = commands.place(2, 1, 1, 2, 1, 0, 100, 1, b"old")
    old[commands.VERSION] = 1
    commands.stamp(old, 5, 5)
    tables.entries[2, "old"] = Entry(5, bytes(old), b"")
    asked = commands.place(2, 1, 1, 2, 1, 0, 100, 1, b"old", self_trade=SelfTrade.CANCEL_NEWEST)
    assert (await placed(known, (2, "old"), asked, Submitter()))[1] is True
    with pytest.raises(Refused):
        await placed(known, (2, "old"), commands.place(2, 1, 1, 2, 1, 0, 101, 1, b"old"), Submitter())


async def test_of_several_whose_first_answer_was_lost_the_tables_are_asked(known: ClientOrders, tables: Tables) -> None:
    submit = Together()
    lost = asyncio.create_task(results_of(known, [named("a"), named("b")], submit))
    await asyncio.sleep(0.01)
    for _, answer in submit.taken:
        fail([answer], refuse(EdgeReason.OUTCOME_UNKNOWN, "lost"))
    assert {refused.refusal.reason for refused in await lost} == {EdgeReason.OUTCOME_UNKNOWN}  # type: ignore[union-attr]
    command = named("a")[1]
    commands.stamp(command, 5, 5)
    tables.entries[2, "a"] = Entry(5, bytes(command), b"")  # it was durable all the same
    submit = Together()
    again = asyncio.create_task(results_of(known, [named("a"), named("b")], submit))
    await asyncio.sleep(0.01)
    assert len(submit.taken) == 1
    submit.answer_all()
    assert [result[1] for result in await again if not isinstance(result, Refused)] == [True, False]


async def test_what_is_forgotten_while_others_are_looked_up_is_no_new_order(
    known: ClientOrders, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_orders_module, "RECENT_MAX", 1)
    submit, tables.watermark = Submitter(), 1_000
    first = await known.begin((2, "a"), order(), submit)
    submit.answer_all()
    known._seen.add((2, "b"))

    async def find(account: int, client_order_id: str) -> Entry | None:
        await known.begin((2, "c"), order(), submit)  # now only this one is remembered
        return None

    monkeypatch.setattr(known, "_find", find)
    again, fresh = await known.begin_all(
        [((2, "a"), order()), ((2, "b"), order())], lambda batch: [submit(command) for command in batch]
    )
    submit.answer_all()
    assert [(await placing.result())[1] for placing in (first, again, fresh)] == [False, True, False]
    assert len(submit.taken) == 3


async def test_what_is_being_looked_up_is_waited_for(known: ClientOrders, monkeypatch: pytest.MonkeyPatch) -> None:
    submit, gate = Submitter(), asyncio.Event()
    known._seen.add((2, "a"))

    async def find(account: int, client_order_id: str) -> Entry | None:
        await gate.wait()
        return None

    monkeypatch.setattr(known, "_find", find)
    placing = asyncio.create_task(known.begin((2, "a"), order(), submit))
    await asyncio.sleep(0)
    settling = asyncio.create_task(known.settled())
    await asyncio.sleep(0.01)
    assert not settling.done()
    gate.set()
    await settling
    assert len(submit.taken) == 1, "by then it is submitted"
    await placing
