"""AMEND: an order gets another price, quantity, trigger or display, and keeps its place if nobody is worse off."""

from dataclasses import dataclass, replace

from engine.records import FLAG_PRIORITY_KEPT, ICEBERG_SLICES_MAX, EventKind, Mode, OrderType, Reason
from engine.reference.codec import OrderCommand
from engine.reference.market import Market
from engine.reference.matching import take
from engine.reference.orders import FOR_PARENT, FOR_TRIGGER, Order
from engine.reference.placing import is_already_met, slide, why_notional_refused, why_position_refused
from engine.reference.state import State


@dataclass(slots=True)
class Amendment:
    """The order as it is, and a copy of it as it is to become."""

    old: Order
    new: Order

    @property
    def reprices(self) -> bool:
        return self.new.price_ticks != self.old.price_ticks

    @property
    def resizes(self) -> bool:
        return self.new.quantity_lots != self.old.quantity_lots

    @property
    def retriggers(self) -> bool:
        return self.new.trigger_price_ticks != self.old.trigger_price_ticks

    @property
    def grows_by(self) -> int:
        return self.new.quantity_lots - self.old.quantity_lots

    @property
    def keeps_priority(self) -> bool:
        displays_alike = self.new.display_lots == self.old.display_lots
        return displays_alike and not self.reprices and not self.retriggers and self.grows_by <= 0


def amend(state: State, c: OrderCommand) -> None:
    """AMEND."""
    reason = _why_unknown(state, c)
    amendment = None
    if not reason:
        amendment = _amendment(state.orders[c.order_id], c)
        reason = _why_refused(state, c, amendment)
    if amendment is None or reason:
        sizes = {"price_ticks": c.price_ticks, "quantity_lots": c.quantity_lots}
        state.reject(reason, order_id=c.order_id, **sizes)
    else:
        _carry_out(state, amendment)


def _amendment(order: Order, c: OrderCommand) -> Amendment:
    quantity_lots = c.quantity_lots or order.quantity_lots
    new = replace(
        order,
        price_ticks=c.price_ticks or order.price_ticks,
        quantity_lots=quantity_lots,
        remaining_lots=quantity_lots - order.filled_lots,
        trigger_price_ticks=c.trigger_price_ticks or order.trigger_price_ticks,
        display_lots=c.display_lots or order.display_lots,
    )
    return Amendment(order, new)


def _why_unknown(state: State, c: OrderCommand) -> Reason:
    """Check 1."""
    order = state.orders.get(c.order_id)
    if order is None or order.account != c.account:
        return Reason.UNKNOWN_ORDER
    mode = state.market(order).mode
    if mode is Mode.HALTED:
        return Reason.MARKET_HALTED
    return Reason.MARKET_CANCEL_ONLY if mode is Mode.CANCEL_ONLY else Reason.NONE


def _why_refused(state: State, c: OrderCommand, a: Amendment) -> Reason:
    """Checks 2 to 8."""
    market = state.market(a.old)
    return (
        _why_quantity_refused(market, a)
        or _why_fields_refused(market, c, a)
        or _why_price_refused(market, a)
        or _why_trigger_refused(market, a)
        or _why_crossing_refused(market, a)
        or _why_funds_refused(state, a)
    )


def _why_quantity_refused(market: Market, a: Amendment) -> Reason:
    """Check 2."""
    if a.new.quantity_lots < 1:
        return Reason.QUANTITY_OUT_OF_RANGE
    if a.new.remaining_lots < 1:
        return Reason.QUANTITY_BELOW_FILLED
    in_range = market.terms.quantity_lots_min <= a.new.quantity_lots <= market.terms.quantity_lots_max
    if a.resizes and not in_range:
        return Reason.QUANTITY_OUT_OF_RANGE
    return Reason.LINK_INVALID if a.resizes and a.old.other_leg else Reason.NONE


def _why_fields_refused(market: Market, c: OrderCommand, a: Amendment) -> Reason:
    """Check 3, of the fields that are given; and how many slices an iceberg has."""
    takes_price = a.old.order_type is not OrderType.TRAILING_STOP and 1 <= c.price_ticks <= market.price_ticks_max
    if c.price_ticks != 0 and not takes_price:
        return Reason.PRICE_OUT_OF_RANGE
    takes_trigger = a.old.conditional and a.old.waiting and 1 <= c.trigger_price_ticks <= market.price_ticks_max
    if c.trigger_price_ticks != 0 and not takes_trigger:
        return Reason.TRIGGER_PRICE_INVALID
    shows_less = market.terms.quantity_lots_min <= c.display_lots < a.new.quantity_lots
    if c.display_lots != 0 and not (a.old.order_type is OrderType.LIMIT and shows_less):
        return Reason.DISPLAY_QUANTITY_INVALID
    if 0 < a.new.display_lots * ICEBERG_SLICES_MAX < a.new.remaining_lots:
        return Reason.DISPLAY_QUANTITY_INVALID
    return Reason.NONE


