"""The audit notices what an engine does wrong: the reference, wrong in one way at a time, does not get through."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from engine.records import EventKind
from engine.reference import Shard
from engine.reference.market import Market
from engine.reference.matching import settle
from engine.reference.orders import Order
from engine.reference.state import State
from engine.reference.waiting import _waiting_for_trigger
from tests.support.audit import Audit
from tests.support.commands import read_events
from tests.support.flow import stamped
from tests.support.full_flow import full_flow

FLOW = stamped(full_flow(seed=3, count=3_000))


def _first_come_first_fired(state: State) -> Order | None:
    met = (order for market in state.markets for order in _waiting_for_trigger(state, market) if market.is_met(order))
    return min(met, key=lambda order: order.order_id, default=None)


def _refreshed_in_place(state: State, maker: Order) -> None:
    if maker.display_lots and not maker.visible_lots:
        maker.show_anew()
        sizes = {"quantity_lots": maker.quantity_lots, "remaining_lots": maker.remaining_lots}
        shown = {"display_lots": maker.display_lots, "visible_lots": maker.visible_lots}
        state.emit_order(EventKind.REFRESHED, maker, **sizes, **shown)


def _sum_of_needs(state: State, order: Order) -> int:
    leg = state.other_leg(order)
    return state.need(order) + (state.need(leg) if leg else 0)


def _lowest_price(market: Market, result: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return -result[1], 0, 0, result[0]


def _settled_at_the_limit(state: State, taker: Order, maker: Order, price_ticks: int, *rest: Any, **more: Any) -> Any:
    return settle(state, taker, maker, max(price_ticks, taker.price_ticks), *rest, **more)


WRONG: dict[str, Any] = {
    "orders.Order.is_self": lambda self, other: False,
    "orders.Order.show_anew": lambda self: setattr(self, "visible_lots", self.remaining_lots),
    "orders.Order.triggered_above": property(lambda self: self.is_buy),
    "market.Market.is_stopped_at": lambda self, side, price_ticks: False,
    "state.State.joint_need": _sum_of_needs,
    "waiting._trail": lambda market, order: None,
    "waiting.next_to_fire": _first_come_first_fired,
    "waiting.CASCADE_MAX": 1,
    "passing.next_due": lambda state: None,
    "matching._refresh": _refreshed_in_place,
    "matching.fee": lambda received, ppm: -(-received * ppm // 1_000_000),
    "matching.end_other_leg": lambda state, order: None,
    "matching.settle": _settled_at_the_limit,
    "auction._rank": _lowest_price,
}


def _audited() -> None:
    shard, audit = Shard(), Audit()
    for number, command in enumerate(FLOW):
        audit.follow(command, read_events(shard.apply(command)))
        if number % 5 == 0:
            audit.check(shard)


def test_the_reference_as_it_is_gets_through() -> None:
    _audited()


@pytest.mark.parametrize("wrong", WRONG)
def test_the_audit_notices(wrong: str) -> None:
    replacement: Callable[..., Any] = WRONG[wrong]
    with patch(f"engine.reference.{wrong}", replacement), pytest.raises((AssertionError, KeyError)):
        _audited()
