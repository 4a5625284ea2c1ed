"""What an event does to an order, slow and obvious: what engine/orders/state.pyx is held against."""

from dataclasses import dataclass

from engine.records import FLAG_AUCTION, Contingency, EventKind, OrderType, Reason, SelfTrade
from exchange.contracts.commands import client_order_id, untold_terms
from exchange.contracts.events import Event
from exchange.contracts.order_state import NOT_WAITING, WAITS_FOR_TRIGGER, OrderStatus

_END_STAGE = 4000  # reasons below are refusals: the order met one when its turn came


@dataclass(slots=True)
class SlowOrder:
    """An accepted order. ``remaining_lots`` is 0 once it has ended; what a cancelled order did not trade is
    ``quantity_lots - filled_lots``."""

    order_id: int
    account: int
    client_order_id: str | None
    market: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    self_trade: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    filled_lots: int
    filled_quote_units: int
    fee_units: int  # of the asset it receives: base for a buy, quote for a sell
    prevented_lots: int  # what it would have traded with its own account
    quote_units: int  # a market order by amount: what it was to spend or to receive, else 0
    trigger_price_ticks: int  # of a trailing stop: as events told it last; it moves without one
    trail_ticks: int
    display_lots: int
    visible_lots: int  # what an iceberg shows now, 0 for others
    min_quantity_lots: int
    expire_ns: int
    other_leg_id: int  # as they were linked, ended or not; 0 for none
    parent_id: int
    child_id: int
    waiting: int
    amendments: int
    status: int
    end_reason: int
    sequence: int
    created_ns: int
    updated_ns: int

    @classmethod
    def accepted(cls, event: Event, command: bytes) -> "SlowOrder":
        """Return the order of an ACCEPTED event and the command that placed it."""
        contingency, amount, min_quantity_lots = untold_terms(command)
        # By position, as every order passes here: ORDER_EVENT in engine/records.py.
        (
            _, side, order_type, time_in_force, flags, self_trade, _, sequence, timestamp_ns, market, waiting, order_id,
            account, price_ticks, quantity_lots, _, _, trigger_price_ticks, display_lots, visible_lots, expire_ns,
            linked, _, tail,
        ) = event  # fmt: skip
        return cls(
            order_id, account, client_order_id(command), market, side, order_type, time_in_force, flags, self_trade,
            price_ticks, quantity_lots, quantity_lots, 0, 0, 0, 0, amount, trigger_price_ticks, tail >> 32,
            display_lots, visible_lots if display_lots else 0, min_quantity_lots, expire_ns,
            linked if contingency == Contingency.ONE_CANCELS_OTHER else 0, 0,
            linked if contingency == Contingency.ONE_TRIGGERS_OTHER else 0, waiting, 0,
            OrderStatus.WAITING if waiting else OrderStatus.OPEN, 0, sequence, timestamp_ns, timestamp_ns,
        )  # fmt: skip

    @property
    def named_id(self) -> int:
        """The order that it named when it was accepted, as its other leg or its child; 0 for none."""
        return self.other_leg_id or self.child_id

    @property
    def is_live(self) -> bool:
        return self.status <= OrderStatus.PARTIALLY_FILLED

    @property
    def shown_lots(self) -> int:
        """What it shows in the book between two commands, 0 for one that is not in it."""
        if self.waiting or self.status > OrderStatus.PARTIALLY_FILLED:
            return 0
        return self.visible_lots if self.display_lots else self.remaining_lots

    def take(self, event: Event) -> None:
        """Take an event that names this order: as its subject, or as taker or maker."""
        kind = event.kind
        if kind == EventKind.TRADED:
            is_maker = event.maker_order_id == self.order_id
            self.fill(event, event.maker_fee if is_maker else event.taker_fee, is_maker)
        elif kind == EventKind.CANCELLED:
            self._end(event)
        elif kind == EventKind.PREVENTED:
            self._prevent(event)
        elif kind in (EventKind.TRIGGERED, EventKind.ACTIVATED, EventKind.REFRESHED, EventKind.AMENDED):
            self._change(event)

    def fill(self, trade: Event, fee_units: int, is_maker: bool) -> None:
        """Take a TRADED event in which this order was the taker or the maker."""
        self.remaining_lots -= trade.quantity_lots
        self.filled_lots += trade.quantity_lots
        self.filled_quote_units += trade.amount
        self.fee_units += fee_units
        if self.display_lots:
            self._show_less(trade.quantity_lots, is_maker, bool(trade.flags & FLAG_AUCTION))
        self.status = OrderStatus.PARTIALLY_FILLED if self.remaining_lots else OrderStatus.FILLED
        self._touch(trade)

    def link(self, other: "SlowOrder") -> None:
        """Take that another order was accepted which names this one."""
        if other.other_leg_id == self.order_id:
            self.other_leg_id = other.order_id
        elif other.child_id == self.order_id:
            self.parent_id = other.order_id

    def _end(self, event: Event) -> None:
        self.remaining_lots = self.visible_lots = self.waiting = 0
        self.end_reason = event.reason
        if event.reason == Reason.EXPIRED:
            self.status = OrderStatus.EXPIRED
        elif event.reason < _END_STAGE and not self.filled_lots:
            self.status = OrderStatus.REJECTED
        else:
            self.status = OrderStatus.CANCELLED
        self._touch(event)

    def _prevent(self, event: Event) -> None:
        """A self-trade that did not happen; with DECREMENT both orders are smaller by it."""
        self.prevented_lots += event.quantity_lots
        if event.self_trade == SelfTrade.DECREMENT:
            self.quantity_lots -= event.quantity_lots
            self.remaining_lots -= event.quantity_lots
            if self.display_lots:
                self._show_less(event.quantity_lots, event.maker_order_id == self.order_id, False)
        self._touch(event)

    def _change(self, event: Event) -> None:
        self.remaining_lots = event.remaining_lots
        if event.kind == EventKind.REFRESHED:
            self.visible_lots = event.visible_lots
        else:
            self.quantity_lots, self.price_ticks = event.quantity_lots, event.price_ticks
            self.trigger_price_ticks, self.trail_ticks = event.trigger_price_ticks, event.trail_ticks
        if event.kind == EventKind.TRIGGERED:
            self.waiting = NOT_WAITING
        elif event.kind != EventKind.REFRESHED:  # amended or activated
            self.display_lots, self.expire_ns = event.display_lots, event.expire_ns
            self.visible_lots = event.visible_lots if event.display_lots else 0
        if event.kind == EventKind.ACTIVATED:
            self.waiting = WAITS_FOR_TRIGGER if self.order_type > OrderType.LIMIT else NOT_WAITING
        elif event.kind == EventKind.AMENDED:
            self.amendments += 1
        if self.waiting:
            self.status = OrderStatus.WAITING
        else:
            self.status = OrderStatus.PARTIALLY_FILLED if self.filled_lots else OrderStatus.OPEN
        self._touch(event)

    def _show_less(self, lots: int, is_maker: bool, auction: bool) -> None:
        """An iceberg after it traded: a taker shows anew what it keeps, a maker's next slice is an event."""
        anew = min(self.display_lots, self.remaining_lots)
        if auction:
            self.visible_lots = min(self.visible_lots, self.remaining_lots) or anew
        else:
            self.visible_lots = self.visible_lots - lots if is_maker else anew

    def _touch(self, event: Event) -> None:
        self.sequence = event.sequence
        self.updated_ns = event.timestamp_ns