def _why_price_refused(market: Market, a: Amendment) -> Reason:
    """Check 4. From here on the price is the one that the order slid to."""
    meets_the_book = a.old.resting and market.mode is not Mode.AUCTION
    if meets_the_book and a.reprices:
        reason = slide(market, a.new)
        if reason:
            return reason
    if a.reprices or a.resizes:
        reason = why_notional_refused(market, a.new.price_ticks, a.new.quantity_lots)
        if reason:
            return reason
    refused = meets_the_book and a.reprices and market.band_refuses(a.new)
    return Reason.PRICE_BAND if refused else Reason.NONE


def _why_trigger_refused(market: Market, a: Amendment) -> Reason:
    """Check 5."""
    refused = a.retriggers and a.old.waiting == FOR_TRIGGER and is_already_met(market, a.new)
    return Reason.TRIGGER_ALREADY_MET if refused else Reason.NONE


def _why_crossing_refused(market: Market, a: Amendment) -> Reason:
    """Check 6."""
    passive = market.mode is Mode.POST_ONLY or (a.old.post_only and not a.old.slides)
    crosses = a.old.resting and a.reprices and market.book.would_cross(a.new)
    refused = crosses and passive and market.mode is not Mode.AUCTION
    return Reason.POST_ONLY_WOULD_CROSS if refused else Reason.NONE


def _why_funds_refused(state: State, a: Amendment) -> Reason:
    """Checks 7 and 8."""
    if a.grows_by > 0 and a.old.waiting != FOR_PARENT:
        reason = why_position_refused(state, a.old, a.grows_by)
        if reason:
            return reason
    lacking = state.joint_need(a.new) - state.joint_need(a.old) > state.available(a.old)
    return Reason.INSUFFICIENT_FUNDS if lacking else Reason.NONE


def _carry_out(state: State, a: Amendment) -> None:
    order, keeps = a.old, a.keeps_priority
    newly_held = state.joint_need(a.new) - state.joint_need(order)
    state.hold(order, newly_held)
    was_resting = order.resting
    if not keeps:
        state.leave_book(order)
    order.price_ticks, order.trigger_price_ticks = a.new.price_ticks, a.new.trigger_price_ticks
    order.quantity_lots, order.remaining_lots = a.new.quantity_lots, a.new.remaining_lots
    order.display_lots = a.new.display_lots
    if keeps and was_resting:
        order.visible_lots = min(order.visible_lots, order.remaining_lots)
    else:
        order.show_anew()
    ahead = _ahead(state.market(order), order, keeps) if was_resting else []
    _announce(state, order, newly_held, keeps, ahead)
    if was_resting and not keeps:
        _come_back(state, order)


def _ahead(market: Market, order: Order, keeps: bool) -> list[Order]:
    """The orders before it at its price."""
    there = [o for o in market.book.side(order.side) if o.price_ticks == order.price_ticks]
    return [o for o in there if o.place < order.place] if keeps else there


def _announce(state: State, order: Order, newly_held: int, keeps: bool, ahead: list[Order]) -> None:
    sizes = {"quantity_lots": order.quantity_lots, "remaining_lots": order.remaining_lots, "amount": newly_held}
    trigger = {"trigger_price_ticks": order.trigger_price_ticks, "trail_ticks": order.trail_ticks}
    shown = {"display_lots": order.display_lots, "visible_lots": order.visible_lots, "expire_ns": order.expire_ns}
    queue = {"ahead_orders": len(ahead), "ahead_lots": sum(o.shown_lots for o in ahead)}
    flags = order.flags | (FLAG_PRIORITY_KEPT if keeps else 0)
    state.emit_order(EventKind.AMENDED, order, **sizes, **trigger, **shown, **queue, flags=flags)


def _come_back(state: State, order: Order) -> None:
    """An order that lost its place goes where it would go if it were placed now."""
    if state.market(order).mode is Mode.OPEN:
        take(state, order)
    else:
        state.rest(order)
