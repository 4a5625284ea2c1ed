"""Both engines on long seeded flows, compared batch by batch.

EXCHANGE_DIFFERENTIAL_COMMANDS sets the length of the flow (20,000), EXCHANGE_DIFFERENTIAL_SEED another flow (1).
"""

import os
from collections import Counter

import pytest

from engine.records import EventKind
from engine.reference import Shard as ReferenceShard
from engine.reference.book import Book, Order
from tests.support.audit import Audit
from tests.support.commands import read_events
from tests.support.differential import assert_alike, shrink
from tests.support.engines import load_engine
from tests.support.flow import random_flow, stamped

COMMANDS = int(os.environ.get("EXCHANGE_DIFFERENTIAL_COMMANDS", "20000"))
SEED = int(os.environ.get("EXCHANGE_DIFFERENTIAL_SEED", "1"))
pytestmark = pytest.mark.timeout(3_600)  # a long flow takes its time

BATCH_SIZES = (1, 7, 64, 300, 2, 1000, 33)


def test_a_long_flow_causes_the_same_events_and_digests_in_both_engines() -> None:
    assert_alike(random_flow(SEED, COMMANDS), ReferenceShard, load_engine("matching").Shard, BATCH_SIZES)


def test_the_flow_does_everything_often() -> None:
    events = read_events(ReferenceShard().apply(b"".join(stamped(random_flow(SEED, 5_000)))))
    seen = Counter(event.kind for event in events)
    assert seen[EventKind.TRADED] > 1_000
    assert seen[EventKind.CANCELLED] > 500
    assert seen[EventKind.REJECTED] > 100
    assert len({event.trade_id for event in events}) == seen[EventKind.TRADED] + 1


def test_the_reference_is_where_its_events_lead_on_a_flow() -> None:
    shard, audit = ReferenceShard(), Audit()
    for number, command in enumerate(stamped(random_flow(SEED + 1, 2_000))):
        audit.follow(command, read_events(shard.apply(command)))
        if number % 50 == 0:
            audit.check(shard)
    audit.check(shard)


class LastInFirstOut(ReferenceShard):
    """An engine that is wrong: at a price, the newest order trades first."""

    def _rest(self, order: Order) -> None:
        super()._rest(order)
        self._books[order.market - 1] = NewestFirst(self._books[order.market - 1])


class NewestFirst(Book):
    def __init__(self, book: Book) -> None:
        super().__init__()
        self._bids = type(book._bids)(book._bids, key=lambda order: (-order.price_ticks, -order.priority))
        self._asks = type(book._asks)(book._asks, key=lambda order: (order.price_ticks, -order.priority))


def test_an_engine_that_is_wrong_is_found_out_by_a_short_scenario() -> None:
    flow = random_flow(SEED, 600)
    with pytest.raises(AssertionError, match="the engines part at step") as failure:
        assert_alike(flow, ReferenceShard, LastInFirstOut, BATCH_SIZES)
    assert str(failure.value).count("ACCEPTED") < 20
    assert len(shrink(flow, ReferenceShard, LastInFirstOut)) < 20
