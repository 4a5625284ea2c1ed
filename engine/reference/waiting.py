"""What happens by itself after something happened: waiting orders fire, children are activated."""

from engine.records import CASCADE_MAX, UNITS_MAX, EventKind, Mode, OrderType, Reason
from engine.reference.ending import end, end_other_leg
from engine.reference.market import Market
from engine.reference.matching import take, walk, walked_notional
from engine.reference.orders import FOR_TRIGGER, LIMITED, NOT_WAITING, Order
from engine.reference.state import State


def follow_up(state: State) -> None:
    """Fire, let triggers rest, activate; until nothing is left."""
    while True:
        fires = next_to_fire(state) if state.fired < CASCADE_MAX else None
        if fires:
            state.fired += 1
            _fire(state, fires)
            continue
        for market in state.markets:
            _settle_triggers(state, market)
        if not state.activations:
            return
        child, filled_lots = state.activations.popleft()
        if state.orders.get(child.order_id) is child:
            _activate(state, child, filled_lots)


# Triggers


def _waiting_for_trigger(state: State, market: Market) -> list[Order]:
    return [order for order in state.live_orders(market=market.number) if order.waiting == FOR_TRIGGER]


def next_to_fire(state: State) -> Order | None:
    """Of the first open market where a trigger is met: the lowest above, else the highest below; oldest first."""
    for market in state.markets:
        if market.mode is not Mode.OPEN or market.range_high == 0:
            continue
        met = [order for order in _waiting_for_trigger(state, market) if market.is_met(order)]
        above = [order for order in met if order.triggered_above]
        if above:
            return min(above, key=lambda order: (order.trigger_price_ticks, order.order_id))
        if met:
            return min(met, key=lambda order: (-order.trigger_price_ticks, order.order_id))
    return None


def _settle_triggers(state: State, market: Market) -> None:
    """A range that meets nobody any more becomes empty, and then trailing orders follow the last price."""
    if market.range_high == 0:
        return
    waiting = _waiting_for_trigger(state, market)
    if any(market.is_met(order) for order in waiting):
        return
    market.range_low = market.range_high = 0
    for order in waiting:
        if order.order_type is OrderType.TRAILING_STOP:
            _trail(market, order)


def _trail(market: Market, order: Order) -> None:
    nearer = min if order.is_buy else max
    order.trigger_price_ticks = nearer(order.trigger_price_ticks, trailing_trigger(market, order))


def trailing_trigger(market: Market, order: Order) -> int:
    """Where a trailing order's trigger is as seen from the last price, within the market's prices."""
    away = order.trail_ticks if order.is_buy else -order.trail_ticks
    return min(max(1, market.last_price + away), market.price_ticks_max)


def _fire(state: State, order: Order) -> None:
    market = state.market(order)
    end_other_leg(state, order)
    order.waiting = NOT_WAITING
    newly_held = 0
    reason = Reason.NONE
    if order.is_buy and order.price_ticks == 0:
        cost = walked_notional(market, walk(state, order, order.self_trade))
        reason = _why_unaffordable(state, order, cost)
        order.exact_units = newly_held = 0 if reason else cost
        state.hold(order, newly_held)
    sizes = {"quantity_lots": order.quantity_lots, "remaining_lots": order.remaining_lots, "amount": newly_held}
    trigger = {"trigger_price_ticks": order.trigger_price_ticks, "trail_ticks": order.trail_ticks}
    state.emit_order(EventKind.TRIGGERED, order, **sizes, **trigger)
    if order.order_type in LIMITED and market.band_refuses(order):
        reason = Reason.PRICE_BAND
    if reason:
        end(state, order, reason)
    else:
        take(state, order)


def _why_unaffordable(state: State, order: Order, cost: int) -> Reason:
    if cost >= UNITS_MAX:
        return Reason.NOTIONAL_TOO_LARGE
    return Reason.INSUFFICIENT_FUNDS if cost > state.available(order) else Reason.NONE


# Children


