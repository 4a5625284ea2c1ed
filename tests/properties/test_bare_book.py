"""The bare book against the slow one, whatever happens to it: every answer, and the whole book after every step.

A cancelled order leaves its queue with the next call, and who looks makes one. So there are two: one is looked at after
every step, the other is left alone until the end.
"""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.book_records import OPERATION, OperationKind, Refusal
from engine.matching import Book
from engine.records import PRICE_TICKS_MAX, Side
from tests.properties.strategies import int64, unsigned
from tests.support.slow_book import SlowBook

# Few ids and prices, so that orders meet; prices on both sides of where the ladder's leaves and nodes meet; any number.
IDS = st.integers(0, 15) | st.sampled_from([2**32, 2**63, 2**64 - 1])
SIDES = st.sampled_from(Side)
PRICES = st.integers(61, 67) | st.sampled_from([1, 2**6, 2**12 - 1, 2**12, 2**18, 2**24, 2**30, 2**31, PRICE_TICKS_MAX])
LOTS = st.integers(1, 9) | st.sampled_from([2**31, 2**62 - 1])
TIMES_IN_FORCE = st.sampled_from([1, 1, 1, 3, 4])
FLAGS = st.sampled_from([0, 0, 0, 1])
ANSWERED = {Refusal.POST_ONLY_WOULD_CROSS, Refusal.FOK_NOT_FILLABLE, Refusal.UNKNOWN_ORDER}


def answer_of(call: Any, *arguments: int) -> Any:
    """What a call answers, with "error" for a ValueError."""
    try:
        return call(*arguments)
    except ValueError:
        return "error"


def expected(answer: Any) -> Any:
    """What the fast book's call answers where the slow book answered this."""
    if isinstance(answer, Refusal):
        return None if answer in ANSWERED else "error"
    return tuple(answer)


class BareBookMachine(RuleBasedStateMachine):
    """One operation a step, by call or in a batch of one; and batches of many."""

    def __init__(self) -> None:
        super().__init__()
        self.watched, self.unwatched, self.slow = Book(), Book(), SlowBook()
        self.books = (self.watched, self.unwatched)

    @rule(order_id=IDS, side=SIDES, price=PRICES, lots=LOTS, time_in_force=TIMES_IN_FORCE, flags=FLAGS)
    def limit(self, order_id: int, side: int, price: int, lots: int, time_in_force: int, flags: int) -> None:
        arguments = (order_id, side, price, lots, time_in_force, flags)
        answer = expected(self.slow.limit(*arguments))
        assert [answer_of(book.limit, *arguments) for book in self.books] == [answer, answer]

    @rule(order_id=IDS, side=SIDES, lots=LOTS)
    def market(self, order_id: int, side: int, lots: int) -> None:
        arguments = (order_id, side, lots)
        answer = expected(self.slow.market(*arguments))
        assert [answer_of(book.market, *arguments) for book in self.books] == [answer, answer]

    @rule(order_id=IDS)
    def cancel(self, order_id: int) -> None:
        answer = self.slow.cancel(order_id)
        lots = 0 if isinstance(answer, Refusal) else answer
        assert [book.cancel(order_id) for book in self.books] == [lots, lots]

    @rule(order_id=IDS, price=PRICES, lots=LOTS)
    def replace(self, order_id: int, price: int, lots: int) -> None:
        arguments = (order_id, price, lots)
        answer = expected(self.slow.replace(*arguments))
        assert [answer_of(book.replace, *arguments) for book in self.books] == [answer, answer]

    @rule(order_id=unsigned(64), numbers=st.tuples(int64(), int64(), int64(), int64(), int64()))
    def anything(self, order_id: int, numbers: tuple[int, int, int, int, int]) -> None:
        self.limit(order_id, *numbers)
        self.market(order_id, *numbers[:2])
        self.replace(order_id, *numbers[2:4])

    @rule(
        rows=st.lists(
            st.tuples(
                st.sampled_from([1, 1, 1, 2, 3, 4]) | st.integers(0, 255),
                SIDES | st.integers(0, 255),
                TIMES_IN_FORCE | st.integers(0, 255),
                FLAGS | st.integers(0, 255),
                st.just(0),
                IDS,
                PRICES | int64(),
                LOTS | int64(),
            ),
            max_size=30,
        )
    )
    def batch(self, rows: list[tuple[int, ...]]) -> None:
        expected_trades, expected_refused = [], []
        for at, row in enumerate(rows):
            answer = self._do(*row)
            if isinstance(answer, Refusal):
                expected_refused.append((at, int(answer)))
            elif isinstance(answer, list):
                expected_trades += answer
        for book in self.books:
            trades, refused = book.apply(np.array(rows, OPERATION))
            assert trades.tolist() == expected_trades
            assert refused.tolist() == expected_refused

    def _do(
        self, kind: int, side: int, time_in_force: int, flags: int, _: int, order_id: int, price: int, lots: int
    ) -> Any:
        if kind == OperationKind.LIMIT:
            return self.slow.limit(order_id, side, price, lots, time_in_force, flags)
        if kind == OperationKind.MARKET:
            return self.slow.market(order_id, side, lots)
        if kind == OperationKind.CANCEL:
            return self.slow.cancel(order_id)
        if kind == OperationKind.REPLACE:
            return self.slow.replace(order_id, price, lots)
        return Refusal.UNKNOWN_KIND

    @invariant()
    def the_watched_book_is_the_slow_one(self) -> None:
        self._compare(self.watched)

    def teardown(self) -> None:
        self._compare(self.unwatched)

    def _compare(self, book: Book) -> None:
        assert len(book) == len(self.slow.resting)
        for side in Side:
            assert book.orders(side) == self.slow.orders(side)
            assert book.depth(side) == self.slow.depth(side)
            assert book.best(side) == self.slow.best(side)


TestBareBook = BareBookMachine.TestCase
