"""CANCEL, CANCEL_REPLACE, MASS_CANCEL and CANCEL_AFTER."""

from collections.abc import Callable

from engine.records import FLAG_ALLOW_FAILURE, REVENUE_ACCOUNT, EventKind, Mode, Reason, Side
from engine.reference.codec import OrderCommand
from engine.reference.ending import end
from engine.reference.orders import Order
from engine.reference.placing import admit, refuse
from engine.reference.state import State
from engine.reference.validation import why_invalid


def cancel(state: State, c: OrderCommand) -> None:
    """CANCEL."""
    reason = why_not_cancelled(state, c)
    if reason:
        state.reject(reason, order_id=c.order_id)
    else:
        end(state, state.orders[c.order_id], Reason.CANCELLED_BY_OWNER)


def why_not_cancelled(state: State, c: OrderCommand) -> Reason:
    """An order of somebody else and an order that has ended look the same."""
    order = state.orders.get(c.order_id)
    if order is None or order.account != c.account:
        return Reason.UNKNOWN_ORDER
    return Reason.MARKET_HALTED if state.market(order).mode is Mode.HALTED else Reason.NONE


def cancel_replace(state: State, c: OrderCommand) -> None:
    """CANCEL_REPLACE: out with the old order, then in with the new one as if it were placed alone."""
    reason = why_invalid(state, c)
    if reason:
        refuse(state, c, reason)
        return
    reason = why_not_cancelled(state, c)
    if reason and not c.flags & FLAG_ALLOW_FAILURE:
        refuse(state, c, reason)
        return
    if reason:
        state.emit(EventKind.CANCEL_REJECTED, order_id=c.order_id, reason=reason)
    else:
        end(state, state.orders[c.order_id], Reason.REPLACED)
    admit(state, c)


def mass_cancel(state: State, c: OrderCommand) -> None:
    """MASS_CANCEL."""
    reason = _why_no_scope(state, c)
    if reason:
        state.reject(reason, market=c.market, side=c.side)
        return
    is_in_scope = _scope(c)
    found = [
        order
        for order in state.live_orders(c.account, c.market)
        if is_in_scope(order) and state.market(order).mode is not Mode.HALTED
    ]
    ended = _end_all(state, found, Reason.MASS_CANCEL)
    state.emit(EventKind.MASS_CANCELLED, market=c.market, side=c.side, quantity_lots=ended)


def _end_all(state: State, orders: list[Order], reason: Reason) -> int:
    """The orders end; how many did for this reason."""
    ended = 0
    for order in orders:
        if order.order_id in state.orders:  # not ended meanwhile as another's leg or child
            end(state, order, reason)
            ended += 1
    return ended


def _why_no_scope(state: State, c: OrderCommand) -> Reason:
    if c.market != 0 and not state.has_market(c.market):
        return Reason.UNKNOWN_MARKET
    if c.side not in (0, *Side):
        return Reason.SIDE_INVALID
    any_price = c.price_ticks == c.trigger_price_ticks == 0
    if not any_price and not 1 <= c.price_ticks <= c.trigger_price_ticks:
        return Reason.SCOPE_INVALID
    halted = c.market != 0 and state.markets[c.market - 1].mode is Mode.HALTED
    return Reason.MARKET_HALTED if halted else Reason.NONE


def _scope(c: OrderCommand) -> Callable[[Order], bool]:
    prefix = c.client_order_id.split(b"\0")[0]
    any_price = c.price_ticks == 0

    def is_in_scope(order: Order) -> bool:
        side_fits = c.side in (0, order.side)
        price_fits = any_price or c.price_ticks <= order.price_ticks <= c.trigger_price_ticks
        return side_fits and price_fits and order.client_order_id.startswith(prefix)

    return is_in_scope


def cancel_after(state: State, c: OrderCommand) -> None:
    """CANCEL_AFTER."""
    if c.account <= REVENUE_ACCOUNT:
        state.reject(Reason.ACCOUNT_INVALID)
    elif c.expire_ns != 0 and c.expire_ns <= c.timestamp_ns:
        state.reject(Reason.EXPIRE_TIME_INVALID)
    else:
        state.timers.pop(c.account, None)
        if c.expire_ns != 0:
            state.timers[c.account] = c.expire_ns
        state.emit(EventKind.CANCEL_AFTER_SET, expire_ns=c.expire_ns)


def fire_timer(state: State, account: int) -> None:
    """The account was not heard of in time: whatever it has live ends, in halted markets too."""
    due_ns = state.timers.pop(account)
    ended = _end_all(state, state.live_orders(account), Reason.DEAD_MAN_TIMER)
    state.emit(EventKind.CANCEL_AFTER_FIRED, account=account, expire_ns=due_ns, quantity_lots=ended)
