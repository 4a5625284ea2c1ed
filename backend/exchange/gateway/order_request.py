"""From an order as JSON to its command record: every field checked, and refused with its limit and nearest valid value.

The rules are those of docs/engine.md, PLACE 1-6 and 9, so that the engine refuses for the market's and the account's
state only.
"""

import time
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from engine.orders.words import ORDER_TYPE_NAMES, SELF_TRADE_NAMES
from engine.records import (
    CLIENT_ORDER_ID_SIZE,
    FLAG_POST_ONLY,
    FLAG_SLIDE,
    CommandKind,
    OrderType,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)
from exchange.contracts import commands
from exchange.contracts.orders import parse_time_ns, timestamp_text
from exchange.contracts.refusals import AnyReason, EdgeReason, refuse
from exchange.contracts.units import Market

# As they are answered, and folded for those who write them otherwise.
SIDES = {"Buy": Side.BUY, "Sell": Side.SELL, "buy": Side.BUY, "sell": Side.SELL}
ORDER_TYPES = {name: OrderType(number) for number, text in ORDER_TYPE_NAMES.items() for name in (text, text.lower())}
TIMES_IN_FORCE = {name: member for member in TimeInForce for name in (member.name, member.name.lower())}
SELF_TRADES = {name: SelfTrade(number) for number, text in SELF_TRADE_NAMES.items() for name in (text, text.lower())}
#: What an order does that would trade with its own account, unless it says otherwise.
DEFAULT_SELF_TRADE = SelfTrade.CANCEL_NEWEST

_ORDER_TYPES = "Market, Limit, Stop, StopLimit, TakeProfit, TakeProfitLimit or TrailingStop"
_SELF_TRADES = "None, CancelNewest, CancelOldest, CancelBoth or Decrement"
LASTING = frozenset((TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY))
_LIMITED = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
_TRIGGERED = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)
_CLIENT_ORDER_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-")
_UNTIMED = frozenset((TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK))
# Bound once: to find a member in its enumeration costs ten times as much as a global name, and every order passes here.
_MARKET, _LIMIT = OrderType.MARKET, OrderType.LIMIT
_GTC, _IOC = TimeInForce.GTC, TimeInForce.IOC
Choice = TypeVar("Choice")


class Choices(Generic[Choice]):
    """The values that a field may have, by what they are called."""

    def __init__(self, field: str, by_name: Mapping[str, Choice], reason: AnyReason, limit: str) -> None:
        self._field = field
        self._by_name = by_name
        self._reason = reason
        self._limit = limit

    def of(self, value: object) -> Choice:
        """Return what a value calls, written as documented or folded. Refuses anything else."""
        choice = None
        if isinstance(value, str):
            choice = self._by_name.get(value) or self._by_name.get(value.lower().replace("_", ""))
        if choice is None:
            given = "is missing" if value is None else f"is {str(value)[:40]!r}"
            detail = f"{self._field} {given}; it must be {self._limit}"
            raise refuse(self._reason, detail, field=self._field, limit=self._limit)
        return choice


_SIDE = Choices("side", SIDES, Reason.SIDE_INVALID, "Buy or Sell")
_ORDER_TYPE = Choices("order_type", ORDER_TYPES, Reason.ORDER_TYPE_INVALID, _ORDER_TYPES)
_TIME_IN_FORCE = Choices("time_in_force", TIMES_IN_FORCE, Reason.TIME_IN_FORCE_INVALID, "GTC, GTD, DAY, IOC or FOK")
_SELF_TRADE = Choices("self_trade_prevention", SELF_TRADES, Reason.SELF_TRADE_INVALID, _SELF_TRADES)


