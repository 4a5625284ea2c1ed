"""An order as its owner sees it: a fold over events, and its JSON face."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from engine.records import FLAG_POST_ONLY, OrderType, Reason, Side, TimeInForce
from exchange.contracts.events import Event
from exchange.contracts.units import Market, format_decimal

# By number: an enum member is its number, and records hold numbers.
SIDE_NAMES: dict[int, str] = {Side.BUY: "Buy", Side.SELL: "Sell"}
ORDER_TYPE_NAMES: dict[int, str] = {OrderType.LIMIT: "Limit", OrderType.MARKET: "Market"}
TIME_IN_FORCE_NAMES: dict[int, str] = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}


class OrderStatus(IntEnum):
    """FIX tag 39, as far as an accepted order can be in it."""

    OPEN = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELLED = 4


STATUS_NAMES: dict[int, str] = {
    OrderStatus.OPEN: "Open",
    OrderStatus.PARTIALLY_FILLED: "PartiallyFilled",
    OrderStatus.FILLED: "Filled",
    OrderStatus.CANCELLED: "Cancelled",
}


@dataclass(slots=True)
class OrderState:
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
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    filled_lots: int
    filled_quote_units: int
    fee_units: int  # of the asset it receives: base for a buy, quote for a sell
    status: int
    end_reason: int
    sequence: int
    created_ns: int
    updated_ns: int

    @classmethod
    def accepted(cls, event: Event, client_order_id: str | None) -> "OrderState":
        """Return the order of an ACCEPTED event."""
        return cls(
            event.order_id, event.account, client_order_id, event.market, event.side, event.order_type,
            event.time_in_force, event.flags, event.price_ticks, event.quantity_lots, event.quantity_lots,
            0, 0, 0, OrderStatus.OPEN, 0, event.sequence, event.timestamp_ns, event.timestamp_ns,
        )  # fmt: skip

    def fill(self, trade: Event, fee_units: int) -> None:
        """Take a TRADED event in which this order was the taker or the maker."""
        self.remaining_lots -= trade.quantity_lots
        self.filled_lots += trade.quantity_lots
        self.filled_quote_units += trade.amount
        self.fee_units += fee_units
        self.status = OrderStatus.PARTIALLY_FILLED if self.remaining_lots else OrderStatus.FILLED
        self._touch(trade)

    def cancel(self, event: Event) -> None:
        """Take the CANCELLED event of this order."""
        self.remaining_lots = 0
        self.status = OrderStatus.CANCELLED
        self.end_reason = event.reason
        self._touch(event)

    def _touch(self, event: Event) -> None:
        self.sequence = event.sequence
        self.updated_ns = event.timestamp_ns

    @property
    def ended(self) -> bool:
        return self.remaining_lots == 0


class Fill(NamedTuple):
    """One side of a trade, as the order's owner sees it."""

    trade_id: int
    order_id: int
    market: int
    side: int
    price_ticks: int
    quantity_lots: int
    is_maker: bool
    fee_units: int
    executed_ns: int


def fills_of(trade: Event) -> tuple[Fill, Fill]:
    """Return the taker's and the maker's fill of a TRADED event."""
    maker_side = Side.SELL if trade.side == Side.BUY else Side.BUY
    trade_id, market, price_ticks, quantity_lots, executed_ns = (
        trade.trade_id, trade.market, trade.price_ticks, trade.quantity_lots, trade.timestamp_ns,
    )  # fmt: skip
    return (
        Fill(
            trade_id,
            trade.order_id,
            market,
            trade.side,
            price_ticks,
            quantity_lots,
            False,
            trade.taker_fee,
            executed_ns,
        ),
        Fill(
            trade_id,
            trade.maker_order_id,
            market,
            maker_side,
            price_ticks,
            quantity_lots,
            True,
            trade.maker_fee,
            executed_ns,
        ),
    )


def average_price_text(market: Market, filled_quote_units: int, filled_lots: int) -> str | None:
    """Return quote per base, exact to 8 decimals more than the tick needs, rounded down; None without fills."""
    if not filled_lots:
        return None
    scale = market.tick_scale + 8
    numerator = filled_quote_units * 10 ** (market.base.scale + scale)
    return format_decimal(numerator // (filled_lots * market.lot_units * 10**market.quote.scale), scale)


def render_order(order: OrderState, market: Market) -> dict[str, Any]:
    """The Order of docs/api.md."""
    received = market.base if order.side == Side.BUY else market.quote
    filled = order.filled_lots
    created_at = timestamp_text(order.created_ns)
    return {
        "order_id": str(order.order_id),
        "client_order_id": order.client_order_id,
        "symbol": market.symbol,
        "side": SIDE_NAMES[order.side],
        "order_type": ORDER_TYPE_NAMES[order.order_type],
        "time_in_force": TIME_IN_FORCE_NAMES[order.time_in_force],
        "post_only": bool(order.flags & FLAG_POST_ONLY),
        "price": market.price_text(order.price_ticks) if order.price_ticks else None,
        "quantity": market.quantity_text(order.quantity_lots),
        "filled_quantity": market.quantity_text(filled) if filled else "0",
        "remaining_quantity": market.quantity_text(order.remaining_lots) if order.remaining_lots else "0",
        "filled_quote": market.quote.to_text(order.filled_quote_units) if filled else "0",
        "average_price": average_price_text(market, order.filled_quote_units, filled) if filled else None,
        "fees": {received.name: received.to_text(order.fee_units)} if filled else {},
        "status": STATUS_NAMES[order.status],
        "end_reason": Reason(order.end_reason).name if order.end_reason else None,
        "sequence": order.sequence,
        "created_at": created_at,
        "updated_at": created_at if order.updated_ns == order.created_ns else timestamp_text(order.updated_ns),
    }


def render_fill(fill: Fill, market: Market) -> dict[str, Any]:
    """The fill of docs/api.md."""
    received = market.base if fill.side == Side.BUY else market.quote
    return {
        "trade_id": str(fill.trade_id),
        "price": market.price_text(fill.price_ticks),
        "quantity": market.quantity_text(fill.quantity_lots),
        "liquidity": "Maker" if fill.is_maker else "Taker",
        "fee": received.to_text(fill.fee_units),
        "fee_asset": received.name,
        "executed_at": timestamp_text(fill.executed_ns),
    }


def render_account_fill(fill: Fill, market: Market) -> dict[str, Any]:
    """A fill that names its order, for lists across orders."""
    named = {"order_id": str(fill.order_id), "symbol": market.symbol, "side": SIDE_NAMES[fill.side]}
    return named | render_fill(fill, market)


def timestamp_text(timestamp_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds, e.g. "2026-01-02T03:04:05.000000006Z"."""
    seconds, nanoseconds = divmod(timestamp_ns, 1_000_000_000)
    return f"{_second_text(seconds)}.{nanoseconds:09d}Z"


_second_cache: tuple[int, str] = (0, "1970-01-01T00:00:00")


def _second_text(seconds: int) -> str:
    # Answers come in bursts within the same second: the last text is nearly always the one asked for.
    global _second_cache
    if _second_cache[0] != seconds:
        from datetime import UTC, datetime

        _second_cache = (seconds, datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return _second_cache[1]
