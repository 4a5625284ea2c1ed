"""PLACE and CANCEL_REPLACE from the checks of the market to the order at work: checks 7 to 18."""

from engine.records import (
    TRAILING_ORDERS_MAX,
    UNITS_MAX,
    Contingency,
    EventKind,
    Mode,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)
from engine.reference.codec import OrderCommand
from engine.reference.market import Market
from engine.reference.matching import fillable_lots, take, walk, walked_lots, walked_notional
from engine.reference.orders import FOR_PARENT, FOR_TRIGGER, NOT_WAITING, Order
from engine.reference.state import State
from engine.reference.validation import expiry_ns, is_by_amount, why_invalid


def place(state: State, c: OrderCommand) -> None:
    """PLACE."""
    reason = why_invalid(state, c)
    if reason:
        refuse(state, c, reason)
    else:
        admit(state, c)


def refuse(state: State, c: OrderCommand, reason: Reason) -> None:
    """The event of an order that is not accepted: the command as it stands in the record."""
    terms = {"market": c.market, "side": c.side, "order_type": c.order_type, "time_in_force": c.time_in_force}
    terms |= {"flags": c.flags, "price_ticks": c.price_ticks, "quantity_lots": c.quantity_lots}
    state.reject(reason, **terms, order_id=c.sequence)


def admit(state: State, c: OrderCommand) -> None:
    """A valid order meets the market: it is refused, or accepted and set to work."""
    order = _order(state, c)
    reason = (
        _why_closed(state, order)
        or _why_price_refused(state, c, order)
        or _why_link_refused(state, c, order)
        or _why_trigger_refused(state, order)
        or _why_no_match(state, c, order)
        or _why_over_limits(state, order)
        or _why_no_funds(state, c, order)
    )
    if reason:
        refuse(state, c, reason)
    else:
        _accept(state, c, order)


def _order(state: State, c: OrderCommand) -> Order:
    order = Order(
        order_id=c.sequence,
        market=c.market,
        account=c.account,
        side=Side(c.side),
        order_type=OrderType(c.order_type),
        time_in_force=TimeInForce(c.time_in_force),
        flags=c.flags,
        self_trade=c.self_trade,
        group=c.group,
        price_ticks=c.price_ticks,
        quantity_lots=c.quantity_lots,
        remaining_lots=c.quantity_lots,
        display_lots=c.display_lots,
        visible_lots=c.display_lots,
        expire_ns=expiry_ns(c),
        trigger_price_ticks=c.trigger_price_ticks,
        trail_ticks=c.trail_ticks,
        client_order_id=c.client_order_id,
        place=(c.sequence, 0),
    )
    order.waiting = FOR_TRIGGER if order.conditional else NOT_WAITING
    named = _named(state, c)
    leg_waits = c.contingency == Contingency.ONE_CANCELS_OTHER and named is not None and named.waiting == FOR_PARENT
    if c.contingency == Contingency.WAITS_FOR_PARENT or leg_waits:
        order.waiting = FOR_PARENT
    return order


def _named(state: State, c: OrderCommand) -> Order | None:
    """The live order that the command's link names. CANCEL_REPLACE, whose contingency is NONE, links to nobody."""
    return state.orders.get(c.order_id) if c.contingency != Contingency.NONE else None


def _is_taking(state: State, order: Order) -> bool:
    """Whether a LIMIT order meets the book now."""
    is_limit = order.order_type is OrderType.LIMIT
    return is_limit and order.waiting == NOT_WAITING and state.market(order).mode is not Mode.AUCTION


def _why_closed(state: State, order: Order) -> Reason:
    """Check 7."""
    mode = state.market(order).mode
    if mode is Mode.HALTED:
        return Reason.MARKET_HALTED
    if mode is Mode.CANCEL_ONLY:
        return Reason.MARKET_CANCEL_ONLY
    if mode is Mode.POST_ONLY and not order.lasting:
        return Reason.MARKET_POST_ONLY
    if mode is Mode.AUCTION and not order.lasting:
        return Reason.MARKET_IN_AUCTION
    return Reason.NONE


