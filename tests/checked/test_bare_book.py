"""A bare book whose memory runs out is as it was before the call, and goes on when there is memory again."""

from pathlib import Path

import numpy as np
import pytest

from engine.book_records import OPERATION, OperationKind
from engine.matching import Book, bare
from engine.records import Side, TimeInForce
from tests.checked.allocator import Allocator
from tests.performance.workloads import Operations, play
from tests.support.slow_book import SlowBook

ORDERS = 1_200


@pytest.fixture(scope="module")
def allocator() -> Allocator:
    """The bare book's own."""
    return Allocator(Path(bare.__file__))


def outgrowing() -> Operations:
    """Operations that outgrow the records of orders, the tables of ids and the ladders; then some trade."""
    operations = np.zeros(ORDERS + 2, OPERATION)
    operations["kind"][:ORDERS], operations["time_in_force"] = OperationKind.LIMIT, TimeInForce.GTC
    operations["kind"][ORDERS:] = OperationKind.MARKET
    operations["order_id"] = np.arange(1, ORDERS + 3)
    operations["quantity_lots"][:ORDERS], operations["quantity_lots"][ORDERS:] = 2, ORDERS // 3
    operations["side"] = np.where(operations["order_id"] % 2, Side.BUY, Side.SELL)
    across = operations["order_id"] * 37 % 9_999
    operations["price_ticks"] = np.where(operations["side"] == Side.BUY, 10_000, 20_000) + across
    return operations


def all_orders(book: Book | SlowBook) -> list[tuple[int, int, int]]:
    return book.orders(Side.BUY) + book.orders(Side.SELL)


def all_orders_after(operations: Operations) -> list[tuple[int, int, int]]:
    book = SlowBook()
    play(book, operations)
    return all_orders(book)


def live_through(operations: Operations) -> int:
    """Do all operations, the one that finds no memory a second time. Returns how often that happened: once or never."""
    try:
        book = Book()
    except MemoryError:
        return 1
    failures = 0
    for at in range(len(operations)):
        operation = operations[at : at + 1]
        try:
            book.apply(operation)
        except MemoryError:
            failures += 1
            assert all_orders(book) == all_orders_after(operations[:at])
            book.apply(operation)
    assert all_orders(book) == all_orders_after(operations)
    return failures


def test_an_allocation_that_fails_leaves_the_book_as_it_was_and_nothing_behind(allocator: Allocator) -> None:
    operations, before = outgrowing(), allocator.blocks_live()
    number, failed = 0, 1
    while failed:
        number += 1
        with allocator.failing(number):
            failed = live_through(operations)
        assert allocator.blocks_live() == before, f"allocation {number} failed, and something was left behind"
    assert number > 200
