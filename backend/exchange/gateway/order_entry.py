"""Order entry: place and cancel, as raw ASGI beside FastAPI (decision record 0004), since every order passes here.

bytes ─> OrderRequest ─> PLACE record ─> Corridor.place ─> events ─> Order with fills
"""

import logging
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.records import CLIENT_ORDER_ID_SIZE, FLAG_POST_ONLY, EventKind, OrderType, Reason, Side, TimeInForce
from exchange.contracts import commands
from exchange.contracts.events import Event, read_events, refusal_of
from exchange.contracts.orders import STATUS_NAMES, OrderState, fills_of, render_fill, render_order
from exchange.contracts.refusals import AnyReason, EdgeReason, Refusal, Refused, refuse
from exchange.contracts.units import Market
from exchange.gateway.context import Exchange
from exchange.gateway.edge import BODY_BYTES_MAX, header, request_id
from exchange.gateway.explain import explain
from exchange.gateway.orders import with_fills
from exchange.gateway.problems import problem_body, problem_headers
from exchange.gateway.tokens import bearer_token
from exchange.observability.metrics import request_observer
from exchange.storage.journal import Entry
from exchange.storage.queries import Queries

PLACE_PATHS = ("/api/v1/orders", "/api/v1/orders/orders")
PLACE_ROUTE = PLACE_PATHS[0]

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
ORDER_TYPES = {"limit": OrderType.LIMIT, "market": OrderType.MARKET}
TIMES_IN_FORCE = {"gtc": TimeInForce.GTC, "ioc": TimeInForce.IOC, "fok": TimeInForce.FOK}
_CLIENT_ORDER_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-")


logger = logging.getLogger("exchange.gateway")


class OrderRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /api/v1/orders, not yet checked: every field may hold any JSON value."""

    symbol: object = None
    side: object = None
    quantity: object = None
    price: object = None
    order_type: object = "Limit"
    time_in_force: object = None
    post_only: object = False
    client_order_id: object = None


Choice = TypeVar("Choice")
_decoder = msgspec.json.Decoder(OrderRequest)
_encode = msgspec.json.Encoder().encode


class OrderEntry:
    """Serves the routes that change orders."""

    def __init__(self, exchange: Exchange, queries: Queries) -> None:
        self._exchange = exchange
        self._queries = queries

    def routes(self) -> list[BaseRoute]:
        """The routes, to be put before FastAPI's own."""
        cancels = [f"{path}/{{order_id:str}}/cancel" for path in PLACE_PATHS]
        deletes = [f"{path}/{{order_id:str}}" for path in PLACE_PATHS]
        return [
            *(Route(path, _AsgiEndpoint(self.place), methods=["POST"]) for path in PLACE_PATHS),
            *(Route(path, _AsgiEndpoint(self.cancel), methods=["PUT"]) for path in cancels),
            *(Route(path, _AsgiEndpoint(self.cancel), methods=["DELETE"]) for path in deletes),
        ]

    async def place(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST: answer 201 with the order, 200 when its client_order_id had placed it before, or a problem."""
        try:
            account = self._account(scope)
            body = await _read_json_body(scope, receive)
            status, answer = await self.place_order(account, _decode(body))
        except Refused as refused:
            await _send_problem(scope, send, refused.refusal)
            return
        await _send_json(scope, send, status, answer)

    async def place_order(self, account: int, request: OrderRequest) -> tuple[int, dict[str, Any]]:
        """Place an order and return (status, Order with fills). Raises Refused."""
        market = self._exchange.catalogue.market(request.symbol)
        command, client_order_id = place_command(account, market, request)
        entry, was_there = await self._exchange.corridor.place(command, account, client_order_id)
        events = list(read_events(entry.events))
        refusal = refusal_of(events[0])
        if refusal is not None:
            raise Refused(explain(refusal, events[0], market, self._exchange))
        return 200 if was_there else 201, render_placed(entry, events, market)

    async def cancel(self, scope: Scope, receive: Receive, send: Send) -> None:
        """PUT .../cancel and DELETE: answer 200 with the order in its final state, or a problem."""
        try:
            account = self._account(scope)
            answer = await self.cancel_order(account, _order_id(scope["path_params"]))
        except Refused as refused:
            await _send_problem(scope, send, refused.refusal)
            return
        await _send_json(scope, send, 200, answer)

    async def cancel_order(self, account: int, order_id: int) -> dict[str, Any]:
        """Cancel a resting order and return it in its final state with its fills.

        Raises Refused UNKNOWN_ORDER or ORDER_ENDED.
        """
        entry = await self._exchange.corridor.submit(commands.cancel(account, order_id))
        event = next(read_events(entry.events))
        if event.kind == EventKind.REJECTED:
            raise await self._cannot_cancel(account, order_id, event)
        ended = self._exchange.live.ended_order(order_id)
        if ended is not None and ended.filled_lots == 0:
            return render_order(ended, self._exchange.catalogue.markets[ended.market]) | {"fills": []}
        return await self._order_from_tables(account, order_id)

    async def _order_from_tables(self, account: int, order_id: int) -> dict[str, Any]:
        await self._exchange.read_your_writes(account)
        order = await self._queries.order(account, order_id)
        if order is None:
            raise refuse(Reason.UNKNOWN_ORDER, f"you have no order {order_id}")
        return await with_fills(self._exchange, self._queries, order)

    async def _cannot_cancel(self, account: int, order_id: int, rejected: Event) -> Refused:
        """Tell an order that has ended from one that is not theirs, or never was."""
        await self._exchange.read_your_writes(account)
        order = await self._queries.order(account, order_id)
        if order is None:
            return refuse(Reason.UNKNOWN_ORDER, f"you have no order {order_id}", sequence=rejected.sequence)
        market = self._exchange.catalogue.markets[order.market]
        status = STATUS_NAMES[order.status]
        filled = market.quantity_text(order.filled_lots)
        return refuse(
            Reason.ORDER_ENDED,
            f"order {order_id} has ended before: "
            f"it is {status}, filled {filled} of {market.quantity_text(order.quantity_lots)}",
            sequence=rejected.sequence,
            extra=(("order_status", status), ("filled_quantity", filled)),
        )

    def _account(self, scope: Scope) -> int:
        authorization = header(scope, b"authorization")
        return self._exchange.tokens.verify(bearer_token(authorization.decode("latin-1") if authorization else None))


class FrontDoor:
    """Takes orders straight to their entry; everything else goes the long way.

    So does what a browser sends from another origin. The long way serves the same routes behind CORS, request ids and
    measuring.
    """

    def __init__(self, app: ASGIApp, entry: OrderEntry) -> None:
        self._app = app
        self._entry = entry
        self._observer = request_observer("POST", PLACE_ROUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_order = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in PLACE_PATHS
        if not is_order or header(scope, b"origin") is not None:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def measured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [
                    (b"x-request-id", request_id(scope).encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            await self._entry.place(scope, receive, measured)
        except Exception:
            logger.exception("order entry crashed", extra={"fields": {"request_id": request_id(scope)}})
            if status:
                raise
            refusal = Refusal(EdgeReason.INTERNAL, "the exchange made an error; its log names the request by this id")
            await _send_problem(scope, measured, refusal)
        finally:
            self._observer.observe(status, time.perf_counter() - started)


class _AsgiEndpoint:
    """Tells Starlette that an endpoint is raw ASGI: a plain function would be called with a Request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def place_command(account: int, market: Market, request: OrderRequest) -> tuple[bytearray, str | None]:
    """Return (PLACE record, client order id).

    Raises Refused naming the field, its limit and the nearest valid value.
    """
    side = _choice(request.side, "side", SIDES, Reason.SIDE_INVALID, "Buy or Sell")
    order_type = _choice(request.order_type, "order_type", ORDER_TYPES, Reason.ORDER_TYPE_INVALID, "Limit or Market")
    time_in_force = _time_in_force(request.time_in_force, order_type)
    if not isinstance(request.post_only, bool):
        raise refuse(
            EdgeReason.FIELD_INVALID, "post_only must be true or false", field="post_only", limit="true or false"
        )
    if request.post_only and (order_type, time_in_force) != (OrderType.LIMIT, TimeInForce.GTC):
        raise refuse(
            Reason.FLAGS_INVALID,
            "post_only needs a Limit order with time_in_force GTC",
            field="post_only",
            limit="GTC Limit",
            nearest="false",
        )
    client_order_id = _client_order_id(request.client_order_id)
    quantity_lots = market.quantity_lots(_needed(request.quantity, "quantity"))
    price_ticks = 0
    if order_type == OrderType.LIMIT or request.price is not None:
        price_ticks = market.price_ticks(_needed(request.price, "price"))
    if order_type == OrderType.LIMIT:
        market.check_notional(price_ticks, quantity_lots)
    flags = FLAG_POST_ONLY if request.post_only else 0
    encoded = client_order_id.encode("ascii") if client_order_id else b""
    command = commands.place(
        account, market.number, side, order_type, time_in_force, flags, price_ticks, quantity_lots, encoded
    )
    return command, client_order_id


def render_placed(entry: Entry, events: list[Event], market: Market) -> dict[str, Any]:
    """The Order with fills as it was when its own command was done."""
    order = OrderState.accepted(events[0], commands.client_order_id(entry.command))
    fills = []
    for event in events[1:]:
        if event.kind == EventKind.TRADED:
            fill, _ = fills_of(event)
            order.fill(event, fill.fee_units)
            fills.append(render_fill(fill, market))
        elif event.kind == EventKind.CANCELLED:
            order.cancel(event)
    return render_order(order, market) | {"fills": fills}


def _choice(value: object, field: str, choices: Mapping[str, Choice], reason: AnyReason, limit: str) -> Choice:
    choice = choices.get(value.lower()) if isinstance(value, str) else None
    if choice is None:
        given = "is missing" if value is None else f"is {str(value)[:40]!r}"
        raise refuse(reason, f"{field} {given}; it must be {limit}", field=field, limit=limit)
    return choice


def _time_in_force(value: object, order_type: OrderType) -> TimeInForce:
    if value is None:
        return TimeInForce.GTC if order_type == OrderType.LIMIT else TimeInForce.IOC
    limit = "GTC, IOC or FOK"
    time_in_force = _choice(value, "time_in_force", TIMES_IN_FORCE, Reason.TIME_IN_FORCE_INVALID, limit)
    if order_type == OrderType.MARKET and time_in_force == TimeInForce.GTC:
        detail = "a Market order never rests: its time_in_force must be IOC or FOK"
        raise refuse(Reason.TIME_IN_FORCE_INVALID, detail, field="time_in_force", limit="IOC or FOK", nearest="IOC")
    return time_in_force


def _client_order_id(value: object) -> str | None:
    if value is None:
        return None
    limit = f"1 to {CLIENT_ORDER_ID_SIZE} of A-Z a-z 0-9 _ . : -"
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= CLIENT_ORDER_ID_SIZE
        or not _CLIENT_ORDER_ID_CHARACTERS.issuperset(value)
    ):
        kept = "".join(filter(_CLIENT_ORDER_ID_CHARACTERS.__contains__, str(value)))[:CLIENT_ORDER_ID_SIZE]
        detail = f"client_order_id must be {limit}"
        raise refuse(Reason.CLIENT_ORDER_ID_INVALID, detail, field="client_order_id", limit=limit, nearest=kept or None)
    return value


