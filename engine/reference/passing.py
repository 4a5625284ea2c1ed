"""Time passes: orders expire, auctions end."""

from typing import NamedTuple

from engine.records import Mode, Reason
from engine.reference.auction import leave_auction
from engine.reference.ending import end
from engine.reference.state import State
from engine.reference.waiting import follow_up


class Due(NamedTuple):
    """What time will do; the least of these comes first."""

    time_ns: int
    is_auction: bool
    number: int  # of the order or the market


def next_due(state: State) -> Due | None:
    """What comes next; None: nothing."""
    expiries = [Due(order.expire_ns, False, order.order_id) for order in state.orders.values() if order.expires]
    ends = [Due(market.auction_end, True, market.number) for market in state.markets if market.auction_end]
    return min(expiries + ends, default=None)


def pass_time(state: State) -> None:
    """Everything due at or before the command's time happens, each with what follows from it."""
    while (due := next_due(state)) and due.time_ns <= state.timestamp_ns:
        if due.is_auction:
            leave_auction(state, state.markets[due.number - 1], Mode.OPEN, 0, Reason.AUCTION_ENDED)
        else:
            end(state, state.orders[due.number], Reason.EXPIRED)
        follow_up(state)
