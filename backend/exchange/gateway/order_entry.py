"""Order entry: place and cancel, as raw ASGI beside FastAPI (decision record 0004), since every order passes here.

bytes ─> OrderRequest ─> PLACE record ─> Corridor.place ─> events ─> Order with fills
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import msgspec
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.orders.faces import placed_orders
from engine.orders.requests import plain_orders
from engine.orders.words import STATUS_NAMES
from engine.records import Reason
from exchange.contracts import commands
from exchange.contracts.events import find_refusal
from exchange.contracts.orders import show_order_with_fills
from exchange.contracts.refusals import EdgeReason, Refusal, Refused, refuse
from exchange.contracts.units import Market
from exchange.gateway.context import Exchange, Placing, Submitted
from exchange.gateway.edge import header_lines, request_id
from exchange.gateway.explain import explain
from exchange.gateway.json_endpoint import (
    Answer,
    Endpoint,
    check_media_type,
    check_size,
    decode,
    encode,
    raw_problem,
    read_body,
)
from exchange.gateway.order_limits import check_command, is_limited
from exchange.gateway.order_request import OrderRequest, check_order_id, place_command
from exchange.gateway.orders import own_order, with_fills
from exchange.gateway.principal import Principal
from exchange.gateway.rate_limits import Budget
from exchange.observability.metrics import RequestObserver, request_observer
from exchange.storage.journal import Entry
from exchange.storage.queries import Queries

PLACE_PATHS = ("/api/v1/orders", "/api/v1/orders/orders")
PLACE_ROUTE = PLACE_PATHS[0]
_JSON_LINE, _NOSNIFF_LINE = b"content-type: application/json\r\n", b"x-content-type-options: nosniff\r\n"

#: Sends an answer: its status, header lines without Content-Length, and body.
Reply = Callable[[int, bytes, bytes], None]

logger = logging.getLogger("exchange.gateway")
_decoder = msgspec.json.Decoder(OrderRequest)


class Step(msgspec.Struct, frozen=True, gc=False):
    """An operation on orders as a command for the corridor, and what makes its answer of the journal entry.

    Every way in makes the same steps: a request alone, a batch, a message on a stream. A struct, as the requests are.
    """

    command: bytearray
    client_order_id: str | None
    finish: Callable[[Entry, bool], Answer | Awaitable[Answer]]  # raises Refused

    async def answer(self, result: tuple[Entry, bool]) -> Answer:
        """Make the answer, whether it takes its time or not."""
        answer = self.finish(*result)
        return answer if isinstance(answer, tuple) else await answer


#: A plain order as (command, client order id): its step is that of ``OrderEntry.finish_placing``.
PlainOrder = tuple[bytearray, str | None]


class Underway(NamedTuple):
    """A request whose one command is in the corridor already: nobody needs to wait for it."""

    placing: Submitted
    step: Step


#: Takes a scope and its whole body. What was begun at once is answered as soon as it is durable, anything else by who
#: awaits it. Raises Refused, and so does what is awaited.
ShortWay = Callable[[Scope, bytes], Underway | Awaitable[Answer]]


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """An operation whose commands are in the corridor, in the order in which operations were begun."""

    placings: Sequence[Placing]
    answer: Awaitable[Answer]  # raises Refused


class OrderEntry:
    """Places and cancels orders: the two operations that nobody can trade without."""

    def __init__(self, exchange: Exchange, queries: Queries) -> None:
        self.exchange = exchange
        self.queries = queries

    def routes(self) -> list[BaseRoute]:
        """The routes, to be put before FastAPI's own."""
        place, cancel = Endpoint(self._place), Endpoint(self._cancel)
        return [
            *(Route(path, place, methods=["POST"]) for path in PLACE_PATHS),
            *(Route(f"{path}/{{order_id:str}}/cancel", cancel, methods=["PUT"]) for path in PLACE_PATHS),
            *(Route(f"{path}/{{order_id:str}}", cancel, methods=["DELETE"]) for path in PLACE_PATHS),
        ]

    def short_ways(self) -> dict[str, ShortWay]:
        """What goes past ASGI."""
        return dict.fromkeys(PLACE_PATHS, self.place)

    async def _place(self, scope: Scope, receive: Receive) -> Answer:
        return await self.carry_out(*self._placing(scope, await read_body(receive)))

    def place(self, scope: Scope, body: bytes) -> Underway | Awaitable[Answer]:
        """POST: answer 201 with the order, 200 when its client_order_id had placed it before. Raises Refused."""
        principal, step = self._placing(scope, body)
        placing = self.exchange.corridor.begin_now(step.command, principal.account, step.client_order_id)
        return self.carry_out(principal, step) if placing is None else Underway(placing, step)

    def _placing(self, scope: Scope, body: bytes) -> tuple[Principal, Step]:
        check_media_type(scope)
        check_size(body)
        principal = self.exchange.access.admit(scope, body, "trade")
        return principal, self.place_step(principal, decode(_decoder, body, "order", OrderRequest.__struct_fields__))

    async def carry_out(self, principal: Principal, step: Step) -> Answer:
        """Send a step through the corridor and answer it. Raises Refused."""
        corridor = self.exchange.corridor
        return await step.answer(await corridor.place(step.command, principal.account, step.client_order_id))

    async def begin(self, principal: Principal, step: Step) -> Begun:
        """Send a step into the corridor, for who sends several at once. Raises Refused."""
        placing = await self.exchange.corridor.begin(step.command, principal.account, step.client_order_id)

        async def answer() -> Answer:
            return await step.answer(await placing.result())

        return Begun((placing,), answer())

    def place_step(self, principal: Principal, request: OrderRequest) -> Step:
        """Place an order: 201 with the Order and its fills, 200 when its client_order_id had placed it before."""
        market = self.exchange.catalogue.market(request.symbol)
        command, client_order_id = place_command(principal.account, market, request)
        check_command(principal, command, self.exchange)
        return Step(command, client_order_id, self.finish_placing)

    def plain_orders(
        self, principal: Principal, requests: Sequence[object], shape: type[OrderRequest]
    ) -> Sequence[PlainOrder | None]:
        """Return the commands of requests that came together: what ``place_step`` makes of each that is plain.

        None for any other: what is no ``shape``, is not plain (order_request.py), or is of a key that may not do
        everything. Its own step tells what it is, and what is wrong with it.
        """
        if principal.key is not None and is_limited(principal.key):
            return [None] * len(requests)
        return plain_orders(principal.account, requests, shape, self.exchange.catalogue.markets_by_symbol)

    def finish_placing(self, entry: Entry, was_there: bool) -> Answer:
        """The answer of a PLACE command: 201 with the Order and its fills, 200 when it was there. Raises Refused."""
        return 200 if was_there else 201, self.placed(entry)

    def placed(self, entry: Entry) -> msgspec.Raw:
        """Return the Order with fills of a PLACE command. Raises Refused."""
        market = self.exchange.catalogue.markets[commands.market_of(entry.command)]
        order = self.exchange.live.order(entry.sequence)
        shown = market.face.placed(order, entry.sequence, entry.command, entry.events)
        if shown is not None:
            return msgspec.Raw(shown)
        refusal = find_refusal(entry.events)
        if refusal is not None:
            raise Refused(explain(refusal, entry, market, self.exchange))
        if order is None or order.sequence != entry.sequence:  # it is forgotten, or more has happened to it since
            return show_placed(entry, market)
        return show_order_with_fills(order, market, entry.events)

    async def _cancel(self, scope: Scope, receive: Receive) -> Answer:
        """PUT .../cancel and DELETE: answer 200 with the order in its final state."""
        principal = self.exchange.access.admit(scope, await read_body(receive), "cancel", "cancels")
        return await self.carry_out(principal, self.cancel_step(principal, scope["path_params"]["order_id"]))

    def cancel_step(self, principal: Principal, order_id: object) -> Step:
        """Cancel a live order: 200 with its final state and its fills.

        The answer is refused with UNKNOWN_ORDER, ORDER_ENDED or MARKET_HALTED. Raises Refused FIELD_INVALID or
        MARKET_FORBIDDEN.
        """
        account, number = principal.account, check_order_id(order_id)
        command = commands.cancel(account, number)
        check_command(principal, command, self.exchange)

        async def finish(entry: Entry, was_there: bool) -> Answer:
            refusal = find_refusal(entry.events)
            if refusal is not None:
                raise await self.why_not(account, number, refusal)
            return 200, await self.latest(account, number)

        return Step(command, None, finish)

    async def latest(self, account: int, order_id: int) -> msgspec.Raw:
        """Return an account's order with its fills, as it is now. Raises Refused UNKNOWN_ORDER."""
        order = self.exchange.live.order(order_id)
        if order is not None and order.account == account and not order.filled_lots:
            return show_order_with_fills(order, self.exchange.catalogue.markets[order.market], b"")
        order = await own_order(self.exchange, self.queries, account, order_id)
        return msgspec.Raw(encode(await with_fills(self.exchange, self.queries, order)))

    async def why_not(self, account: int, order_id: int, refusal: Refusal) -> Refused:
        """Return why an order cannot be changed: tell one that has ended from one that is not theirs, or never was."""
        if refusal.reason != Reason.UNKNOWN_ORDER:
            return Refused(refusal)
        try:
            order = await own_order(self.exchange, self.queries, account, order_id)
        except Refused as unknown:
            return Refused(replace(unknown.refusal, sequence=refusal.sequence))
        if order.is_live:  # it came with another leader
            detail = "this process does not lead the exchange any more; nothing was changed"
            return refuse(EdgeReason.UNAVAILABLE, detail, retry_after_s=1)
        market = self.exchange.catalogue.markets[order.market]
        status = STATUS_NAMES[order.status]
        filled = market.quantity_text(order.filled_lots)
        return refuse(
            Reason.ORDER_ENDED,
            f"order {order_id} has ended before: "
            f"it is {status}, filled {filled} of {market.quantity_text(order.quantity_lots)}",
            sequence=refusal.sequence,
            extra=(("order_status", status), ("filled_quantity", filled)),
        )


