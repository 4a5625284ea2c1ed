"""What must be true of PLACE and CANCEL_REPLACE before the market and the account are asked: checks 1 to 6."""

from engine.records import (
    DAY_NS,
    FLAG_ALLOW_FAILURE,
    FLAG_POST_ONLY,
    FLAG_SLIDE,
    ICEBERG_SLICES_MAX,
    REVENUE_ACCOUNT,
    UNITS_MAX,
    CommandKind,
    Contingency,
    OrderType,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)
from engine.reference.codec import OrderCommand
from engine.reference.market import Market
from engine.reference.orders import CONDITIONAL, LASTING, LIMITED
from engine.reference.state import State

TIME_MAX_NS = 2**63 - 1

ORDER_TYPES = {1: {OrderType.MARKET, OrderType.LIMIT}, 2: set(OrderType)}
TIMES_IN_FORCE = {1: {TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}, 2: set(TimeInForce)}
AT_ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
FLAGS = {1: {FLAG_POST_ONLY}, 2: {FLAG_POST_ONLY, FLAG_POST_ONLY | FLAG_SLIDE}}
TRIGGERED = CONDITIONAL - {OrderType.TRAILING_STOP}


def why_invalid(state: State, c: OrderCommand) -> Reason:
    """The reason of the first check that fails; NONE: every field means something, and they fit together."""
    if c.account <= REVENUE_ACCOUNT:
        return Reason.ACCOUNT_INVALID
    if not state.has_market(c.market):
        return Reason.UNKNOWN_MARKET
    market = state.markets[c.market - 1]
    return (
        _why_wrong_kind(c)
        or _why_wrong_relation(c)
        or _why_wrong_size(c, market)
        or _why_wrong_price(c, market)
        or _why_wrong_extras(c, market)
    )


def is_lasting(c: OrderCommand) -> bool:
    """Whether the order may outlive its command."""
    return c.time_in_force in LASTING


def is_by_amount(c: OrderCommand) -> bool:
    """Whether a market order says how much money, not how many lots."""
    return c.order_type == OrderType.MARKET and c.quantity_lots == 0 and c.amount != 0


def expiry_ns(c: OrderCommand) -> int:
    """When the order expires: a day order at the next midnight."""
    if c.time_in_force == TimeInForce.DAY:
        return min((c.timestamp_ns // DAY_NS + 1) * DAY_NS, TIME_MAX_NS)
    return c.expire_ns


def _why_wrong_kind(c: OrderCommand) -> Reason:
    if c.side not in set(Side):
        return Reason.SIDE_INVALID
    if c.order_type not in ORDER_TYPES[c.version]:
        return Reason.ORDER_TYPE_INVALID
    if c.time_in_force not in TIMES_IN_FORCE[c.version] & _times_of(c.order_type):
        return Reason.TIME_IN_FORCE_INVALID
    flags = c.flags & ~FLAG_ALLOW_FAILURE if c.kind == CommandKind.CANCEL_REPLACE else c.flags
    may_be_post_only = c.order_type == OrderType.LIMIT and is_lasting(c)
    if flags != 0 and not (may_be_post_only and flags in FLAGS[c.version]):
        return Reason.FLAGS_INVALID
    return Reason.NONE


def _times_of(order_type: int) -> set[TimeInForce]:
    if order_type == OrderType.MARKET:
        return set(AT_ONCE)
    return set(TimeInForce) if order_type == OrderType.LIMIT else set(LASTING)


def _why_wrong_relation(c: OrderCommand) -> Reason:
    if c.self_trade not in set(SelfTrade) or (c.self_trade == SelfTrade.DECREMENT and c.amount > 0):
        return Reason.SELF_TRADE_INVALID
    if c.kind == CommandKind.CANCEL_REPLACE:
        return Reason.NONE if c.contingency == Contingency.NONE else Reason.LINK_INVALID
    if c.contingency not in set(Contingency):
        return Reason.LINK_INVALID
    names_another = c.contingency in (Contingency.ONE_CANCELS_OTHER, Contingency.ONE_TRIGGERS_OTHER)
    must_last = c.contingency in (Contingency.ONE_CANCELS_OTHER, Contingency.WAITS_FOR_PARENT)
    if names_another != (c.order_id > 0) or (must_last and not is_lasting(c)):
        return Reason.LINK_INVALID
    return Reason.NONE


def _why_wrong_size(c: OrderCommand, market: Market) -> Reason:
    if is_by_amount(c):
        if c.time_in_force != TimeInForce.IOC:
            return Reason.TIME_IN_FORCE_INVALID
        return Reason.NONE if 1 <= c.amount < UNITS_MAX else Reason.AMOUNT_OUT_OF_RANGE
    if c.amount != 0:
        return Reason.AMOUNT_OUT_OF_RANGE
    if not market.terms.quantity_lots_min <= c.quantity_lots <= market.terms.quantity_lots_max:
        return Reason.QUANTITY_OUT_OF_RANGE
    return Reason.NONE


def _why_wrong_price(c: OrderCommand, market: Market) -> Reason:
    least = 1 if c.order_type in LIMITED else 0
    most = 0 if c.order_type == OrderType.TRAILING_STOP else market.price_ticks_max
    if not least <= c.price_ticks <= most:
        return Reason.PRICE_OUT_OF_RANGE
    least = 1 if c.order_type in TRIGGERED else 0
    most = market.price_ticks_max if c.order_type in CONDITIONAL else 0
    if not least <= c.trigger_price_ticks <= most:
        return Reason.TRIGGER_PRICE_INVALID
    trails = c.order_type == OrderType.TRAILING_STOP
    if not (1 <= c.trail_ticks <= market.price_ticks_max if trails else c.trail_ticks == 0):
        return Reason.TRAIL_INVALID
    return Reason.NONE


def _why_wrong_extras(c: OrderCommand, market: Market) -> Reason:
    is_limit = c.order_type == OrderType.LIMIT
    shows_less = market.terms.quantity_lots_min <= c.display_lots < c.quantity_lots
    few_slices = c.quantity_lots <= c.display_lots * ICEBERG_SLICES_MAX
    if c.display_lots != 0 and not (is_limit and is_lasting(c) and shows_less and few_slices):
        return Reason.DISPLAY_QUANTITY_INVALID
    meets_the_book = not c.flags & FLAG_POST_ONLY and c.contingency != Contingency.WAITS_FOR_PARENT
    may_ask = (is_limit and meets_the_book) or (c.order_type == OrderType.MARKET and not is_by_amount(c))
    if c.min_quantity_lots != 0 and not (may_ask and 1 <= c.min_quantity_lots <= c.quantity_lots):
        return Reason.MIN_QUANTITY_INVALID
    if not (c.expire_ns > c.timestamp_ns if c.time_in_force == TimeInForce.GTD else c.expire_ns == 0):
        return Reason.EXPIRE_TIME_INVALID
    return Reason.NONE
