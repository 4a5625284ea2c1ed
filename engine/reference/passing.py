"""Time passes: dead-man timers fire, orders expire, auctions end."""

from enum import IntEnum
from typing import NamedTuple

from engine.records import Mode, Reason
from engine.reference.auction import leave_auction
from engine.reference.cancelling import fire_timer
from engine.reference.ending import end
from engine.reference.state import State
from engine.reference.waiting import follow_up


class What(IntEnum):
    """What time does, in the order of one moment."""

    TIMER = 0
    EXPIRY = 1
    AUCTION_END = 2


class Due(NamedTuple):
    """What time will do; the least of these comes first."""

    time_ns: int
    what: What
    number: int  # of the account, the order or the market


def next_due(state: State) -> Due | None:
    """What comes next; None: nothing."""
    dues = [Due(time_ns, What.TIMER, account) for account, time_ns in state.timers.items()]
    dues += [Due(order.expire_ns, What.EXPIRY, order.order_id) for order in state.orders.values() if order.expires]
    dues += [Due(market.auction_end, What.AUCTION_END, market.number) for market in state.markets if market.auction_end]
    return min(dues, default=None)


def pass_time(state: State) -> None:
    """Everything due at or before the command's time happens, each with what follows from it."""
    while (due := next_due(state)) and due.time_ns <= state.timestamp_ns:
        match due.what:
            case What.TIMER:
                fire_timer(state, due.number)
            case What.EXPIRY:
                end(state, state.orders[due.number], Reason.EXPIRED)
            case What.AUCTION_END:
                leave_auction(state, state.markets[due.number - 1], Mode.OPEN, 0, Reason.AUCTION_ENDED)
        follow_up(state)
