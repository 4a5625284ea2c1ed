"""A run of entries does to orders what the slow fold says, however the journal is cut into runs."""

from copy import copy
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.matching import Shard
from engine.orders.fold import OrderFold
from engine.records import COMMAND_SIZE, EVENT_SIZE, EventKind
from exchange.contracts.commands import place, untold_terms
from exchange.contracts.events import Event, read_events
from exchange.contracts.order_state import OrderState
from exchange.corridor.writer import split_entries
from exchange.storage.journal import Entry
from tests.support.flow import random_flow, stamped
from tests.support.full_flow import full_flow
from tests.support.slow_orders import SlowOrder

_OF_TWO_ORDERS = frozenset((EventKind.TRADED, EventKind.PREVENTED))
_OF_AN_ORDER = frozenset(
    (EventKind.CANCELLED, EventKind.TRIGGERED, EventKind.ACTIVATED, EventKind.REFRESHED, EventKind.AMENDED)
)


@cache
def _journal(seed: int) -> list[Entry]:
    commands = stamped((random_flow if seed % 3 == 0 else full_flow)(seed, 400))
    return split_entries(commands, Shard().apply(b"".join(commands)))


class SlowFold:
    """What OrderFold does, event by event."""

    def __init__(self, orders: dict[int, SlowOrder]) -> None:
        self.orders = orders
        self.accepted: dict[int, SlowOrder] = {}
        self.changed: dict[int, SlowOrder] = {}

    def take(self, entry: Entry) -> None:
        for event in read_events(entry.events):
            if event.kind == EventKind.ACCEPTED:
                order = SlowOrder.accepted(event, entry.command)
                self.orders[event.order_id] = self.accepted[event.order_id] = order
            for order_id in _named(entry.command, event):
                known = self.orders[order_id]
                if order_id not in self.accepted:
                    self.changed[order_id] = known
                if event.kind == EventKind.ACCEPTED:
                    known.link(order)  # type: ignore[arg-type]
                else:
                    known.take(event)


def _named(command: bytes, event: Event) -> tuple[int, ...]:
    if event.kind in _OF_TWO_ORDERS:
        return event.order_id, event.maker_order_id
    if event.kind in _OF_AN_ORDER:
        return (event.order_id,)
    if event.kind == EventKind.ACCEPTED and event.linked_order_id and untold_terms(command)[0]:
        return (event.linked_order_id,)
    return ()


def _fields(orders: dict[int, OrderState] | dict[int, SlowOrder]) -> dict[int, list[object]]:
    return {order_id: [getattr(order, name) for name in OrderState.FIELDS] for order_id, order in orders.items()}


def _events(run: list[Entry]) -> bytes:
    return b"".join(entry.events for entry in run)


@given(st.integers(1, 9), st.lists(st.tuples(st.integers(1, 60), st.integers(1, 20), st.booleans()), min_size=1))
def test_runs_change_orders_as_the_slow_fold_does(seed: int, cuts: list[tuple[int, int, bool]]) -> None:
    journal, start = _journal(seed), 0
    known: dict[int, OrderState] = {}
    slow_known: dict[int, SlowOrder] = {}
    forgotten: dict[int, OrderState] = {}  # as tables have them
    while start < len(journal):
        for size, turn, forget in cuts:
            run = journal[start : start + size]
            start += size
            if not run:
                break
            if forget:
                forgotten |= known
                known.clear()
            events = _events(run)
            fold = OrderFold(known, run[0].sequence, b"".join(entry.command for entry in run))
            named = {n for entry in run for event in read_events(entry.events) for n in _named(entry.command, event)}
            unknown = fold.unknown(events)
            assert unknown == {n for n in named if n < run[0].sequence and n not in known}
            known |= {order_id: copy(forgotten[order_id]) for order_id in unknown}
            for at in range(0, len(events), turn * EVENT_SIZE):
                fold.take(memoryview(events)[at : at + turn * EVENT_SIZE])
            slow = SlowFold(slow_known)
            for entry in run:
                slow.take(entry)
            assert _fields(fold.accepted) == _fields(slow.accepted)
            assert _fields(fold.changed) == _fields(slow.changed)
            assert list(fold.changed) == list(slow.changed), "in the order in which they changed"
            assert fold.orders is known
            assert all(known[n] is order for n, order in (fold.accepted | fold.changed).items())


def test_an_order_that_nobody_knows_is_an_error() -> None:
    journal = _journal(3)
    at = next(n for n, entry in enumerate(journal) if bytes([EventKind.TRADED]) in entry.events[::EVENT_SIZE])
    fold = OrderFold({}, journal[at].sequence, journal[at].command)
    with pytest.raises(KeyError):
        fold.take(journal[at].events)


@pytest.mark.parametrize("size", [1, EVENT_SIZE - 1, EVENT_SIZE + 1])
def test_what_is_no_whole_number_of_records_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="144 bytes each"):
        OrderFold({}, 1, bytes(size))
    for take in (OrderFold({}, 1, b"").take, OrderFold({}, 1, b"").unknown):
        with pytest.raises(ValueError, match="136 bytes each"):
            take(bytes(size))


@pytest.mark.parametrize("sequence", [0, 6, 8, 2**64 - 1])
def test_an_event_of_an_entry_that_is_not_there_is_refused(sequence: int) -> None:
    event = bytearray(EVENT_SIZE)
    event[0] = EventKind.ACCEPTED
    event[8:16] = sequence.to_bytes(8, "little")
    command = bytes(place(2, 1, 1, 2, 1, 0, 5, 10))
    assert len(command) == COMMAND_SIZE
    for fold in (OrderFold({}, 7, command), OrderFold({}, 7, b"")):
        with pytest.raises(ValueError, match="not of these, which begin with 7"):
            fold.take(event)
        with pytest.raises(ValueError, match="not of these, which begin with 7"):
            fold.unknown(event)
