"""The whole state of a shard, and the few operations on it that everything else is made of."""

from collections import deque

from engine.records import FEE_SHARE_PPM_MAX, CommandKind, EventKind, Reason, Side
from engine.reference.codec import Command, encode_event
from engine.reference.definitions import Asset
from engine.reference.ledger import Ledger
from engine.reference.market import Market
from engine.reference.orders import FOR_PARENT, Order

FLAGS_OF_LIVE_ORDERS = 3  # FLAG_POST_ONLY, FLAG_SLIDE
WHOLE_FEES = (FEE_SHARE_PPM_MAX, FEE_SHARE_PPM_MAX)


class State:
    """What a shard knows. `records` are the last accepted definitions, by (kind, number)."""

    def __init__(self) -> None:
        self.sequence = 0
        self.trades = 0
        self.assets: list[Asset] = []
        self.markets: list[Market] = []
        self.orders: dict[int, Order] = {}
        self.ledger = Ledger()
        self.fee_shares: dict[int, tuple[int, int]] = {}  # account -> maker's, taker's, in millionths; not of all
        self.timers: dict[int, int] = {}  # account -> when its orders end
        self.records: dict[tuple[CommandKind, int], bytes] = {}
        # While a command is executed:
        self.timestamp_ns = 0
        self.account = 0  # the command's
        self.places = 0  # taken so far
        self.fired = 0  # waiting orders so far
        self.activations: deque[tuple[Order, int]] = deque()  # children, with the lots that their parent filled
        self.events: list[bytes] = []

    def begin(self, command: Command) -> None:
        """A command with its sequence and time comes next."""
        self.sequence = command.sequence
        self.timestamp_ns, self.account = command.timestamp_ns, command.account
        self.places = self.fired = 0
        self.events = []

    # Events

    def emit(self, kind: EventKind, **values: int) -> None:
        """An event with the command's sequence, time and account, `values`, and zeros."""
        head = {"sequence": self.sequence, "timestamp_ns": self.timestamp_ns, "account": self.account}
        self.events.append(encode_event(kind, head | values))

    def emit_order(self, kind: EventKind, order: Order, **values: int) -> None:
        """An event about an order: what every such event says of it, and `values`."""
        terms = {"market": order.market, "side": order.side, "order_type": order.order_type, "flags": order.flags}
        terms |= {"time_in_force": order.time_in_force, "self_trade": order.self_trade, "order_id": order.order_id}
        self.emit(kind, **(terms | {"account": order.account, "price_ticks": order.price_ticks} | values))

    def reject(self, reason: Reason, **values: int) -> None:
        """The command is refused; `values` say which."""
        self.emit(EventKind.REJECTED, reason=reason, **values)

    # Markets and orders

    def has_market(self, market: int) -> bool:
        """Whether the market is defined."""
        return 1 <= market <= len(self.markets)

    def market(self, order: Order) -> Market:
        """The market of an order."""
        return self.markets[order.market - 1]

    def other_leg(self, order: Order) -> Order | None:
        """The order that it cancels, and that cancels it."""
        return self.orders[order.other_leg] if order.other_leg else None

    def live_orders(self, account: int = 0, market: int = 0) -> list[Order]:
        """The live orders by order id, of one account or all (0), in one market or all (0)."""
        found = (self.orders[order_id] for order_id in sorted(self.orders))
        return [o for o in found if account in (0, o.account) and market in (0, o.market)]

    def go_live(self, order: Order) -> None:
        """From here on the order is known: it waits, or it has come to rest."""
        order.flags &= FLAGS_OF_LIVE_ORDERS

    def rest(self, order: Order) -> None:
        """Let an order take the next place, at its price. An iceberg shows a slice."""
        self.go_live(order)
        order.show_anew()
        order.place = self.sequence, self.places
        self.places += 1
        order.resting = True
        self.market(order).book.add(order)

    def leave_book(self, order: Order) -> None:
        """Take an order out of the book if it is there."""
        if order.resting:
            self.market(order).book.remove(order)
            order.resting = False

    def shares_of(self, account: int) -> tuple[int, int]:
        """What the account pays of the markets' fees as maker and as taker, in millionths."""
        return self.fee_shares.get(account, WHOLE_FEES)

    def set_shares(self, account: int, shares: tuple[int, int]) -> None:
        """Let the account pay these shares from now on."""
        self.fee_shares.pop(account, None)
        if shares != WHOLE_FEES:
            self.fee_shares[account] = shares

    # What orders need held

    def need(self, order: Order) -> int:
        """Units that the order needs, were it alone."""
        market = self.market(order)
        if order.exact_units is not None:
            return order.exact_units
        if order.waiting == FOR_PARENT:
            return 0
        if order.side is Side.SELL:
            return market.base_units(order.remaining_lots)
        return market.notional(order.price_ticks, order.remaining_lots)

    def joint_need(self, order: Order) -> int:
        """Units held for the order and its other leg together: the larger need."""
        leg = self.other_leg(order)
        return max(self.need(order), self.need(leg)) if leg else self.need(order)

    def available(self, order: Order) -> int:
        """Units of what the order pays with that its account has available."""
        return self.ledger.balance(order.account, self.asset_paid(order))[0]

    def hold(self, order: Order, units: int) -> None:
        """Move units of what the order pays with from available to held; negative: back."""
        self.ledger.hold(order.account, self.asset_paid(order), units)

    def asset_paid(self, order: Order) -> int:
        """The asset that the order's account gives when it trades."""
        return self.market(order).asset_paid_by(order.side)
