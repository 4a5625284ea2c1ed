"""A second opinion on a shard: what commands and events alone say that its orders, books and balances must be.

`follow` checks every event against the events before it (who trades, in what order, at what price and fee, what is held
and released, who must end), `check` the shard's state against where they have led.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

from engine.records import (
    EXTERNAL_ACCOUNT,
    FLAG_AUCTION,
    FLAG_POST_ONLY,
    FLAG_PRIORITY_KEPT,
    FLAG_SLIDE,
    REVENUE_ACCOUNT,
    BandAction,
    CommandKind,
    Contingency,
    EventKind,
    Mode,
    OrderType,
    Reason,
    SelfTrade,
    Side,
)
from tests.support.audited import AuditedState
from tests.support.commands import Event, read_command
from tests.support.followed import PARENT, TRIGGER, Followed, FollowedMarket, ends_by_self_trade, left_to_fire

_STARTS = {EventKind.ACCEPTED, EventKind.TRIGGERED, EventKind.ACTIVATED, EventKind.AMENDED, EventKind.UNCROSSED}
_OF_THEIR_OWN = {Reason.EXPIRED, Reason.CANCELLED_BY_OWNER, Reason.MASS_CANCEL, Reason.REPLACED, Reason.DEAD_MAN_TIMER}


class Audit(AuditedState):
    """Live orders, markets, balances and the number of trades, as the events tell them."""

    def __init__(self) -> None:
        super().__init__()
        self.timestamp_ns = 0
        self._places = count(1)
        self._command: dict[str, Any] = {}
        self._active: Followed | None = None  # an order that is about to match, and to rest
        self._trades: list[Event] = []  # of it, or of an auction
        self._auction: Event | None = None
        self._doomed: dict[int, Reason] = {}
        self._to_activate: dict[int, int] = {}  # child -> lots that its parent filled
        self._takes: dict[EventKind, Callable[[Event], None]] = {
            EventKind.MARKET_DEFINED: self._define,
            EventKind.MARKET_CONFIGURED: self._configure,
            EventKind.DEPOSITED: self._transfer,
            EventKind.WITHDRAWN: self._transfer,
            EventKind.ACCEPTED: self._accept,
            EventKind.TRADED: self._trade,
            EventKind.PREVENTED: self._prevent,
            EventKind.CANCELLED: self._cancel,
            EventKind.TRIGGERED: self._fire,
            EventKind.ACTIVATED: self._activate,
            EventKind.REFRESHED: self._refresh,
            EventKind.AMENDED: self._amend,
            EventKind.UNCROSSED: self._uncross,
            EventKind.MODE_CHANGED: self._change_mode,
            EventKind.MASS_CANCELLED: self._mass_cancelled,
            EventKind.FEES_SET: self._set_fees,
            EventKind.CANCEL_AFTER_SET: self._set_timer,
            EventKind.CANCEL_AFTER_FIRED: self._timer_fired,
        }

    def follow(self, command: bytes, events: list[Event]) -> None:
        """Take in what one command caused."""
        self._command = read_command(command)
        self.timestamp_ns = self._command["timestamp_ns"]
        assert events or self._command["kind"] == CommandKind.CLOCK, "every command but CLOCK causes an event"
        refused = [event for event in events if event.kind is EventKind.REJECTED]
        assert len(refused) <= 1 and all(event.reason for event in refused)
        for event in events:
            assert (event.sequence, event.timestamp_ns) == (self._command["sequence"], self.timestamp_ns)
            if (event.kind in _STARTS or event.reason in _OF_THEIR_OWN) and not self._is_second_leg(event):
                self._finish()
            self._takes.get(event.kind, self._ignore)(event)
        self._finish()
        self.fires_later = left_to_fire(events)
        self._check_nothing_is_due()
        assert not self._doomed, f"these should have ended: {self._doomed}"
        assert not self._to_activate, f"these should have been activated: {self._to_activate}"

    def _check_nothing_is_due(self) -> None:
        """All that was due has happened, but what this command itself made for the end of time."""
        for order in self.orders.values():
            assert (
                not order.expires or order.expire_ns > self.timestamp_ns or order.order_id == self._command["sequence"]
            )
        for account, expire_ns in self.timers.items():
            assert expire_ns > self.timestamp_ns or account == self._command["account"]
        for market in self.markets.values():
            assert not market.auction_end_ns or market.auction_end_ns > min(self.timestamp_ns, 2**63 - 2)

    def _is_second_leg(self, event: Event) -> bool:
        """Whether the event activates the other leg of a child that was activated just now."""
        return event.kind is EventKind.ACTIVATED and not self._is_first_leg(self.orders[event.order_id])

    def _is_first_leg(self, order: Followed) -> bool:
        return order.other_leg == 0 or self.orders[order.other_leg].waiting == PARENT

    def _ignore(self, event: Event) -> None:
        """An event that changes nothing that is followed."""

    # Time within a command

    def _finish(self) -> None:
        """What was matching is done: its trades leave their trace, and it rests if it may."""
        self._leave_trace()
        if self._active:
            assert self._active.may_rest, f"#{self._active.order_id} should have traded or ended"
            self._rest(self._active)
        self._active = None
        for market in self.markets.values():
            market.settle(self.of_market(market.number))

    def _leave_trace(self) -> None:
        trades, self._trades = self._trades, []
        if trades and not (self._command["version"] == 1 and trades[0].order_id == self._command["sequence"]):
            prices = [trade.price_ticks for trade in trades]
            uncrossed = bool(trades[0].flags & FLAG_AUCTION)
            self.markets[trades[0].market].trace(prices, self.timestamp_ns, uncrossed)

    def _rest(self, order: Followed) -> None:
        order.visible_lots = min(order.display_lots, order.remaining_lots)
        order.place = next(self._places)

    # Definitions and transfers

    def _define(self, event: Event) -> None:
        self.markets[event.market] = FollowedMarket(event.market, dict(self._command))

    def _configure(self, event: Event) -> None:
        self.markets[event.market].configure(self._command, self.timestamp_ns)

    def _transfer(self, event: Event) -> None:
        amount = event.amount if event.kind is EventKind.DEPOSITED else -event.amount
        self.available[event.account, event.asset] += amount
        self.available[EXTERNAL_ACCOUNT, event.asset] -= amount

    # Orders begin

    def _accept(self, event: Event) -> None:
        c = self._command
        known = c["version"] > 1
        assert event.remaining_lots == event.quantity_lots > 0
        assert (event.order_id, event.account) == (event.sequence, c["account"])
        shared = {name: getattr(event, name) for name in Followed.__dataclass_fields__ if name in Event._fields}
        shared["flags"] &= FLAG_POST_ONLY | FLAG_SLIDE
        order = Followed(
            **shared,
            group=c["group"] if known else 0,
            client_order_id=c["client_order_id"] if known else b"",
            waiting=event.asset,
        )
        if c["kind"] == CommandKind.PLACE and known:
            self._link(order, c)
        self.orders[order.order_id] = order
        self.hold(order, event.amount)
        self._active = None if order.waiting else order

    def _link(self, order: Followed, c: dict[str, Any]) -> None:
        match c["contingency"]:
            case Contingency.ONE_CANCELS_OTHER:
                other = self.orders[c["order_id"]]
                assert (other.account, other.market, other.side) == (order.account, order.market, order.side)
                assert other.other_leg == 0 and other.remaining_lots == order.remaining_lots
                assert (order.waiting == PARENT) == (other.waiting == PARENT)
                other.other_leg, order.other_leg, order.purse = order.order_id, other.order_id, other.purse
            case Contingency.ONE_TRIGGERS_OTHER:
                child = self.orders[c["order_id"]]
                assert child.waiting == PARENT and child.parent == 0
                order.child, child.parent = child.order_id, order.order_id
            case Contingency.WAITS_FOR_PARENT:
                assert order.waiting == PARENT

    def _fire(self, event: Event) -> None:
        order = self.orders[event.order_id]
        opened = sorted((m for m in self.markets.values() if m.mode == Mode.OPEN), key=lambda market: market.number)
        fires = next(
            (first for market in opened if (first := market.next_to_fire(self.of_market(market.number)))), None
        )
        assert order is fires, f"#{order.order_id} fires, but {fires and fires.order_id} is first"
        self._compare(order, event, "trigger_price_ticks", "trail_ticks", "price_ticks", "remaining_lots")
        assert order.other_leg == 0, "the other leg ends before an order fires"
        order.waiting = 0
        self.hold(order, event.amount)
        self._active = order

    def _activate(self, event: Event) -> None:
        order = self.orders[event.order_id]
        assert order.waiting == PARENT
        other = self.orders.get(order.other_leg)
        if other is None or self._is_first_leg(order):
            assert next(iter(self._to_activate)) == order.order_id, "children are activated in the order of their calls"
            lots = self._to_activate[order.order_id]
            assert event.quantity_lots <= min(order.quantity_lots, lots)
            if other is None:
                del self._to_activate[order.order_id]
        else:
            assert self._to_activate.pop(other.order_id), "the other leg of a child follows it"
            assert event.quantity_lots == other.quantity_lots
        self._take_terms(order, event)
        order.waiting = 0 if order.order_type == OrderType.LIMIT else TRIGGER
        self.hold(order, event.amount)
        market = self.markets[order.market]
        if order.is_met(market.last_price_ticks, market.last_price_ticks):
            market.grow_range(market.last_price_ticks, market.last_price_ticks)
        self._active = self._active or (None if order.waiting else order)

    def _take_terms(self, order: Followed, event: Event) -> None:
        """New terms as ACTIVATED and AMENDED tell them."""
        names = (
            "price_ticks",
            "quantity_lots",
            "remaining_lots",
            "trigger_price_ticks",
            "display_lots",
            "visible_lots",
        )
        for name in names:
            setattr(order, name, getattr(event, name))
        self._compare(order, event, "trail_ticks", "expire_ns", "side", "order_type", "time_in_force", "account")

    def _compare(self, order: Followed, event: Event, *names: str) -> None:
        for name in names:
            assert getattr(event, name) == getattr(order, name), f"{name} of #{order.order_id}"

    # Trades

    def _trade(self, event: Event) -> None:
        taker, maker = self.orders[event.order_id], self.orders[event.maker_order_id]
        lots = event.quantity_lots
        auction = self._auction if event.flags & FLAG_AUCTION else None
        assert taker.other_leg == maker.other_leg == 0, "other legs end before a trade"
        if auction is not None:
            self._check_uncrossing(event, taker, maker, auction)
        else:
            self._check_meeting(event, taker, maker)
            assert event.price_ticks == maker.price_ticks
            assert not taker.is_own(maker) or taker.self_trade == SelfTrade.NONE, "a self-trade to prevent"
        self.trades += 1
        assert event.trade_id == self.trades
        self._compare(taker, event, "account", "side", "market", "self_trade", "order_type", "time_in_force")
        assert event.maker_account == maker.account
        for order in (taker, maker):
            order.remaining_lots -= lots
            order.visible_lots = order.visible_lots and self._visible_after(order, lots, auction is not None)
        assert (event.remaining_lots, event.maker_remaining_lots) == (taker.remaining_lots, maker.remaining_lots)
        self._settle_trade(event, taker, maker)
        self._trades.append(event)
        for order in (taker, maker) if auction is not None else (maker, taker):
            if not order.remaining_lots:
                assert order.purse.units == 0, "a filled order holds nothing"
                self._end(order)

    def _visible_after(self, order: Followed, lots: int, auction: bool) -> int:
        return (
            min(order.visible_lots, order.remaining_lots) if auction or not order.place else order.visible_lots - lots
        )

    def _check_meeting(self, event: Event, taker: Followed, maker: Followed) -> None:
        assert taker is self._active and taker.waiting == 0
        market = self.markets[taker.market]
        assert market.mode == Mode.OPEN, "nothing trades but in an open market"
        assert maker is self.in_book(taker.market, Side.BUY + Side.SELL - taker.side)[0], (
            "the best price, then the first"
        )
        assert taker.may_trade(event.price_ticks)
        if market.band:
            both_ways = market.terms["band_action"] == BandAction.AUCTION
            assert market.band[0] <= event.price_ticks or (taker.side == Side.BUY and not both_ways)
            assert event.price_ticks <= market.band[1] or (taker.side == Side.SELL and not both_ways)
        assert event.quantity_lots == min(taker.remaining_lots, maker.shown_lots) > 0

    def _check_uncrossing(self, event: Event, bid: Followed, ask: Followed, auction: Event) -> None:
        assert bid is self.in_book(event.market, Side.BUY)[0] and ask is self.in_book(event.market, Side.SELL)[0]
        assert event.price_ticks == auction.price_ticks
        assert bid.may_trade(event.price_ticks) and ask.may_trade(event.price_ticks)
        left = auction.quantity_lots
        assert event.quantity_lots == min(bid.remaining_lots, ask.remaining_lots, left) > 0
        self._auction = auction._replace(quantity_lots=left - event.quantity_lots)

    def _settle_trade(self, event: Event, taker: Followed, maker: Followed) -> None:
        market, price, lots = self.markets[taker.market], event.price_ticks, event.quantity_lots
        given, taken = market.worth(taker, price, lots), market.worth(maker, price, lots)
        assert event.amount == price * lots * market.terms["tick_lot_units"]
        assert event.taker_fee == taken * self._fee_ppm(taker, is_maker=bool(event.flags & FLAG_AUCTION)) // 1_000_000
        assert event.maker_fee == given * self._fee_ppm(maker, is_maker=True) // 1_000_000
        self._pay(taker, maker, given, event.maker_fee)
        self._pay(maker, taker, taken, event.taker_fee)
        held_at = taker.price_ticks if taker.order_type != OrderType.MARKET else 0
        better = held_at - price if taker.side == Side.BUY and held_at else 0
        assert event.hold_released == better * lots * market.terms["tick_lot_units"]
        self.hold(taker, -event.hold_released)

    def _fee_ppm(self, order: Followed, *, is_maker: bool) -> int:
        share_of_maker, share_of_taker = self.fee_shares.get(order.account, (1_000_000, 1_000_000))
        terms = self.markets[order.market].terms
        if is_maker:
            return int(terms["maker_fee_ppm"]) * share_of_maker // 1_000_000
        return int(terms["taker_fee_ppm"]) * share_of_taker // 1_000_000

    def _pay(self, payer: Followed, receiver: Followed, amount: int, fee: int) -> None:
        asset = self.markets[payer.market].asset_of(payer)
        payer.purse.units -= amount
        self.held[payer.account, asset] -= amount
        self.available[receiver.account, asset] += amount - fee
        self.available[REVENUE_ACCOUNT, asset] += fee

    def _prevent(self, event: Event) -> None:
        taker, maker = self.orders[event.order_id], self.orders[event.maker_order_id]
        self._check_meeting(event, taker, maker)
        assert taker.is_own(maker) and taker.self_trade != SelfTrade.NONE and event.reason == Reason.SELF_TRADE
        assert taker.other_leg == maker.other_leg == 0, "other legs end before a meeting"
        assert not (event.trade_id or event.taker_fee or event.maker_fee)
        shrinks = taker.self_trade == SelfTrade.DECREMENT
        if shrinks:
            self._shrink(event, taker, maker)
        assert shrinks or event.amount == event.hold_released == 0
        self.hold(maker, -event.amount)
        self.hold(taker, -event.hold_released)
        assert (event.remaining_lots, event.maker_remaining_lots) == (taker.remaining_lots, maker.remaining_lots)
        for order in ends_by_self_trade(taker.self_trade, taker, maker):
            self._doomed[order.order_id] = Reason.SELF_TRADE

    def _shrink(self, event: Event, taker: Followed, maker: Followed) -> None:
        market, lots = self.markets[taker.market], event.quantity_lots
        taker_price = taker.price_ticks if taker.order_type != OrderType.MARKET else 0
        assert event.hold_released == market.worth(taker, taker_price or event.price_ticks, lots)
        assert event.amount == market.worth(maker, maker.price_ticks, lots)
        for order in (taker, maker):
            order.quantity_lots -= lots
            order.remaining_lots -= lots
            order.visible_lots = order.visible_lots and self._visible_after(order, lots, auction=False)

    def _refresh(self, event: Event) -> None:
        order = self.orders[event.order_id]
        assert order.place and order.display_lots and order.visible_lots == 0 < order.remaining_lots
        self._rest(order)
        self._compare(order, event, "price_ticks", "quantity_lots", "remaining_lots", "display_lots", "visible_lots")

    # Orders end and change

    def _cancel(self, event: Event) -> None:
        order = self.orders[event.order_id]
        reason = Reason(event.reason)
        self._compare(order, event, "account", "side", "market", "price_ticks", "order_type", "time_in_force")
        assert (event.quantity_lots, event.remaining_lots) == (order.remaining_lots, 0), "accepted = filled + cancelled"
        assert self._doomed.pop(order.order_id, reason) == reason
        other = self.orders.get(order.other_leg)
        self.hold(order, -event.amount)
        left = self.markets[other.market].needs(other) if other else 0
        assert order.purse.units == left, "an order that ends gives back all that was held for it alone"
        if reason is Reason.EXPIRED:
            assert order.expires and order.expire_ns <= self.timestamp_ns
        if reason is Reason.MASS_CANCEL:
            assert self._in_scope(order)
        if reason is Reason.DEAD_MAN_TIMER:
            assert self.timers[order.account] == min(self._due_first()), "the timer that is due first fires first"
        goes_on_alone = reason is Reason.LINKED_ORDER and order.waiting != PARENT
        if other and not goes_on_alone:
            self._doomed[other.order_id] = Reason.LINKED_ORDER
        self._end(order)

    def _end(self, order: Followed) -> None:
        """An order is live no more: what is linked to it is told."""
        del self.orders[order.order_id]
        self._active = None if order is self._active else self._active
        self._to_activate.pop(order.order_id, None)
        if order.other_leg:
            self.orders[order.other_leg].other_leg = 0
        if order.parent:
            self.orders[order.parent].child = 0
        if order.child:
            self.orders[order.child].parent = 0
            if order.filled_lots:
                self._to_activate[order.child] = order.filled_lots
            else:
                self._doomed[order.child] = Reason.LINKED_ORDER

    def _amend(self, event: Event) -> None:
        order = self.orders[event.order_id]
        market = self.markets[order.market]
        kept = bool(event.flags & FLAG_PRIORITY_KEPT)
        moves = event.price_ticks != order.price_ticks or event.trigger_price_ticks != order.trigger_price_ticks
        grows = event.quantity_lots > order.quantity_lots
        assert kept <= (not moves and not grows and event.display_lots == order.display_lots)
        assert event.quantity_lots - event.remaining_lots == order.filled_lots
        visible = (
            min(order.visible_lots, event.remaining_lots) if kept else min(event.display_lots, event.remaining_lots)
        )
        self._take_terms(order, event)
        assert order.visible_lots == visible
        self.hold(order, event.amount)
        self._check_ahead(order, event, kept)
        assert order.purse.units == max(market.needs(leg) for leg in self.legs(order))
        if order.place and not kept:
            order.place = 0
            self._active = order

    def _check_ahead(self, order: Followed, event: Event, kept: bool) -> None:
        rivals = [
            o for o in self.in_book(order.market, order.side) if o.price_ticks == order.price_ticks and o is not order
        ]
        if not order.place:
            rivals = []
        elif kept:
            rivals = [rival for rival in rivals if rival.place < order.place]
        assert event.ahead_orders == len(rivals)
        assert event.ahead_lots == sum(rival.shown_lots for rival in rivals)

    def _in_scope(self, order: Followed) -> bool:
        c = self._command
        wanted = (c["account"], order.account), (c["market"], order.market), (c["side"], order.side)
        within = not c["price_ticks"] or c["price_ticks"] <= order.price_ticks <= c["trigger_price_ticks"]
        prefix = c["client_order_id"].partition(b"\0")[0]
        open_to_it = self.markets[order.market].mode != Mode.HALTED
        named = order.client_order_id.startswith(prefix)
        return all(any_or in (0, found) for any_or, found in wanted) and within and named and open_to_it

    def _mass_cancelled(self, event: Event) -> None:
        left = [order.order_id for order in self.orders.values() if self._in_scope(order)]
        assert not left, f"these are left in the scope of a mass cancel: {left}"

    # Accounts

    def _set_fees(self, event: Event) -> None:
        assert event.account == self._command["account"] > REVENUE_ACCOUNT
        self.fee_shares[event.account] = event.maker_share_ppm, event.taker_share_ppm

    def _set_timer(self, event: Event) -> None:
        assert event.account == self._command["account"] > REVENUE_ACCOUNT
        assert event.expire_ns == self._command["expire_ns"]
        self.timers.pop(event.account, None)
        if event.expire_ns:
            self.timers[event.account] = event.expire_ns

    def _timer_fired(self, event: Event) -> None:
        assert event.expire_ns == self.timers[event.account] <= self.timestamp_ns
        assert (event.expire_ns, event.account) == min((at_ns, owner) for owner, at_ns in self.timers.items())
        left = [order.order_id for order in self.orders.values() if order.account == event.account]
        assert not left, f"these are left of an account whose timer fired: {left}"
        del self.timers[event.account]

    def _due_first(self) -> list[int]:
        """When timers, expiries and auction ends are due."""
        expiries = [order.expire_ns for order in self.orders.values() if order.expires]
        ends = [market.auction_end_ns for market in self.markets.values() if market.auction_end_ns]
        return [*self.timers.values(), *expiries, *ends]

    # Markets

    def _uncross(self, event: Event) -> None:
        market = self.markets[event.market]
        assert market.mode == Mode.AUCTION
        price, volume, side, surplus = market.clearing(self.in_book(event.market))
        expected = price, min(volume, 2**63 - 1), side, min(surplus, 2**63 - 1)
        assert (event.price_ticks, event.quantity_lots, event.side, event.remaining_lots) == expected
        self._auction = event._replace(quantity_lots=volume)

    def _change_mode(self, event: Event) -> None:
        market = self.markets[event.market]
        self._leave_trace()
        assert event.previous_mode == market.mode
        assert event.reference_price_ticks == market.reference_price_ticks
        assert self._auction is None or self._auction.quantity_lots == 0, "an auction trades all of its volume"
        left_auction = market.mode == Mode.AUCTION and event.mode != Mode.AUCTION
        assert left_auction == (self._auction is not None)
        if event.reason == Reason.AUCTION_ENDED:
            assert 0 != market.auction_end_ns <= self.timestamp_ns and event.mode == Mode.OPEN
        self._auction = None
        market.mode, market.auction_end_ns = event.mode, event.until_ns
