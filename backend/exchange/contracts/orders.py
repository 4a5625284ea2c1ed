"""Orders and fills as the API shows them: the JSON faces of docs/api.md.

``render_...`` makes them as dicts, and says what they are; ``show_...`` makes the same as JSON text, for the paths that
every order takes, mostly in C (engine/orders/faces.pyx).
"""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.orders.words import (
    ORDER_TYPE_NAMES,
    SELF_TRADE_NAMES,
    SIDE_NAMES,
    STATUS_NAMES,
    TIME_IN_FORCE_NAMES,
    WAITING_NAMES,
)
from engine.records import FLAG_POST_ONLY, FLAG_SLIDE, OrderType, Reason, Side
from exchange.contracts.events import read_events
from exchange.contracts.order_state import Fill, OrderState, fills_of_order
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.contracts.units import Market, format_decimal

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)

_encode = msgspec.json.Encoder().encode
_BUY, _LIMIT = Side.BUY, OrderType.LIMIT  # bound once: every order passes here


def average_price_text(market: Market, filled_quote_units: int, filled_lots: int) -> str | None:
    """Return quote per base, exact to 8 decimals more than the tick needs, rounded down; None without fills."""
    if not filled_lots:
        return None
    scale = market.tick_scale + 8
    numerator = filled_quote_units * 10 ** (market.base.scale + scale)
    return format_decimal(numerator // (filled_lots * market.lot_units * 10**market.quote.scale), scale)


def render_order(order: OrderState, market: Market) -> dict[str, Any]:
    """The Order of docs/api.md."""
    received = market.base if order.side == _BUY else market.quote
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
        "self_trade_prevention": SELF_TRADE_NAMES[order.self_trade],
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
        **(_PLAIN if _is_plain(order) else _render_terms(order, market)),
    }


def _is_plain(order: OrderState) -> bool:
    """Whether it is nothing but a limit or market order with a quantity that nothing happened to but trades."""
    return (
        order.order_type <= _LIMIT
        and not order.flags & FLAG_SLIDE
        and not (
            order.quote_units
            or order.display_lots
            or order.min_quantity_lots
            or order.expire_ns
            or order.waiting
            or order.prevented_lots
            or order.amendments
            or order.other_leg_id
            or order.parent_id
            or order.child_id
        )
    )


_PLAIN: dict[str, Any] = {
    "slide": False,
    "quote_quantity": None,
    "trigger_price": None,
    "trail": None,
    "display_quantity": None,
    "visible_quantity": None,
    "min_quantity": None,
    "expire_at": None,
    "prevented_quantity": "0",
    "waiting_for": None,
    "other_leg_order_id": None,
    "parent_order_id": None,
    "child_order_id": None,
    "amendments": 0,
}


def _render_terms(order: OrderState, market: Market) -> dict[str, Any]:
    def price(ticks: int) -> str | None:
        return market.price_text(ticks) if ticks else None

    def quantity(lots: int) -> str | None:
        return market.quantity_text(lots) if lots else None

    def identity(order_id: int) -> str | None:
        return str(order_id) if order_id else None

    return {
        "slide": bool(order.flags & FLAG_SLIDE),
        "quote_quantity": market.quote.to_text(order.quote_units) if order.quote_units else None,
        "trigger_price": price(order.trigger_price_ticks),
        "trail": price(order.trail_ticks),
        "display_quantity": quantity(order.display_lots),
        "visible_quantity": quantity(order.visible_lots),
        "min_quantity": quantity(order.min_quantity_lots),
        "expire_at": timestamp_text(order.expire_ns) if order.expire_ns else None,
        "prevented_quantity": quantity(order.prevented_lots) or "0",
        "waiting_for": WAITING_NAMES[order.waiting],
        "other_leg_order_id": identity(order.other_leg_id),
        "parent_order_id": identity(order.parent_id),
        "child_order_id": identity(order.child_id),
        "amendments": order.amendments,
    }


def render_fill(fill: Fill, market: Market) -> dict[str, Any]:
    """The fill of docs/api.md."""
    received = market.base if fill.side == _BUY else market.quote
    return {
        "trade_id": str(fill.trade_id),
        "price": market.price_text(fill.price_ticks),
        "quantity": market.quantity_text(fill.quantity_lots),
        "liquidity": "Auction" if fill.is_auction else "Maker" if fill.is_maker else "Taker",
        "fee": received.to_text(fill.fee_units),
        "fee_asset": received.name,
        "executed_at": timestamp_text(fill.executed_ns),
    }


def render_account_fill(fill: Fill, market: Market) -> dict[str, Any]:
    """A fill that names its order, for lists across orders."""
    named = {"order_id": str(fill.order_id), "symbol": market.symbol, "side": SIDE_NAMES[fill.side]}
    return named | render_fill(fill, market)


def show_order(order: OrderState, market: Market) -> msgspec.Raw:
    """`render_order` as JSON."""
    shown = market.face.order(order)
    return msgspec.Raw(_encode(render_order(order, market)) if shown is None else shown)


def show_order_with_fills(order: OrderState, market: Market, events: bytes) -> msgspec.Raw:
    """The same with those of its fills that event records tell."""
    shown = market.face.order_with_fills(order, events)
    if shown is None:
        fills = fills_of_order(read_events(events), order.order_id)
        shown = _encode(render_order(order, market) | {"fills": [render_fill(fill, market) for fill in fills]})
    return msgspec.Raw(shown)


def show_account_fill(fill: Fill, market: Market) -> msgspec.Raw:
    """`render_account_fill` as JSON."""
    shown = market.face.account_fill(fill)
    return msgspec.Raw(_encode(render_account_fill(fill, market)) if shown is None else shown)


def show_more(shown: msgspec.Raw, more: dict[str, Any]) -> msgspec.Raw:
    """An order as JSON, and what else is told of it."""
    return msgspec.Raw(bytes(shown)[:-1] + b"," + _encode(more)[1:])


def timestamp_text(timestamp_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds, e.g. "2026-01-02T03:04:05.000000006Z"."""
    seconds, nanoseconds = divmod(timestamp_ns, 1_000_000_000)
    return f"{_second_text(seconds)}.{nanoseconds:09d}Z"


_second_cache: tuple[int, str] = (0, "1970-01-01T00:00:00")


def _second_text(seconds: int) -> str:
    # Answers come in bursts within the same second: the last text is nearly always the one asked for.
    global _second_cache
    if _second_cache[0] != seconds:
        _second_cache = (seconds, datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return _second_cache[1]


def parse_time_ns(text: object, field: str) -> int:
    """Return an RFC 3339 UTC time in nanoseconds of Unix time, 1970 to 2261; refuses anything else."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is not None:
        try:
            second = int(datetime.fromisoformat(match.group(1)).replace(tzinfo=UTC).timestamp())
        except ValueError:
            second = -1
        if 0 <= second < 2**63 // 1_000_000_000:
            return second * 1_000_000_000 + int((match.group(2) or "").ljust(9, "0"))
    detail = f"{field} must be a time in UTC such as 2026-01-02T03:04:05Z"
    raise refuse(EdgeReason.FIELD_INVALID, detail, field=field, limit="RFC 3339 with Z")
