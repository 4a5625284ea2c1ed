"""How an order ends, and what ends or wakes with it."""

from engine.records import EventKind, Reason
from engine.reference.orders import Order
from engine.reference.state import State


def end(state: State, order: Order, reason: Reason) -> None:
    """The order ends with something remaining or by being prevented; then its other leg, then its child's wait."""
    leg = state.other_leg(order)
    _cancel(state, order, reason)
    if leg:
        end(state, leg, Reason.LINKED_ORDER)
    _leave_family(state, order)


def end_filled(state: State, order: Order) -> None:
    """The order has nothing remaining. Its other leg ended when it first met somebody."""
    assert not order.other_leg
    _forget(state, order)
    _leave_family(state, order)


def end_other_leg(state: State, order: Order) -> None:
    """The order trades or fires, so that the other does not."""
    leg = state.other_leg(order)
    if leg:
        _cancel(state, leg, Reason.LINKED_ORDER)
        _leave_family(state, leg)


def _cancel(state: State, order: Order, reason: Reason) -> None:
    leg = state.other_leg(order)
    released = state.joint_need(order) - (state.need(leg) if leg else 0)
    state.hold(order, -released)
    state.emit_order(EventKind.CANCELLED, order, quantity_lots=order.remaining_lots, amount=released, reason=reason)
    if leg:
        order.other_leg = leg.other_leg = 0
    _forget(state, order)


def _forget(state: State, order: Order) -> None:
    state.leave_book(order)
    del state.orders[order.order_id]


def _leave_family(state: State, order: Order) -> None:
    if order.parent:
        state.orders[order.parent].child = 0
    if order.child:
        child = state.orders[order.child]
        child.parent = 0
        if order.filled_lots > 0:
            state.activations.append((child, order.filled_lots))
        else:
            end(state, child, Reason.LINKED_ORDER)