def _why_price_refused(state: State, c: OrderCommand, order: Order) -> Reason:
    """Checks 8 to 10."""
    market = state.market(order)
    taking = _is_taking(state, order)
    reason = slide(market, order) if taking else Reason.NONE
    if reason:
        return reason
    if is_by_amount(c):
        return Reason.NOTIONAL_TOO_SMALL if c.amount < market.terms.notional_units_min else Reason.NONE
    if order.order_type is not OrderType.MARKET:
        reason = why_notional_refused(market, order.price_ticks, order.quantity_lots)
    if not reason and taking and market.band_refuses(order):
        return Reason.PRICE_BAND
    return reason


def slide(market: Market, order: Order) -> Reason:
    """Check 8: an order with SLIDE that would cross takes the best passive price."""
    if order.slides and market.book.would_cross(order):
        order.price_ticks = market.slid_price(order)
        if not 1 <= order.price_ticks <= market.price_ticks_max:
            return Reason.POST_ONLY_WOULD_CROSS
    return Reason.NONE


def why_notional_refused(market: Market, price_ticks: int, quantity_lots: int) -> Reason:
    """Check 9, for an order with this price (0: none)."""
    notional = market.notional(price_ticks, quantity_lots)
    if price_ticks > 0 and notional < market.terms.notional_units_min:
        return Reason.NOTIONAL_TOO_SMALL
    return Reason.NOTIONAL_TOO_LARGE if notional >= UNITS_MAX else Reason.NONE


def _why_link_refused(state: State, c: OrderCommand, order: Order) -> Reason:
    """Check 11."""
    if c.contingency not in (Contingency.ONE_CANCELS_OTHER, Contingency.ONE_TRIGGERS_OTHER):
        return Reason.NONE
    named = _named(state, c)
    if named is None or (named.account, named.market) != (order.account, order.market):
        return Reason.LINK_INVALID
    if c.contingency == Contingency.ONE_CANCELS_OTHER:
        fits = _may_be_legs(order, named)
    else:
        leg = state.other_leg(named)
        fits = named.waiting == FOR_PARENT and named.parent == 0 and (leg is None or leg.parent == 0)
    return Reason.NONE if fits else Reason.LINK_INVALID


def _may_be_legs(order: Order, named: Order) -> bool:
    alike = named.side is order.side and named.remaining_lots == order.quantity_lots
    both_limits = order.order_type is OrderType.LIMIT and (named.order_type is OrderType.LIMIT or named.resting)
    return alike and named.other_leg == 0 and named.child == 0 and not both_limits


def _why_trigger_refused(state: State, order: Order) -> Reason:
    """Check 12. A trailing order gets its trigger."""
    market = state.market(order)
    if order.order_type is OrderType.TRAILING_STOP:
        live = state.live_orders(market=order.market)
        if sum(o.order_type is OrderType.TRAILING_STOP for o in live) >= TRAILING_ORDERS_MAX:
            return Reason.TRAILING_ORDERS_FULL
        if order.waiting == FOR_TRIGGER and order.trigger_price_ticks == 0:
            away = order.trail_ticks if order.is_buy else -order.trail_ticks
            order.trigger_price_ticks = market.last_price + away
            if market.last_price == 0 or not 1 <= order.trigger_price_ticks <= market.price_ticks_max:
                return Reason.TRAIL_INVALID
    if order.waiting == FOR_TRIGGER and is_already_met(market, order):
        return Reason.TRIGGER_ALREADY_MET
    return Reason.NONE


def is_already_met(market: Market, order: Order) -> bool:
    """Whether the last price, or one whose fires are pending, meets the order's trigger."""
    return order.is_met_by(market.last_price, market.last_price) or market.is_met(order)


