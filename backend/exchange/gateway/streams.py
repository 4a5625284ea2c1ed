"""WebSocket /ws/v1: operations in, streams out (docs/api.md)."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.records import Reason
from exchange.contracts.refusals import EdgeReason, Refusal, Refused, refuse
from exchange.contracts.units import Market
from exchange.gateway.context import Exchange
from exchange.gateway.hub import Hub, Subscriber, encode
from exchange.gateway.principal import Principal

CONNECTIONS_MAX = 2_000  # at the bound a new connection is refused with close code 1013, try again later
SUBSCRIPTIONS_MAX = 100
MESSAGE_BYTES_MAX = 4 * 1024
PUBLIC_CHANNELS = ("depth", "trades", "ticker")


class Operation(msgspec.Struct, forbid_unknown_fields=True):
    """A client's message."""

    op: str
    id: int | str | None = None
    channel: str | None = None
    symbol: str | None = None
    token: str | None = None
    key: str | None = None
    timestamp: str | None = None
    signature: str | None = None


_decoder = msgspec.json.Decoder(Operation)


class StreamServer:
    """Serves the WebSocket endpoint."""

    def __init__(self, exchange: Exchange, hub: Hub) -> None:
        self._exchange = exchange
        self._hub = hub
        self._connections: set[Connection] = set()
        exchange.access.state.on_change = self._check_all

    def _check_all(self) -> None:
        """Once a second and at every change: who has lost access loses the private channel."""
        for connection in self._connections:
            connection.check()

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one connection to its end."""
        await websocket.accept()
        if len(self._hub.connections) >= CONNECTIONS_MAX:
            await websocket.close(1013, "too many connections: try again later")
            return
        if self._exchange.corridor.role != "leader":
            await websocket.close(1013, "the exchange is not open: try again later")
            return
        subscriber = Subscriber()
        self._hub.connections.add(subscriber)
        address = websocket.client.host if websocket.client else ""
        connection = Connection(self._exchange, self._hub, subscriber, address)
        self._connections.add(connection)
        sending = asyncio.create_task(_send(websocket, subscriber))
        receiving = asyncio.create_task(_receive(websocket, connection))
        try:
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.forget(subscriber)
            self._connections.discard(connection)
            for task in (sending, receiving):
                task.cancel()
                with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                    await task


async def _send(websocket: WebSocket, subscriber: Subscriber) -> None:
    while (text := await subscriber.next()) is not None:
        await websocket.send_text(text)
    await websocket.close(subscriber.close_code or 1000, subscriber.close_reason)


async def _receive(websocket: WebSocket, connection: "Connection") -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        connection.take(text.encode() if text is not None else message.get("bytes") or b"")


class Connection:
    """What one client has subscribed to, and as whom."""

    def __init__(self, exchange: Exchange, hub: Hub, subscriber: Subscriber, address: str = "") -> None:
        self._exchange = exchange
        self._address = address
        self._hub = hub
        self._subscriber = subscriber
        self._subscriptions: set[tuple[str, int]] = set()  # channel, market number; ("orders", 0)
        self._account: int | None = None
        self._principal: Principal | None = None

    def take(self, message: bytes) -> None:
        """Carry out one operation and answer it."""
        identity: Any = None
        try:
            operation = self._decode(message)
            identity = operation.id
            self._carry_out(operation)
        except Refused as refused:
            self._answer_error(identity, refused.refusal)

    def _decode(self, message: bytes) -> Operation:
        if len(message) > MESSAGE_BYTES_MAX:
            limit = f"{MESSAGE_BYTES_MAX} bytes"
            raise refuse(Reason.BODY_TOO_LARGE, f"a message must have at most {limit}", field="message", limit=limit)
        try:
            return _decoder.decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise refuse(Reason.MALFORMED, f"the message is no operation: {error}") from None

    def _carry_out(self, operation: Operation) -> None:
        if operation.op == "subscribe":
            self._subscribe(operation)
        elif operation.op == "unsubscribe":
            self._unsubscribe(operation)
        elif operation.op == "authenticate":
            self._authenticate(operation)
        elif operation.op == "ping":
            self._answer({"type": "pong", "id": operation.id, "timestamp_ns": time.time_ns()})
        else:
            operations = "subscribe, unsubscribe, authenticate, ping"
            raise refuse(
                EdgeReason.FIELD_INVALID,
                f"op {operation.op[:40]!r} is not one of {operations}",
                field="op",
                limit=operations,
            )

    def _subscribe(self, operation: Operation) -> None:
        if operation.channel == "orders":
            account = self._signed_in()
            self._add("orders", 0)
            self._acknowledge(operation)
            self._hub.subscribe_orders(self._subscriber, account)
            return
        market = self._public(operation)
        assert operation.channel is not None
        self._add(operation.channel, market.number)
        self._acknowledge(operation)
        self._hub.subscribe(self._subscriber, operation.channel, market)

    def _unsubscribe(self, operation: Operation) -> None:
        if operation.channel == "orders":
            self._hub.unsubscribe_orders(self._subscriber, self._signed_in())
            self._subscriptions.discard(("orders", 0))
        else:
            market = self._public(operation)
            assert operation.channel is not None
            self._hub.unsubscribe(self._subscriber, operation.channel, market)
            self._subscriptions.discard((operation.channel, market.number))
        self._acknowledge(operation)

    def _authenticate(self, operation: Operation) -> None:
        access = self._exchange.access
        if operation.key is None:
            principal = access.identify_token(operation.token or "")
        else:
            signed = (operation.timestamp or "", operation.signature or "")
            principal = access.identify_stream(operation.key, *signed, self._address)
        access.require(principal, "read")
        if self._account not in (None, principal.account):
            raise refuse(EdgeReason.FORBIDDEN, "this connection belongs to another account: open a new one")
        self._principal, self._account = principal, principal.account
        self._acknowledge(operation)

    def check(self) -> None:
        """End the private channel where the right to it has ended; the public ones go on."""
        if self._principal is None:
            return
        try:
            if time.time() >= self._principal.expires_at:
                detail = "the access token has expired: authenticate with a new one and subscribe to orders again"
                raise refuse(EdgeReason.TOKEN_EXPIRED, detail)
            self._exchange.access.check(self._principal)
        except Refused as refused:
            if ("orders", 0) in self._subscriptions:
                self._hub.unsubscribe_orders(self._subscriber, self._principal.account)
                self._subscriptions.discard(("orders", 0))
            self._principal = self._account = None
            self._answer_error(None, refused.refusal)

    def _signed_in(self) -> int:
        if self._account is None:
            raise refuse(EdgeReason.UNAUTHENTICATED, 'send {"op":"authenticate","token":"<access token>"} first')
        return self._account

    def _public(self, operation: Operation) -> Market:
        if operation.channel not in PUBLIC_CHANNELS:
            limit = ", ".join((*PUBLIC_CHANNELS, "orders"))
            given = (operation.channel or "")[:40]
            raise refuse(
                EdgeReason.FIELD_INVALID, f"channel {given!r} is not one of {limit}", field="channel", limit=limit
            )
        return self._exchange.catalogue.market(operation.symbol)

    def _add(self, channel: str, market_number: int) -> None:
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX and (channel, market_number) not in self._subscriptions:
            limit = str(SUBSCRIPTIONS_MAX)
            raise refuse(
                EdgeReason.OVERLOADED, f"a connection has at most {limit} subscriptions", field="channel", limit=limit
            )
        self._subscriptions.add((channel, market_number))

    def _acknowledge(self, operation: Operation) -> None:
        self._answer({"type": "ack", "id": operation.id, "op": operation.op})

    def _answer_error(self, identity: Any, refusal: Refusal) -> None:
        self._answer({"id": identity} | refusal.problem() | {"type": "error"})

    def _answer(self, message: dict[str, Any]) -> None:
        self._subscriber.send(encode(message))
