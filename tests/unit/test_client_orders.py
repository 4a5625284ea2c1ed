"""A client order id is the same order for ever."""

import asyncio
import random

import pytest

from engine.records import Reason
from exchange.contracts import commands
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.corridor import client_orders as client_orders_module
from exchange.corridor.client_orders import BloomFilter, ClientOrders, Key
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
    """Hands out futures and answers them when told."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytearray, asyncio.Future[Entry]]] = []

    def __call__(self, command: bytearray) -> "asyncio.Future[Entry]":
        answer: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self.taken.append((command, answer))
        return answer

    def answer_all(self) -> None:
        for number, (command, answer) in enumerate(self.taken, start=1):
            if not answer.done():
                commands.stamp(command, number, number)
                answer.set_result(Entry(number, bytes(command), b""))


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def known(tables: Tables) -> ClientOrders:
    return ClientOrders(tables.find, lambda: tables.watermark)


async def test_a_hundred_at_once_are_one_order(known: ClientOrders, tables: Tables) -> None:
    submit = Submitter()
    asked = [asyncio.create_task(known.place((2, "id"), order(), submit)) for _ in range(100)]
    await asyncio.sleep(0.01)
    submit.answer_all()
    answers = await asyncio.gather(*asked)
    assert len(submit.taken) == 1
    assert sorted(was_there for _, was_there in answers) == [False] + [True] * 99
    assert {entry.sequence for entry, _ in answers} == {1}


async def test_the_same_id_of_another_account_is_another_order(known: ClientOrders) -> None:
    submit = Submitter()
    asked = [asyncio.create_task(known.place((account, "id"), order(account=account), submit)) for account in (2, 3)]
    await asyncio.sleep(0.01)
    submit.answer_all()
    assert [was_there for _, was_there in await asyncio.gather(*asked)] == [False, False]


async def test_another_order_under_a_used_id_is_refused(known: ClientOrders) -> None:
    submit = Submitter()
    first = asyncio.create_task(known.place((2, "id"), order(1), submit))
    await asyncio.sleep(0.01)
    submit.answer_all()
    await first
    with pytest.raises(Refused) as refused:
        await known.place((2, "id"), order(2), submit)
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
    assert await known.place((2, "old"), order(), submit) == (tables.entries[2, "old"], True)
    with pytest.raises(Refused):
        await known.place((2, "old"), order(7), submit)
    assert submit.taken == []


async def test_a_new_id_asks_the_tables_nothing(known: ClientOrders, tables: Tables) -> None:
    submit = Submitter()
    for number in range(50):
        asyncio.create_task(known.place((2, f"new-{number}"), order(), submit)).add_done_callback(lambda _: None)
    await asyncio.sleep(0.01)
    assert len(submit.taken) == 50
    assert tables.looked_up == []
    submit.answer_all()
    await asyncio.sleep(0)


async def test_an_order_that_was_not_taken_may_be_sent_again(known: ClientOrders) -> None:
    def refuse_all(command: bytearray) -> "asyncio.Future[Entry]":
        raise refuse(EdgeReason.OVERLOADED, "full")

    with pytest.raises(Refused):
        await known.place((2, "id"), order(), refuse_all)
    submit = Submitter()
    again = asyncio.create_task(known.place((2, "id"), order(), submit))
    await asyncio.sleep(0.01)
    submit.answer_all()
    assert (await again)[1] is False


async def test_a_failed_answer_is_forgotten(known: ClientOrders) -> None:
    submit = Submitter()
    first = asyncio.create_task(known.place((2, "id"), order(), submit))
    await asyncio.sleep(0.01)
    submit.taken[0][1].set_exception(refuse(EdgeReason.OUTCOME_UNKNOWN, "lost"))
    with pytest.raises(Refused):
        await first
    again = asyncio.create_task(known.place((2, "id"), order(), submit))
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
        asked = asyncio.create_task(known.place((2, f"id-{number}"), order(), submit))
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
    seen = BloomFilter(bits=1 << 20)
    keys = [(rng.randrange(10**6), f"{rng.getrandbits(64):x}") for _ in range(20_000)]
    for key in keys:
        seen.add(key)
    assert all(key in seen for key in keys)
    others = [(rng.randrange(10**6), f"x{rng.getrandbits(64):x}") for _ in range(20_000)]
    assert sum(key in seen for key in others) < 20
