"""Orders that are followed in C, run after run of a journal, are what their events make of them one by one."""

import pickle
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.orders.followed import FollowedOrders
from engine.orders.state import OrderState
from engine.records import COMMAND_SIZE, EVENT_SIZE, EventKind
from engine.reference import Shard
from exchange.contracts.commands import untold_terms
from exchange.contracts.events import Event, read_events
from tests.properties.test_table_rows import BUFFERS, EVENT, FIRST, ORDER_COMMANDS
from tests.support import flow, full_flow

OF_TWO_ORDERS = (EventKind.TRADED, EventKind.PREVENTED)
OF_AN_ORDER = (
    EventKind.CANCELLED, EventKind.TRIGGERED, EventKind.ACTIVATED, EventKind.REFRESHED, EventKind.AMENDED,
)  # fmt: skip
FLOW = flow.stamped(full_flow.full_flow(11, 1_500))


class PlainFold:
    """A run's orders, each in its state after it. ``known``: those of earlier runs."""

    def __init__(self, known: dict[int, OrderState]) -> None:
        self.known = known
        self.accepted: dict[int, OrderState] = {}
        self.changed: dict[int, OrderState] = {}

    def take(self, command: bytes, event: Event) -> None:
        if event.kind == EventKind.ACCEPTED:
            order = OrderState.accepted(event, command)
            self.known[order.order_id] = self.accepted[order.order_id] = order
            if order.named_id:
                self._touch(order.named_id).link(order)
        elif event.kind in OF_TWO_ORDERS:
            self._touch(event.order_id).take(event)
            self._touch(event.maker_order_id).take(event)
        elif event.kind in OF_AN_ORDER:
            self._touch(event.order_id).take(event)

    def _touch(self, order_id: int) -> OrderState:
        order = self.known[order_id]
        if order_id not in self.accepted:
            self.changed[order_id] = order
        return order


def named_by(command: bytes, event: Event) -> tuple[int, ...]:
    """The orders that an event is about, but for the one that it accepts."""
    if event.kind in OF_TWO_ORDERS:
        return event.order_id, event.maker_order_id
    if event.kind in OF_AN_ORDER:
        return (event.order_id,)
    if event.kind == EventKind.ACCEPTED and untold_terms(command)[0]:
        return (event.linked_order_id,)
    return ()


def entries_of(flow_commands: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    shard = Shard()
    return [(command, shard.apply(command)) for command in flow_commands]


ENTRIES = entries_of(FLOW)


@given(st.lists(st.integers(1, 400), min_size=3, max_size=12), st.integers(1, 50))
def test_runs_of_a_flow(lengths: list[int], turn: int) -> None:
    known: dict[int, OrderState] = {}
    followed = FollowedOrders()
    start = 0
    while start < len(ENTRIES):
        run = ENTRIES[start : start + lengths[start % len(lengths)]]
        first, placed, events = start + 1, b"".join(c for c, _ in run), b"".join(e for _, e in run)
        before, named, plain = set(known), set[int](), PlainFold(known)
        for command, told in run:
            for event in read_events(told):
                named.update(named_by(command, event))
                plain.take(command, event)
        expected = {order_id for order_id in named if 0 < order_id < first} - before
        turns = [events[at : at + turn * EVENT_SIZE] for at in range(0, len(events), turn * EVENT_SIZE)]
        assert set[int]().union(*(followed.unknown(first, placed, part) for part in turns)) == expected
        for part in turns:
            followed.take(first, placed, part)
        assert followed.accepted() == list(plain.accepted.values())
        assert followed.changed() == list(plain.changed.values())
        followed.settle()
        known = {order_id: order for order_id, order in known.items() if order.is_live}
        assert len(followed) == len(known)
        assert not followed.accepted()
        assert not followed.changed()
        start += len(run)
    assert len(known) > 50


def test_orders_are_learnt_and_forgotten() -> None:
    """What is not known of a run's orders is told; learnt, it is as if it had been known."""
    cut = 700
    parts = [ENTRIES[:cut], ENTRIES[cut:]]
    placed, events = ([b"".join(record[at] for record in part) for part in parts] for at in (0, 1))
    one, other = FollowedOrders(), FollowedOrders()
    one.take(1, placed[0], events[0])
    kept = {order.order_id: order for order in one.accepted()}
    one.settle()
    unknown = other.unknown(cut + 1, placed[1], events[1])
    assert unknown
    assert one.unknown(cut + 1, placed[1], events[1]) == set()
    for order_id in unknown:
        other.learn(pickle.loads(pickle.dumps(kept[order_id])))
    for followed in (one, other):
        followed.take(cut + 1, placed[1], events[1])
    assert one.accepted() == other.accepted()
    assert sorted(one.changed(), key=repr) == sorted(other.changed(), key=repr)
    other.forget()
    assert len(other) == 0
    assert other.unknown(cut + 1, placed[1], events[1]) == unknown


@given(ORDER_COMMANDS, BUFFERS, st.integers(0, 3))
def test_whatever_the_events_say(placed: bytes, buffer: bytes, orders: int) -> None:
    """Nobody can be named who is not known."""
    accepted = [
        EVENT.pack(EventKind.ACCEPTED, 1, 2, 1, 0, 0, 0, FIRST, 5, 1, 0, order_id, 2, 100, 50, 50, *[0] * 8)
        for order_id in range(1, orders + 1)
    ]
    buffer = b"".join(accepted) + buffer
    plain, followed = PlainFold({}), FollowedOrders()
    try:
        for told in read_events(buffer):
            plain.take(placed[(told.sequence - FIRST) * COMMAND_SIZE :][:COMMAND_SIZE], told)
    except KeyError:
        with pytest.raises(KeyError):
            followed.take(FIRST, placed, buffer)
        return
    followed.take(FIRST, placed, buffer)
    assert followed.accepted() == list(plain.accepted.values())
    assert followed.changed() == list(plain.changed.values())