class OrderRequest(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The body of POST /api/v1/orders, not yet checked: every field may hold any JSON value."""

    symbol: object = None
    side: object = None
    quantity: object = None
    price: object = None
    order_type: object = "Limit"
    time_in_force: object = None
    post_only: object = False
    client_order_id: object = None
    quote_quantity: object = None
    trigger_price: object = None
    trail: object = None
    display_quantity: object = None
    min_quantity: object = None
    expire_at: object = None
    slide: object = False
    self_trade_prevention: object = None


def place_command(
    account: int,
    market: Market,
    request: OrderRequest,
    *,
    kind: int = CommandKind.PLACE,
    order_id: int = 0,
    more_flags: int = 0,
) -> tuple[bytearray, str | None]:
    """Return (PLACE record, client order id); CANCEL_REPLACE of ``order_id`` by its ``kind``.

    Raises Refused naming the field, its limit and the nearest valid value.
    """
    command = market.reader.place(account, request, kind, order_id, more_flags)
    if command is not None:
        return command, request.client_order_id  # type: ignore[return-value]  # one that it has read
    return _place_command(account, market, request, kind, order_id, more_flags)


def _place_command(
    account: int, market: Market, request: OrderRequest, kind: int, order_id: int, more_flags: int
) -> tuple[bytearray, str | None]:
    """Every order, by all the rules: what is plain and right passes by (engine/orders/requests.pyx)."""
    side = _SIDE.of(request.side)
    order_type = _ORDER_TYPE.of(request.order_type)
    time_in_force = _time_in_force(request, order_type)
    flags = _flags(request, order_type, time_in_force)
    self_trade = _self_trade(request)
    client_order_id = check_client_order_id(request.client_order_id)
    if request.quote_quantity is None:
        quantity_lots, amount = market.quantity_lots(_needed(request.quantity, "quantity")), 0
    else:
        quantity_lots, amount = 0, _amount(request, market, order_type, time_in_force)
    price_ticks = _price_ticks(request, market, order_type)
    if price_ticks and order_type != _MARKET:
        market.check_notional(price_ticks, quantity_lots)
    special: dict[str, int] = {}
    if _is_special(request, order_type, time_in_force):
        special = _special_terms(request, market, order_type, time_in_force, flags, quantity_lots)
    command = commands.place(
        account, market.number, side, order_type, time_in_force, flags | more_flags, price_ticks, quantity_lots,
        client_order_id.encode("ascii") if client_order_id else b"", kind=kind, order_id=order_id,
        self_trade=self_trade, amount=amount, **special,
    )  # fmt: skip
    return command, client_order_id


def _time_in_force(request: OrderRequest, order_type: OrderType) -> TimeInForce:
    value = request.time_in_force
    if value is None:
        return _IOC if order_type == _MARKET else _GTC
    time_in_force = _TIME_IN_FORCE.of(value)
    if order_type == _MARKET and time_in_force in LASTING:
        detail = "a Market order never rests: its time_in_force must be IOC or FOK"
        raise refuse(Reason.TIME_IN_FORCE_INVALID, detail, field="time_in_force", limit="IOC or FOK", nearest="IOC")
    if order_type > _LIMIT and time_in_force not in LASTING:
        detail = "an order that waits for a trigger must last: its time_in_force must be GTC, GTD or DAY"
        limit = "GTC, GTD or DAY"
        raise refuse(Reason.TIME_IN_FORCE_INVALID, detail, field="time_in_force", limit=limit, nearest="GTC")
    return time_in_force


def _flags(request: OrderRequest, order_type: OrderType, time_in_force: TimeInForce) -> int:
    if request.post_only is False and request.slide is False:
        return 0
    post_only = _switch(request.post_only, "post_only")
    if post_only and not (order_type == OrderType.LIMIT and time_in_force in LASTING):
        detail = "post_only needs a Limit order with time_in_force GTC, GTD or DAY"
        limit = "GTC, GTD or DAY Limit"
        raise refuse(Reason.FLAGS_INVALID, detail, field="post_only", limit=limit, nearest="false")
    if not _switch(request.slide, "slide"):
        return FLAG_POST_ONLY if post_only else 0
    if not post_only:
        detail = "slide says how a post_only order meets the book: it needs post_only"
        raise refuse(Reason.FLAGS_INVALID, detail, field="slide", limit="with post_only", nearest="false")
    return FLAG_POST_ONLY | FLAG_SLIDE


def _switch(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise refuse(EdgeReason.FIELD_INVALID, f"{field} must be true or false", field=field, limit="true or false")
    return value


def _self_trade(request: OrderRequest) -> SelfTrade:
    value = request.self_trade_prevention
    if value is None:
        return DEFAULT_SELF_TRADE
    self_trade = _SELF_TRADE.of(value)
    if self_trade == SelfTrade.DECREMENT and request.quote_quantity is not None:
        detail = "an order by quote_quantity has no quantity that Decrement could take from"
        limit = "None, CancelNewest, CancelOldest or CancelBoth"
        raise refuse(
            Reason.SELF_TRADE_INVALID, detail, field="self_trade_prevention", limit=limit, nearest="CancelNewest"
        )
    return self_trade


def _amount(request: OrderRequest, market: Market, order_type: OrderType, time_in_force: TimeInForce) -> int:
    """The quote units that a market order trades, instead of a quantity."""
    field = "quote_quantity"
    if order_type != _MARKET:
        detail = "only a Market order can be told what to spend or to receive"
        raise refuse(Reason.AMOUNT_OUT_OF_RANGE, detail, field=field, limit="Market orders")
    if request.quantity is not None:
        detail = "give quantity or quote_quantity, not both"
        raise refuse(Reason.AMOUNT_OUT_OF_RANGE, detail, field=field, limit="without quantity")
    if time_in_force != TimeInForce.IOC:
        detail = "an order by quote_quantity takes what there is: its time_in_force must be IOC"
        raise refuse(Reason.TIME_IN_FORCE_INVALID, detail, field="time_in_force", limit="IOC", nearest="IOC")
    amount = market.quote.to_units(request.quote_quantity, field)
    if amount < market.notional_units_min:
        least = market.quote.to_text(market.notional_units_min)
        detail = f"quote_quantity must be at least {least} {market.quote.name}"
        raise refuse(Reason.NOTIONAL_TOO_SMALL, detail, field=field, limit=least, nearest=least)
    return amount


def _price_ticks(request: OrderRequest, market: Market, order_type: OrderType) -> int:
    if order_type in _LIMITED:
        return market.price_ticks(_needed(request.price, "price"))
    if request.price is None:
        return 0
    if order_type == OrderType.TRAILING_STOP:
        detail = "a TrailingStop trades at the market when it fires: it takes no price"
        raise refuse(Reason.PRICE_OUT_OF_RANGE, detail, field="price", limit="none")
    return market.price_ticks(request.price)


def _is_special(request: OrderRequest, order_type: OrderType, time_in_force: TimeInForce) -> bool:
    return (
        order_type > _LIMIT
        or time_in_force not in _UNTIMED
        or request.display_quantity is not None
        or request.min_quantity is not None
        or request.trigger_price is not None
        or request.trail is not None
        or request.expire_at is not None
    )


def _special_terms(
    request: OrderRequest,
    market: Market,
    order_type: OrderType,
    time_in_force: TimeInForce,
    flags: int,
    quantity_lots: int,
) -> dict[str, int]:
    lasting_limit = order_type == OrderType.LIMIT and time_in_force in LASTING
    return {
        "trigger_price_ticks": _trigger_price_ticks(request.trigger_price, market, order_type),
        "trail_ticks": _trail_ticks(request.trail, market, order_type),
        "display_lots": _display_lots(request.display_quantity, market, lasting_limit, quantity_lots),
        "min_quantity_lots": _min_quantity_lots(request.min_quantity, market, order_type, flags, quantity_lots),
        "expire_ns": _expire_ns(request.expire_at, time_in_force),
    }


def _trigger_price_ticks(value: object, market: Market, order_type: OrderType) -> int:
    field = "trigger_price"
    if order_type in _TRIGGERED:
        return market.price_ticks(_needed(value, field), field, Reason.TRIGGER_PRICE_INVALID)
    if value is None:
        return 0
    if order_type == OrderType.TRAILING_STOP:
        return market.price_ticks(value, field, Reason.TRIGGER_PRICE_INVALID)
    limit = "Stop, StopLimit, TakeProfit, TakeProfitLimit and TrailingStop orders"
    detail = f"trigger_price belongs to {limit} only"
    raise refuse(Reason.TRIGGER_PRICE_INVALID, detail, field=field, limit=limit)


def _trail_ticks(value: object, market: Market, order_type: OrderType) -> int:
    if order_type == OrderType.TRAILING_STOP:
        return market.price_ticks(_needed(value, "trail"), "trail", Reason.TRAIL_INVALID)
    if value is None:
        return 0
    detail = "trail belongs to TrailingStop orders only"
    raise refuse(Reason.TRAIL_INVALID, detail, field="trail", limit="TrailingStop orders")


def _display_lots(value: object, market: Market, lasting_limit: bool, quantity_lots: int) -> int:
    field, reason = "display_quantity", Reason.DISPLAY_QUANTITY_INVALID
    if value is None:
        return 0
    if not lasting_limit:
        detail = "display_quantity belongs to Limit orders with time_in_force GTC, GTD or DAY only"
        raise refuse(reason, detail, field=field, limit="GTC, GTD or DAY Limit")
    if quantity_lots <= market.quantity_lots_min:
        least = market.quantity_text(market.quantity_lots_min)
        detail = f"an order of {least} has nothing to hide: display_quantity must be less than quantity"
        raise refuse(reason, detail, field=field, limit="less than quantity")
    return market.quantity_lots(value, field, reason, (market.quantity_lots_min, quantity_lots - 1))


def _min_quantity_lots(value: object, market: Market, order_type: OrderType, flags: int, quantity_lots: int) -> int:
    field, reason = "min_quantity", Reason.MIN_QUANTITY_INVALID
    if value is None:
        return 0
    if order_type > OrderType.LIMIT or flags or not quantity_lots:
        detail = "min_quantity belongs to Market orders with a quantity and to Limit orders that are not post_only"
        raise refuse(reason, detail, field=field, limit="Market by quantity, Limit")
    return market.quantity_lots(value, field, reason, (1, quantity_lots))


def _expire_ns(value: object, time_in_force: TimeInForce) -> int:
    field, reason = "expire_at", Reason.EXPIRE_TIME_INVALID
    if time_in_force != TimeInForce.GTD:
        if value is None:
            return 0
        detail = "expire_at needs time_in_force GTD"
        raise refuse(reason, detail, field=field, limit="with time_in_force GTD")
    expire_ns = parse_time_ns(_needed(value, field), field)
    now_ns = time.time_ns()
    if expire_ns <= now_ns:
        limit = timestamp_text(now_ns)
        raise refuse(reason, f"expire_at must be later than now, {limit}", field=field, limit=f"after {limit}")
    return expire_ns


def check_client_order_id(value: object, field: str = "client_order_id") -> str | None:
    """Return a client order id, or a prefix of some, None for none. Refuses other text."""
    if value is None:
        return None
    limit = f"1 to {CLIENT_ORDER_ID_SIZE} of A-Z a-z 0-9 _ . : -"
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= CLIENT_ORDER_ID_SIZE
        or not _CLIENT_ORDER_ID_CHARACTERS.issuperset(value)
    ):
        kept = "".join(filter(_CLIENT_ORDER_ID_CHARACTERS.__contains__, str(value)))[:CLIENT_ORDER_ID_SIZE]
        detail = f"{field} must be {limit}"
        raise refuse(Reason.CLIENT_ORDER_ID_INVALID, detail, field=field, limit=limit, nearest=kept or None)
    return value


def check_order_id(value: object, field: str = "order_id") -> int:
    """Return the number of an order. Refuses what is not one."""
    text = value if isinstance(value, str) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63):
        limit = "1 to 19 digits"
        raise refuse(EdgeReason.FIELD_INVALID, f"{field} must be 1 to 19 decimal digits", field=field, limit=limit)
    return int(text)


def check_side(value: object) -> Side:
    """Return a side. Refuses what is not one."""
    return _SIDE.of(value)


def _needed(value: Any, field: str) -> object:
    if value is None:
        raise refuse(EdgeReason.FIELD_INVALID, f"{field} is missing", field=field, limit="required")
    return value
