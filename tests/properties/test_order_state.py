"""The compiled fold of events into orders is the slow one (tests/support/slow_orders.py), whatever the events say."""

from copy import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.matching import Shard
from engine.records import COMMAND_SIZE, EventKind, SelfTrade
from exchange.contracts.commands import place
from exchange.contracts.events import Event, read_events
from exchange.contracts.order_state import OrderState
from exchange.corridor.writer import split_entries
from tests.properties.strategies import int64, unsigned
from tests.support.flow import random_flow, stamped
from tests.support.full_flow import full_flow
from tests.support.slow_orders import SlowOrder

_IDS = st.integers(1, 3)
_LOTS = st.integers(0, 5) | st.integers(0, 2**56)  # so that sums of a few are numbers of lots
# By what a record holds, but where only sums of 64 bits and the choice of an order are at stake.
_FIELDS: dict[str, st.SearchStrategy[int]] = {
    "kind": st.sampled_from(EventKind) | unsigned(8),
    **dict.fromkeys(("side", "order_type", "time_in_force", "flags"), unsigned(8)),
    "self_trade": st.sampled_from(SelfTrade),
    "reason": st.sampled_from([0, 3_008, 4_001, 4_004]) | unsigned(16),
    **dict.fromkeys(("sequence", "account", "trade_id"), unsigned(64)),
    **dict.fromkeys(("timestamp_ns", "amount", "taker_fee", "price_ticks", "hold_released"), int64()),
    "market": unsigned(32),
    "asset": st.integers(0, 2),
    "order_id": _IDS,
    "maker_order_id": _IDS,  # of an order event: the trigger's price
    "maker_fee": _IDS | st.integers(0, 2**63 - 1),  # of an order event: the linked order
    "maker_account": st.sampled_from([0, 2]) | _LOTS,  # of an order event: what an iceberg shows
    **dict.fromkeys(("quantity_lots", "remaining_lots", "maker_remaining_lots"), _LOTS),
}
_EVENTS = st.builds(Event, **_FIELDS)
_NAMES = st.text(st.characters(max_codepoint=127), max_size=36).map(str.encode)


@st.composite
def _placings(draw: st.DrawFn) -> bytes:
    command = place(
        2, 1, 1, 2, 1, 0, 5, 10, draw(_NAMES), contingency=draw(st.integers(0, 3)), amount=draw(int64()),
        min_quantity_lots=draw(int64()),
    )  # fmt: skip
    command[0] = draw(st.sampled_from([1, 2, 2, 3]))
    return bytes(command)


def _both(event: Event, command: bytes) -> tuple[OrderState, SlowOrder]:
    return OrderState.accepted(event, command), SlowOrder.accepted(event, command)


def _agree(order: OrderState, slow: SlowOrder) -> None:
    assert [getattr(order, name) for name in OrderState.FIELDS] == [getattr(slow, name) for name in OrderState.FIELDS]
    assert (order.named_id, order.is_live, order.shown_lots) == (slow.named_id, slow.is_live, slow.shown_lots)


@given(_EVENTS, _placings(), st.lists(_EVENTS, max_size=12), st.lists(st.tuples(_EVENTS, int64(), st.booleans())))
def test_an_order_is_what_the_slow_fold_makes_of_any_events(
    accepted: Event, command: bytes, events: list[Event], fills: list[tuple[Event, int, bool]]
) -> None:
    order, slow = _both(accepted, command)
    _agree(order, slow)
    for event in events:
        order.take(event)
        slow.take(event)
        _agree(order, slow)
    for trade, fee_units, is_maker in fills[:12]:
        order.fill(trade, fee_units, is_maker)
        slow.fill(trade, fee_units, is_maker)
        _agree(order, slow)


@given(_EVENTS, _EVENTS, _placings(), _placings())
def test_orders_are_linked_as_the_slow_fold_links_them(a: Event, b: Event, of_a: bytes, of_b: bytes) -> None:
    order, slow = _both(a, of_a)
    other, slow_other = _both(b, of_b)
    order.link(other)
    slow.link(slow_other)
    _agree(order, slow)
    _agree(other, slow_other)


@pytest.mark.parametrize("flow", [random_flow, full_flow], ids=["plain", "full"])
def test_an_order_is_what_the_slow_fold_makes_of_the_events_of_an_engine(flow: Any) -> None:
    shard, orders = Shard(), dict[int, tuple[OrderState, SlowOrder]]()
    commands = stamped(flow(7, 4_000))
    for entry in split_entries(commands, shard.apply(b"".join(commands))):
        for event in read_events(entry.events):
            if event.kind == EventKind.ACCEPTED:
                order, slow = orders[event.order_id] = _both(event, entry.command)
                if slow.named_id:
                    orders[slow.named_id][0].link(order)
                    orders[slow.named_id][1].link(slow)
            else:
                of_two = event.kind in (EventKind.TRADED, EventKind.PREVENTED)
                named = {event.order_id, event.maker_order_id} if of_two else {event.order_id}
                for order_id in named & orders.keys():
                    for one in orders[order_id]:
                        one.take(event)
    for order, slow in orders.values():
        _agree(order, slow)
    assert len(orders) > 1_000


@given(st.integers(-(2**127), 2**127 - 1), st.booleans())
def test_sums_are_exact_beyond_64_bits(total: int, from_table: bool) -> None:
    order = OrderState.accepted(Event(*[0] * 24), bytes(COMMAND_SIZE))
    for name in ("filled_quote_units", "fee_units", "prevented_lots"):
        setattr(order, name, Decimal(total) if from_table else total)
        assert getattr(order, name) == total
    amount = 2**62 if total < 0 else -(2**62)
    order.fill(Event(*[0] * 16, amount, *[0] * 7), amount, True)
    assert order.filled_quote_units == order.fee_units == total + amount


@given(_EVENTS, _placings())
def test_an_order_is_made_of_its_fields_and_copied_whole(event: Event, command: bytes) -> None:
    order = OrderState.accepted(event, command)
    fields = {name: getattr(order, name) for name in OrderState.FIELDS}
    for same in (OrderState(**fields), OrderState(*fields.values()), copy(order)):
        assert same == order and same is not order
        assert repr(same) == repr(order) == "OrderState(" + ", ".join(f"{n}={v!r}" for n, v in fields.items()) + ")"
    other = copy(order)
    other.updated_ns ^= 1
    assert other != order != "an order"


@pytest.mark.parametrize("size", [0, 1, COMMAND_SIZE - 1, COMMAND_SIZE + 1])
def test_what_is_no_record_is_refused(size: int) -> None:
    event = Event(*[0] * 24)
    with pytest.raises(ValueError, match="a command record has 144 bytes"):
        OrderState.accepted(event, bytes(size))
    order = OrderState.accepted(event, bytes(COMMAND_SIZE))
    with pytest.raises(ValueError, match="unpack"):
        order.take(event[:-1])
    with pytest.raises(OverflowError):
        order.take((256, *event[1:]))
