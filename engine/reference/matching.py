"""Matching: a taker meets the makers of the other side, one by one, at their prices."""

from itertools import groupby

from engine.records import BandAction, EventKind, Mode, Reason, SelfTrade
from engine.reference.definitions import PPM, fee
from engine.reference.ending import end, end_filled, end_other_leg
from engine.reference.market import Market
from engine.reference.orders import LIMITED, Order, opposite
from engine.reference.state import State

TIME_MAX_NS = 2**63 - 1


# The walk


def walk(state: State, order: Order, self_trade: int, amount: int = 0) -> list[tuple[int, int]]:
    """(price_ticks, lots) that the order would trade with the book as it stands.

    `amount` > 0: as many lots as so many quote units pay, instead of the order's remaining lots.
    """
    market = state.market(order)
    rest_lots, rest_units = order.remaining_lots, amount
    walked: list[tuple[int, int]] = []
    for price_ticks, makers in groupby(market.book.side(opposite(order.side)), key=lambda maker: maker.price_ticks):
        if not order.accepts(price_ticks) or market.is_stopped_at(order.side, price_ticks):
            break
        there, goes_on = _countable_lots(order, list(makers), self_trade)
        lots = min(there, rest_units // market.notional(price_ticks, 1) if amount else rest_lots)
        if lots:
            walked.append((price_ticks, lots))
        rest_lots -= lots
        rest_units -= market.notional(price_ticks, lots)
        if lots < there or not goes_on:
            break
    return walked


def _countable_lots(order: Order, makers: list[Order], self_trade: int) -> tuple[int, bool]:
    """Lots that the order can take at a price, and whether it gets beyond that price."""
    own = [at for at, maker in enumerate(makers) if order.is_self(maker)]
    if own and self_trade in (SelfTrade.CANCEL_NEWEST, SelfTrade.CANCEL_BOTH):
        return sum(maker.shown_lots for maker in makers[: own[0]]), False
    if self_trade == SelfTrade.CANCEL_OLDEST:
        makers = [maker for maker in makers if not order.is_self(maker)]
    return sum(maker.remaining_lots for maker in makers), True


def walked_lots(walked: list[tuple[int, int]]) -> int:
    """The lots of a walk."""
    return sum(lots for _, lots in walked)


def walked_notional(market: Market, walked: list[tuple[int, int]]) -> int:
    """The exact quote units of a walk."""
    return sum(market.notional(price_ticks, lots) for price_ticks, lots in walked)


def fillable_lots(state: State, order: Order) -> int:
    """The lots that the order could trade at once: what a self-trade would only decrement is none."""
    decrements = order.self_trade == SelfTrade.DECREMENT
    return walked_lots(walk(state, order, SelfTrade.CANCEL_NEWEST if decrements else order.self_trade))


# The taker


def take(state: State, order: Order, *, leaves_trace: bool = True) -> None:
    """The order, which is not in the book, matches; what remains of it rests or is cancelled."""
    prices: list[int] = []
    while (maker := _next_maker(state, order)) and not _is_stopped(state, order, maker):
        end_other_leg(state, order)
        end_other_leg(state, maker)
        if order.self_trade != SelfTrade.NONE and order.is_self(maker):
            _prevent(state, order, maker)
        else:
            prices.append(maker.price_ticks)
            _trade(state, order, maker)
    stopped = maker is not None  # by the band as it is now: the trace may move it
    if prices and leaves_trace:
        leave_trace(state, state.market(order), prices)
    if order.order_id in state.orders:  # SELF_TRADE did not end it
        _finish(state, order, stopped)


def _next_maker(state: State, order: Order) -> Order | None:
    """The maker that the order meets next, whatever the band says of it."""
    if order.order_id not in state.orders or order.remaining_lots == 0:
        return None
    maker = state.market(order).book.first(opposite(order.side))
    return maker if maker and order.accepts(maker.price_ticks) else None


def _is_stopped(state: State, order: Order, maker: Order) -> bool:
    return state.market(order).is_stopped_at(order.side, maker.price_ticks)


def _finish(state: State, order: Order, stopped: bool) -> None:
    if order.remaining_lots == 0:
        end_filled(state, order)
        return
    market = state.market(order)
    if stopped and market.terms.band_action == BandAction.AUCTION:
        until_ns = min(state.timestamp_ns + market.terms.band_auction_ns, TIME_MAX_NS)
        change_mode(state, market, Mode.AUCTION, until_ns, Reason.PRICE_BAND)
    if order.rests:
        state.rest(order)
    elif stopped:
        end(state, order, Reason.PRICE_BAND)
    else:
        end(state, order, Reason.IOC_REMAINDER if order.order_type in LIMITED else Reason.NO_LIQUIDITY)


def change_mode(state: State, market: Market, mode: Mode, until_ns: int, reason: Reason) -> None:
    """The market gets a mode, with the event."""
    previous, market.mode, market.auction_end = market.mode, mode, until_ns
    modes = {"mode": mode, "previous_mode": previous, "until_ns": until_ns}
    values = modes | {"reference_price_ticks": market.reference, "reason": reason}
    state.emit(EventKind.MODE_CHANGED, market=market.number, **values)


def leave_trace(state: State, market: Market, prices: list[int], *, uncrossed: bool = False) -> None:
    """What the trades at these prices, in their order, are to triggers and band."""
    market.last_price = prices[-1]
    market.grow_range(min(prices), max(prices))
    age_ns = state.timestamp_ns - market.reference_since
    is_due = market.reference == 0 or age_ns >= market.terms.band_interval_ns or uncrossed
    if market.terms.band_ppm > 0 and is_due:
        market.reference, market.reference_since = market.last_price, state.timestamp_ns


# A meeting of two


def _prevent(state: State, taker: Order, maker: Order) -> None:
    """Both belong together: no trade; the taker's `self_trade` says what instead."""
    lots = min(taker.remaining_lots, maker.shown_lots)
    price_ticks = maker.price_ticks
    released = {"amount": 0, "hold_released": 0}
    if taker.self_trade == SelfTrade.DECREMENT:
        released["amount"] = _decrement(state, maker, lots, price_ticks)
        released["hold_released"] = _decrement(state, taker, lots, price_ticks)
        maker.visible_lots -= lots if maker.display_lots else 0
    parties = {"maker_order_id": maker.order_id, "maker_account": maker.account}
    remains = {"remaining_lots": taker.remaining_lots, "maker_remaining_lots": maker.remaining_lots}
    values = parties | remains | released | {"price_ticks": price_ticks, "quantity_lots": lots}
    state.emit_order(EventKind.PREVENTED, taker, **values, reason=Reason.SELF_TRADE)
    if maker.remaining_lots:
        _refresh(state, maker)
    ends_maker = taker.self_trade in (SelfTrade.CANCEL_OLDEST, SelfTrade.CANCEL_BOTH)
    ends_taker = taker.self_trade in (SelfTrade.CANCEL_NEWEST, SelfTrade.CANCEL_BOTH)
    if ends_maker or maker.remaining_lots == 0:
        end(state, maker, Reason.SELF_TRADE)
    if ends_taker or taker.remaining_lots == 0:
        end(state, taker, Reason.SELF_TRADE)


def _decrement(state: State, order: Order, lots: int, price_ticks: int) -> int:
    """The order loses lots; the units that their hold was."""
    before = state.need(order)
    order.remaining_lots -= lots
    order.quantity_lots -= lots
    if order.exact_units is not None:
        market = state.market(order)
        order.exact_units -= market.notional(price_ticks, lots) if order.is_buy else market.base_units(lots)
    released = before - state.need(order)
    state.hold(order, -released)
    return released


def _trade(state: State, taker: Order, maker: Order) -> None:
    """As much as both have, at the maker's price."""
    lots = min(taker.remaining_lots, maker.shown_lots)
    settle(state, taker, maker, maker.price_ticks, lots, taker.flags, taker_fee_ppm(state, taker))
    maker.visible_lots -= lots if maker.display_lots else 0
    if maker.remaining_lots == 0:
        end_filled(state, maker)
    else:
        _refresh(state, maker)


def maker_fee_ppm(state: State, order: Order) -> int:
    """The account's share of what the market takes of whoever rested."""
    return state.market(order).terms.maker_fee_ppm * state.shares_of(order.account)[0] // PPM


def taker_fee_ppm(state: State, order: Order) -> int:
    """The account's share of what the market takes of whoever did not rest."""
    return state.market(order).terms.taker_fee_ppm * state.shares_of(order.account)[1] // PPM


def settle(state: State, taker: Order, maker: Order, price_ticks: int, lots: int, flags: int, taker_ppm: int) -> None:
    """Two orders trade: lots, money, fees and the event. The price may be better than either limit."""
    market = state.market(taker)
    notional, base_units = market.notional(price_ticks, lots), market.base_units(lots)
    taker_pays, maker_pays = (notional, base_units) if taker.is_buy else (base_units, notional)
    taker_fee, maker_fee = fee(maker_pays, taker_ppm), fee(taker_pays, maker_fee_ppm(state, maker))
    hold_released = _pay(state, taker, maker, lots, taker_pays, maker_fee)
    _pay(state, maker, taker, lots, maker_pays, taker_fee)
    state.trades += 1
    parties = {"maker_order_id": maker.order_id, "maker_account": maker.account, "trade_id": state.trades}
    remains = {"remaining_lots": taker.remaining_lots, "maker_remaining_lots": maker.remaining_lots}
    money = {"amount": notional, "taker_fee": taker_fee, "maker_fee": maker_fee, "hold_released": hold_released}
    values = parties | remains | money | {"price_ticks": price_ticks, "quantity_lots": lots, "flags": flags}
    state.emit_order(EventKind.TRADED, taker, **values)


def _pay(state: State, payer: Order, receiver: Order, lots: int, units: int, fee_units: int) -> int:
    """The payer's lots are traded: it pays from what is held; what was held beyond that is released and returned."""
    before = state.need(payer)
    payer.remaining_lots -= lots
    if payer.exact_units is not None:
        payer.exact_units -= units
    released = before - state.need(payer) - units
    state.ledger.pay(payer.account, receiver.account, state.asset_paid(payer), units, fee_units)
    state.hold(payer, -released)
    return released


def _refresh(state: State, maker: Order) -> None:
    """An iceberg that shows nothing any more shows its next slice, behind the others at its price."""
    if maker.display_lots == 0 or maker.visible_lots > 0:
        return
    state.leave_book(maker)
    state.rest(maker)
    sizes = {"quantity_lots": maker.quantity_lots, "remaining_lots": maker.remaining_lots}
    state.emit_order(
        EventKind.REFRESHED, maker, **sizes, display_lots=maker.display_lots, visible_lots=maker.visible_lots
    )