def _needed(value: object, field: str) -> object:
    if value is None:
        raise refuse(EdgeReason.FIELD_INVALID, f"{field} is missing", field=field, limit="required")
    return value


def _order_id(path_params: Mapping[str, Any]) -> int:
    text = path_params["order_id"]
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63):
        raise refuse(
            EdgeReason.FIELD_INVALID,
            "order_id must be 1 to 19 decimal digits",
            field="order_id",
            limit="1 to 19 digits",
        )
    return int(text)


def _decode(body: bytes) -> OrderRequest:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        detail = f"the body is no order: {str(error).split(' - at ')[0].replace('Object contains', 'it has an')}"
        raise refuse(Reason.MALFORMED, detail, field="body", limit=", ".join(OrderRequest.__struct_fields__)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refuse(Reason.MALFORMED, f"the body is not valid JSON: {error}") from None


async def _read_json_body(scope: Scope, receive: Receive) -> bytes:
    content_type = header(scope, b"content-type") or b""
    if not content_type.lower().startswith(b"application/json"):
        raise refuse(
            EdgeReason.UNSUPPORTED_MEDIA_TYPE, "send the order with the header `Content-Type: application/json`"
        )
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise refuse(Reason.MALFORMED, "the request ended before its body did")
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            limit = f"{BODY_BYTES_MAX} bytes"
            raise refuse(Reason.BODY_TOO_LARGE, f"the body is larger than {limit}", field="body", limit=limit)
        if not message.get("more_body"):
            return body


async def _send_json(scope: Scope, send: Send, status: int, content: dict[str, Any]) -> None:
    await _send(send, status, _encode(content), [(b"content-type", b"application/json")])


async def _send_problem(scope: Scope, send: Send, refusal: Refusal) -> None:
    headers = [(name.encode(), value.encode()) for name, value in problem_headers(refusal).items()]
    await _send(send, refusal.status, problem_body(refusal, request_id(scope)), headers)


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers += [
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
