"""Uvicorn's HTTP protocol with a short way for orders: they go from their last byte to order entry, batches too.

The short way has no ASGI messages and its answer is one system call (decision 0012). Parsing is httptools' in both
ways. Whatever is not a plain order goes uvicorn's: other paths and methods, requests of browsers, and those that came
before the one before them was answered.
"""

import asyncio
import math
from collections.abc import Awaitable
from functools import partial
from typing import Any, NamedTuple, cast

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from exchange.gateway.edge import BODY_BYTES_MAX, header_lines, headers_by_name
from exchange.gateway.order_entry import FrontDoor

_HEAD = b"HTTP/1.1 "
_END_OF_HEAD = b"\r\n\r\n"
KNOWN_HEADS_MAX, KNOWN_HEAD_BYTES_MAX = 16, 2_048  # of a connection; at the bound all are forgotten
#: What these need is known to the long way only.
_LONG_WAY_HEADERS = frozenset((b"origin", b"expect", b"upgrade"))


class OrderCycle:
    """An order under way, as uvicorn looks at what is under way on a connection."""

    __slots__ = ("body", "disconnected", "keep_alive", "response_complete", "scope")
    message_event = asyncio.Event()  # uvicorn wakes who waits for a body: nobody

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.body = b""
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False


class KnownHead(NamedTuple):
    """What parsing made of the head of a plain order, and how long the body is that it announces."""

    scope: Scope
    body_bytes: int


class ExchangeProtocol(HttpToolsProtocol):
    """One connection. See the module.

    A client sends the same head with every order, but for the length of the body. One that is byte for byte a head
    that was parsed on this connection needs no parsing again, where it is received in one piece with its body.
    """

    def __init__(self, front_door: FrontDoor, config: Config, server_state: ServerState, **more: Any) -> None:
        super().__init__(config, server_state, **more)
        self._front_door = front_door
        self._order: OrderCycle | None = None  # while its body comes in
        self._received = b""  # what the parser is given, where it begins with a request
        self._in_request = False  # whether the parser has seen a part of a request
        self._known_heads: dict[bytes, KnownHead] = {}
        self._default_headers: list[tuple[bytes, bytes]] = []  # uvicorn's latest, and their lines
        self._default_header_lines = b""
        self._idle_since_s = math.inf
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(OneWriteTransport(transport, self.loop))  # type: ignore[arg-type]
        self._wire = transport

    def data_received(self, data: bytes) -> None:
        if self._in_request or self._is_answering():
            super().data_received(data)
            return
        end = data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        known = self._known_heads.get(data[:end])
        if known is not None and len(data) == end + known.body_bytes:
            self._unset_keepalive_if_required()
            self._idle_since_s = math.inf
            self.cycle = order = OrderCycle(dict(known.scope))  # type: ignore[assignment]
            order.body = data[end:]
            self._take(order)
            return
        self._received = data
        super().data_received(data)
        self._received = b""

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # What httptools finds in a request

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._idle_since_s = math.inf
        self._in_request = True

    def on_headers_complete(self) -> None:
        if self.url in self._front_door.urls and self._is_plain():
            scope = cast(Scope, self.scope)
            scope["method"], scope["path"], scope["raw_path"], scope["query_string"] = (
                "POST", self.url.decode("ascii"), self.url, b"",
            )  # fmt: skip
            self.cycle = self._order = OrderCycle(scope)  # type: ignore[assignment]
        else:
            super().on_headers_complete()

    def _is_plain(self) -> bool:
        """Whether a request to a path of the short way may go it."""
        if self.parser.get_method() != b"POST" or not self.parser.should_keep_alive():
            return False
        if self._is_answering():
            return False
        headers = headers_by_name(cast(Scope, self.scope))
        # A key may be bound to addresses, and uvicorn knows which proxies to believe.
        proxied_key = b"x-exchange-key" in headers and b"x-forwarded-for" in headers
        return not proxied_key and _LONG_WAY_HEADERS.isdisjoint(headers)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, and nothing of what HTTP alone needs."""
        self.transport = cast(OneWriteTransport, self.transport).unwrapped()
        super().handle_websocket_upgrade()

    def on_body(self, body: bytes) -> None:
        if self._order is None:
            super().on_body(body)
        elif len(self._order.body) <= BODY_BYTES_MAX:  # what is too large already is refused when all of it was sent
            self._order.body += body

    def on_message_complete(self) -> None:
        self._in_request = False
        received, self._received = self._received, b""  # what follows in it does not begin it
        order, self._order = self._order, None
        if order is None:
            super().on_message_complete()
            return
        self._know(received, order)
        self._take(order)

    def _know(self, received: bytes, order: OrderCycle) -> None:
        """Remember the head of an order that was received in one piece, and alone: its body is sent as it is."""
        end = received.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        if not order.body or len(received) != end + len(order.body) or end > KNOWN_HEAD_BYTES_MAX:
            return
        if len(self._known_heads) >= KNOWN_HEADS_MAX:
            self._known_heads.clear()
        self._known_heads[received[:end]] = KnownHead(dict(order.scope), len(order.body))

    def _take(self, order: OrderCycle) -> None:
        waiting = self._front_door.take(order.scope, order.body, partial(self._answer, order))
        if waiting is not None:
            self._keep(waiting)

    def _keep(self, waiting: Awaitable[None]) -> None:
        """Have somebody wait for it."""
        task = asyncio.ensure_future(waiting)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # The answer

    def _answer(self, order: OrderCycle, status: int, lines: bytes, body: bytes) -> None:
        if self.flow.write_paused:  # who does not read its answers gets no more of them
            self._keep(self._answer_when_read(order, status, lines, body))
        else:
            self._send(order, status, lines, body)

    async def _answer_when_read(self, order: OrderCycle, status: int, lines: bytes, body: bytes) -> None:
        await self.flow.drain()
        self._send(order, status, lines, body)

    def _send(self, order: OrderCycle, status: int, lines: bytes, body: bytes) -> None:
        if order.disconnected:
            return
        head = STATUS_LINE[status] + self._default_lines() + lines
        if not order.keep_alive:
            head += b"connection: close\r\n"
        self._wire.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        order.response_complete = True
        if not order.keep_alive:
            self._wire.close()
        self._after_answer()

    def _default_lines(self) -> bytes:
        """The lines of uvicorn's own headers; it makes new ones every second."""
        headers = self.server_state.default_headers
        if headers is not self._default_headers:
            self._default_headers, self._default_header_lines = headers, header_lines(headers)
        return self._default_header_lines

    def _after_answer(self) -> None:
        if self.pipeline or self._wire.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self._idle_since_s = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def _close_if_idle(self) -> None:
        """The keep-alive timeout after orders. It looks again when it rings: a new timer an order costs as much as
        parsing the order does.
        """
        self._idle_timer = None
        idle_s = self.loop.time() - self._idle_since_s
        if self._wire.is_closing():
            return
        if idle_s >= self.timeout_keep_alive:
            self._wire.close()
        else:
            wait_s = self.timeout_keep_alive - max(idle_s, 0)
            self._idle_timer = self.loop.call_later(wait_s, self._close_if_idle)


class OneWriteTransport:
    """Joins the head of an answer that went the long way with its body.

    Uvicorn writes them apart, and uvloop sends each at once, which also wakes the client twice. The head waits at most
    to the end of this turn of the loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._write_head)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._write_head()
        self._transport.close()

    def unwrapped(self) -> asyncio.Transport:
        """The transport itself, with nothing that waits."""
        self._write_head()
        return self._transport

    def _write_head(self) -> None:
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
