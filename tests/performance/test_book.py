"""The bare book: exact on every flow, within its bounds of time and memory; `make bench` measures it."""

from typing import Any

import pytest

from engine.matching import Book
from engine.records import Side
from tests.performance.bare_book import bytes_an_order
from tests.performance.drive import empty_calls, flow_of, our_batch, our_calls
from tests.performance.workloads import play, workload
from tests.performance.yardsticks import empty
from tests.support.slow_book import SlowBook

SHORT = {"realistic": 30_000, "sweep": 20_000, "deep": 39_000}
CALL_MAX = {"realistic": 7, "sweep": 11}  # empty calls that an operation may cost: twice the aim
BATCH_MAX = {"realistic": 2, "sweep": 3.2}


@pytest.mark.parametrize("name", SHORT)
def test_calls_and_batches_make_the_trades_of_the_slow_book(name: str) -> None:
    operations = workload(name, SHORT[name])
    slow, batch, calls = SlowBook(), Book(), Book()
    expected = play(slow, operations)
    trades, refused = batch.apply(operations)
    assert trades.tolist() == expected
    assert len(refused) == 0
    called = []
    for kind, order_id, side, price_ticks, quantity_lots in flow_of(operations):
        if kind == 1:
            called += calls.limit(order_id, side, price_ticks, quantity_lots) or ()
        elif kind == 2:
            called += calls.market(order_id, side, quantity_lots)
        elif kind == 3:
            assert calls.cancel(order_id) > 0
        else:
            called += calls.replace(order_id, price_ticks, quantity_lots) or ()
    assert called == expected
    for side in Side:
        assert batch.orders(side) == calls.orders(side) == slow.orders(side)


@pytest.mark.parametrize("name", CALL_MAX)
def test_an_operation_costs_a_few_empty_calls(name: str) -> None:
    operations = workload(name, SHORT[name])
    flow = flow_of(operations)
    for _ in range(3):  # the machine may be busy
        rounds = range(5)
        unit = min(empty_calls(empty(), flow) for _ in rounds)
        call = min(our_calls(Book(), flow) for _ in rounds) / unit
        batch = min(our_batch(Book(), operations) for _ in rounds) / unit
        if call <= CALL_MAX[name] and batch <= BATCH_MAX[name]:
            return
    pytest.fail(f"{call:.1f} empty calls a call, {batch:.1f} in a batch")


@pytest.mark.parametrize("count", [100_000, 292_000, 300_000])  # of the last two, the tables grow between
def test_a_resting_order_takes_at_most_64_bytes(count: int) -> None:
    assert bytes_an_order(count) <= 64


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("way", ["calls", "batch"])
def test_speed(benchmark: Any, name: str, way: str) -> None:
    """A whole flow; a short one where nothing is measured."""
    operations = workload(name, SHORT[name] if benchmark.disabled else None)
    flow = flow_of(operations) if way == "calls" else []

    def run(book: Book) -> Book:
        if way == "calls":
            our_calls(book, flow)
        else:
            our_batch(book, operations)
        return book

    book = benchmark.pedantic(run, setup=lambda: ((Book(),), {}), rounds=1 if benchmark.disabled else 5)
    benchmark.extra_info["operations"] = len(operations)
    assert len(book) > 0