def _activate(state: State, child: Order, filled_lots: int) -> None:
    """A child and its other leg take part with what their parent filled."""
    leg = state.other_leg(child)
    family = [child, leg] if leg else [child]
    as_placed = [(order.quantity_lots, order.price_ticks) for order in family]
    for order in family:
        _resize(order, filled_lots)
        _slide(state, order)
    if not _make_affordable(state, family):
        # Nobody was told of other sizes and prices: they end as they were placed.
        for order, (quantity_lots, order.price_ticks) in zip(family, as_placed, strict=True):
            order.quantity_lots = order.remaining_lots = quantity_lots
        end(state, child, Reason.INSUFFICIENT_FUNDS)
        return
    held = 0
    for order in family:
        held += _announce(state, order, held)
    for order in family:
        if order.conditional:
            _await_trigger(state, order)
    for order in family:
        if not order.conditional:
            _enter_book(state, order)


def _resize(order: Order, lots: int) -> None:
    order.quantity_lots = order.remaining_lots = min(order.quantity_lots, lots)


def _slide(state: State, order: Order) -> None:
    market = state.market(order)
    if not order.slides or market.mode is Mode.AUCTION or not market.book.would_cross(order):
        return
    price_ticks = market.slid_price(order)
    if 1 <= price_ticks <= market.price_ticks_max and market.notional(price_ticks, order.quantity_lots) < UNITS_MAX:
        order.price_ticks = price_ticks


def _make_affordable(state: State, family: list[Order]) -> bool:
    """Whether the account can hold what they need together; sellers take fewer lots if they must."""
    first = family[0]
    market, available = state.market(first), state.available(first)
    if max(need_when_active(state, order) for order in family) <= available:
        return True
    lots = available // market.definition.lot_units
    if first.is_buy or lots < market.terms.quantity_lots_min:
        return False
    for order in family:
        _resize(order, lots)
    return True


def need_when_active(state: State, order: Order) -> int:
    """Units that an order which waits for its parent will need when it does not any more."""
    waiting, order.waiting = order.waiting, NOT_WAITING
    needed = state.need(order)
    order.waiting = waiting
    return needed


def _announce(state: State, order: Order, held: int) -> int:
    """The order wakes: what it needs beyond `held` units, which its other leg holds, is held; those units."""
    order.waiting = FOR_TRIGGER if order.conditional else NOT_WAITING
    order.show_anew()
    if order.order_type is OrderType.TRAILING_STOP and order.trigger_price_ticks == 0:
        order.trigger_price_ticks = _first_trailing_trigger(state.market(order), order)
    newly_held = max(0, state.need(order) - held)
    state.hold(order, newly_held)
    sizes = {"quantity_lots": order.quantity_lots, "remaining_lots": order.remaining_lots, "amount": newly_held}
    trigger = {"trigger_price_ticks": order.trigger_price_ticks, "trail_ticks": order.trail_ticks}
    shown = {"display_lots": order.display_lots, "visible_lots": order.visible_lots, "expire_ns": order.expire_ns}
    state.emit_order(EventKind.ACTIVATED, order, **sizes, **trigger, **shown)
    return newly_held


def _first_trailing_trigger(market: Market, order: Order) -> int:
    if market.last_price == 0:
        return market.price_ticks_max if order.is_buy else 1
    return trailing_trigger(market, order)


def _await_trigger(state: State, order: Order) -> None:
    market = state.market(order)
    if order.is_met_by(market.last_price, market.last_price):
        market.grow_range(market.last_price, market.last_price)


def _enter_book(state: State, order: Order) -> None:
    """A child with a limit and no trigger goes where it would go if it were placed now."""
    market = state.market(order)
    if market.mode is Mode.AUCTION:
        state.rest(order)
    elif market.book.would_cross(order) and (order.post_only or market.mode is not Mode.OPEN):
        end(state, order, Reason.POST_ONLY_WOULD_CROSS)
    elif market.band_refuses(order):
        end(state, order, Reason.PRICE_BAND)
    else:
        take(state, order)