def _why_no_match(state: State, c: OrderCommand, order: Order) -> Reason:
    """Checks 13 to 15, for orders that meet the book now. A market order by amount gets its quantity."""
    market = state.market(order)
    is_market = order.order_type is OrderType.MARKET
    if not is_market and not _is_taking(state, order):
        return Reason.NONE
    passive = market.mode is Mode.POST_ONLY or (order.post_only and not order.slides)
    if passive and market.book.would_cross(order):
        return Reason.POST_ONLY_WOULD_CROSS
    fillable = fillable_lots(state, order)
    if order.time_in_force is TimeInForce.FOK and fillable < order.quantity_lots:
        return Reason.FOK_NOT_FILLABLE
    if fillable < c.min_quantity_lots:
        return Reason.MIN_QUANTITY_NOT_FILLABLE
    if is_by_amount(c):
        order.quantity_lots = order.remaining_lots = walked_lots(_walk(state, c, order))
        if order.quantity_lots == 0:
            return Reason.NO_LIQUIDITY
        if order.quantity_lots > market.terms.quantity_lots_max:
            return Reason.QUANTITY_OUT_OF_RANGE
    return Reason.NONE


def _walk(state: State, c: OrderCommand, order: Order) -> list[tuple[int, int]]:
    return walk(state, order, order.self_trade, c.amount)


def _why_over_limits(state: State, order: Order) -> Reason:
    """Check 16."""
    open_orders_max = state.market(order).terms.open_orders_max
    if order.lasting and 0 < open_orders_max <= len(state.live_orders(order.account, order.market)):
        return Reason.OPEN_ORDERS_LIMIT
    return why_position_refused(state, order, order.quantity_lots)


def why_position_refused(state: State, order: Order, lots: int) -> Reason:
    """Whether a buyer's position might come to exceed the market's limit with so many lots more."""
    market = state.market(order)
    if not order.is_buy or order.waiting == FOR_PARENT or market.terms.position_lots_max == 0:
        return Reason.NONE
    owned = sum(state.ledger.balance(order.account, market.definition.base)) // market.definition.lot_units
    mine = state.live_orders(order.account, order.market)
    bid_for = sum(o.remaining_lots for o in mine if o.is_buy and o.waiting != FOR_PARENT)
    exceeds = owned + bid_for + lots > market.terms.position_lots_max
    return Reason.POSITION_LIMIT if exceeds else Reason.NONE


def _why_no_funds(state: State, c: OrderCommand, order: Order) -> Reason:
    """Check 17. A market order gets the exact units that it will pay."""
    market = state.market(order)
    if order.order_type is OrderType.MARKET:
        walked = _walk(state, c, order)
        notional = walked_notional(market, walked)
        if notional >= UNITS_MAX:
            return Reason.NOTIONAL_TOO_LARGE
        order.exact_units = notional if order.is_buy else market.base_units(walked_lots(walked))
    return Reason.INSUFFICIENT_FUNDS if state.available(order) < _needed(state, c, order) else Reason.NONE


def _needed(state: State, c: OrderCommand, order: Order) -> int:
    """Units to hold: all that it needs, or what it needs beyond what its other leg holds already."""
    named = _named(state, c) if c.contingency == Contingency.ONE_CANCELS_OTHER else None
    return max(0, state.need(order) - state.need(named)) if named else state.need(order)


def _accept(state: State, c: OrderCommand, order: Order) -> None:
    """Check 18."""
    needed = _needed(state, c, order)
    state.hold(order, needed)
    sizes = {"quantity_lots": order.quantity_lots, "remaining_lots": order.quantity_lots, "amount": needed}
    trigger = {"trigger_price_ticks": order.trigger_price_ticks, "trail_ticks": order.trail_ticks}
    shown = {"display_lots": order.display_lots, "visible_lots": order.visible_lots, "expire_ns": order.expire_ns}
    links = {"linked_order_id": c.order_id, "asset": order.waiting}
    state.emit_order(EventKind.ACCEPTED, order, **sizes, **trigger, **shown, **links)
    state.orders[order.order_id] = order
    _link(state, c, order)
    if order.waiting:
        state.go_live(order)
    elif order.rests and state.market(order).mode is Mode.AUCTION:
        state.rest(order)
    else:
        take(state, order, leaves_trace=c.version != 1)


def _link(state: State, c: OrderCommand, order: Order) -> None:
    named = _named(state, c)
    if named and c.contingency == Contingency.ONE_CANCELS_OTHER:
        order.other_leg, named.other_leg = named.order_id, order.order_id
    elif named:
        order.child, named.parent = named.order_id, order.order_id