class FrontDoor:
    """The whole edge: an ASGI application, and beside it the short way for orders (http_protocol.py).

    ``ways``: what answers a POST of a body, by path.
    """

    def __init__(self, app: ASGIApp, ways: Mapping[str, ShortWay]) -> None:
        self._app = app
        routes = {path: PLACE_ROUTE if path in PLACE_PATHS else path for path in ways}
        self._ways = {path: (way, request_observer("POST", routes[path])) for path, way in ways.items()}
        self.urls = frozenset(path.encode() for path in ways)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def take(self, scope: Scope, body: bytes, reply: Reply) -> Awaitable[None] | None:
        """Take a POST on the short way. It is replied to once: at once, or later; what is returned is to be awaited.

        Raises nothing, and neither does what is awaited.
        """
        way, observer = self._ways[scope["path"]]
        visit = _Visit(scope, observer, reply)
        try:
            begun = way(scope, body)
        except Exception as error:
            visit.fail(error)
            return None
        if isinstance(begun, Underway):
            begun.placing.then(partial(visit.finish, begun.step))
            return None
        return visit.wait(begun)


class _Visit:
    """A request on the short way, until it is answered."""

    __slots__ = ("_observer", "_reply", "_scope", "_started")

    def __init__(self, scope: Scope, observer: RequestObserver, reply: Reply) -> None:
        self._scope = scope
        self._observer = observer
        self._reply = reply
        self._started = time.perf_counter()

    def finish(self, step: Step, placing: Submitted) -> None:
        """Answer a command that is durable, or of which it will not be known."""
        try:
            answer = step.finish(*placing.taken())
            assert isinstance(answer, tuple), "what is begun at once is answered at once"
            self._answer(answer)
        except Exception as error:
            self.fail(error)

    async def wait(self, begun: Awaitable[Answer]) -> None:
        """Answer what takes its time."""
        try:
            self._answer(await begun)
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Answer with a refusal, or with that of a crash."""
        if isinstance(error, Refused):
            refusal = error.refusal
        else:
            logger.error(
                "order entry crashed", exc_info=error, extra={"fields": {"request_id": request_id(self._scope)}}
            )
            refusal = Refusal(EdgeReason.INTERNAL, "the exchange made an error; its log names the request by this id")
        status, headers, content = raw_problem(self._scope, refusal)
        self._send(status, header_lines(headers), content)

    def _answer(self, answer: Answer) -> None:
        status, content = answer
        self._send(status, _JSON_LINE, encode(content))

    def _send(self, status: int, lines: bytes, content: bytes) -> None:
        left: Budget | None = self._scope.get("rate_limit")
        budget = b"" if left is None else left.lines()
        self._observer.observe(status, time.perf_counter() - self._started)
        identity = request_id(self._scope).encode()
        self._reply(status, b"%b%bx-request-id: %b\r\n%b" % (lines, budget, identity, _NOSNIFF_LINE), content)


def show_placed(entry: Entry, market: Market) -> msgspec.Raw:
    """The Order with fills as it was when its own command was done."""
    (order,) = show_all((entry,), market)
    return order


def show_all(entries: Sequence[Entry], market: Market) -> list[msgspec.Raw]:
    """The Orders with fills that consecutive commands placed, as they were after the last of them."""
    orders = placed_orders([(entry.command, entry.events) for entry in entries])
    events = b"".join(entry.events for entry in entries)
    return [show_order_with_fills(order, market, events) for order in orders]
