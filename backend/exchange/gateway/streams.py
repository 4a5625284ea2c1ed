"""WebSocket /ws/v1: operations in, streams out (docs/streams.md)."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, Protocol, TypeVar

import msgspec
from starlette.websockets import WebSocket

from engine.records import Reason
from exchange.contracts.refusals import EdgeReason, Refusal, Refused, refuse
from exchange.contracts.units import Market
from exchange.gateway.context import Exchange
from exchange.gateway.hub import PUBLIC_CHANNELS, Hub, Subscription
from exchange.gateway.markets import INTERVAL_MINUTES
from exchange.gateway.principal import Permission, Principal
from exchange.gateway.subscriber import Subscriber, encode
from exchange.gateway.tail import CannotFollow
from exchange.gateway.websocket import EXTENSION, StreamSocket

logger = logging.getLogger("exchange.streams")

CONNECTIONS_MAX = 2_000  # at the bound a new connection is refused with close code 1013, try again later
SUBSCRIPTIONS_MAX = 100
MESSAGE_BYTES_MAX = 32 * 1024
UNDERWAY_MAX = 1_000  # operations of a connection that take their time; at the bound the next is refused

Key = tuple[str, int, str]  # of a subscription: channel, market number, interval
ORDERS: Key = ("orders", 0, "")


class Message(Protocol):
    """What every message of a client has; the rest is its operation's."""

    op: str
    id: int | str | None


class Head(msgspec.Struct):
    """That alone."""

    op: str
    id: int | str | None = None


class Subscribe(msgspec.Struct, forbid_unknown_fields=True):
    """``subscribe``, and ``unsubscribe`` but for the last field."""

    op: str
    id: int | str | None = None
    channel: str | None = None
    symbol: str | None = None
    interval: str | None = None
    resume_from: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None


class Proof(msgspec.Struct, forbid_unknown_fields=True):
    """``authenticate``: an access token, or an API key's signature."""

    op: str
    id: int | str | None = None
    token: str | None = None
    key: str | None = None
    timestamp: str | None = None
    signature: str | None = None


class Ping(msgspec.Struct, forbid_unknown_fields=True):
    """``ping``."""

    op: str
    id: int | str | None = None


Answer = dict[str, Any]
#: What carries out an operation. It gets the connection and the whole message, raises Refused, and gives what the
#: answer says beside its type, id and op; None where it has answered by itself. An awaitable is awaited beside the
#: operations that follow: it is begun in their order, and answered when it ends.
Handler = Callable[["Connection", bytes], Answer | Awaitable[Answer | None] | None]

T = TypeVar("T")
Shape = TypeVar("Shape", bound=Message)
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
#: How clients begin their messages, mostly: what follows is the operation.
_BEGINNING = b'{"op":"'


class AtOnce(Generic[Shape]):
    """A Handler of an operation that orders take one after another.

    Its messages are read once where they begin with their operation, and not for their head and then for the rest.
    ``carry_out`` gets the message as ``shape``.
    """

    def __init__(
        self,
        shape: type[Shape],
        carry_out: "Callable[[Connection, Shape], Awaitable[Answer | None] | None]",
        carry_out_run: "Callable[[Connection, Sequence[bytes]], int] | None" = None,
    ) -> None:
        """``carry_out_run``: carry out those messages at the beginning of several that nothing is wrong with, and
        return how many that were.
        """
        self.decoder = msgspec.json.Decoder(shape)
        self.carry_out = carry_out
        self.carry_out_run = carry_out_run

    def read(self, message: bytes) -> Shape | None:
        """Return a message that begins with the operation; None where anything is wrong with it."""
        if len(message) > MESSAGE_BYTES_MAX:
            return None
        try:
            request = self.decoder.decode(message)
        except UNREADABLE:
            return None
        return request if request.op.encode() == _op_of(message) else None  # said twice, the last one counts

    def __call__(self, connection: "Connection", message: bytes) -> Awaitable[Answer | None] | None:
        connection.principal(None)  # strangers are told that they are, and not what is wrong with their messages
        return self.carry_out(connection, decode(message, self.decoder))


def _op_of(message: bytes) -> bytes:
    """What a message begins with as its operation; empty where it begins otherwise."""
    if not message.startswith(_BEGINNING):
        return b""
    start = len(_BEGINNING)
    return message[start : message.find(b'"', start)]


def decode(message: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """Return a client's message as the decoder's type. Raises Refused MALFORMED."""
    try:
        return decoder.decode(message)
    except UNREADABLE as error:
        raise refuse(Reason.MALFORMED, f"the message is no operation: {error}") from None


_head = msgspec.json.Decoder(Head)
_subscribe = msgspec.json.Decoder(Subscribe)
_proof = msgspec.json.Decoder(Proof)
_ping = msgspec.json.Decoder(Ping)


class StreamServer:
    """Serves the WebSocket endpoint."""

    def __init__(self, exchange: Exchange, hub: Hub, operations: Mapping[str, Handler] | None = None) -> None:
        self._exchange = exchange
        self._hub = hub
        self._operations = {**OPERATIONS, **(operations or {})}
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
        if not self._exchange.corridor.ready:
            await websocket.close(1013, "the exchange is not open: try again later")
            return
        socket: StreamSocket = websocket.scope["extensions"][EXTENSION]
        subscriber = Subscriber(socket)
        address = websocket.client.host if websocket.client else ""
        connection = Connection(self._exchange, self._hub, subscriber, address, self._operations)
        self._hub.connections.add(subscriber)
        self._connections.add(connection)
        socket.begin(connection.take_all, subscriber.flush)
        try:
            await socket.ended
        finally:
            connection.ended()
            self._hub.forget(subscriber)
            self._connections.discard(connection)


class Connection:
    """What one client has subscribed to, and as whom; carries out what it asks for."""

    def __init__(
        self,
        exchange: Exchange,
        hub: Hub,
        subscriber: Subscriber,
        address: str = "",
        operations: Mapping[str, Handler] | None = None,
    ) -> None:
        self._exchange = exchange
        self._hub = hub
        self._subscriber = subscriber
        self._operations = operations if operations is not None else OPERATIONS
        self._at_once = {
            op.encode(): handler for op, handler in self._operations.items() if isinstance(handler, AtOnce)
        }
        self._subscriptions: set[Key] = set()
        self.signed_in: Principal | None = None  # as whom
        self._account: int | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # of operations that take their time
        self.answering = 0  # operations under way that their handlers answer by themselves
        self.address = address
        self.on_end: list[Callable[[], None]] = []  # called when the connection is gone
        self.on_sign_out: list[Callable[[], None]] = []  # called when the right to it has ended before

    def take_all(self, messages: list[bytes]) -> None:
        """Carry out operations that have come together, one after the other, and answer them."""
        while messages and self._subscriber.is_open:
            taken = self._take_run(messages)
            if not taken:
                self.take(messages[0])
                taken = 1
            messages = messages[taken:]

    def _take_run(self, messages: list[bytes]) -> int:
        """Carry out as many as can be in one go; return how many."""
        operation = self._at_once.get(_op_of(messages[0]))
        if operation is None or operation.carry_out_run is None:
            return 0
        return operation.carry_out_run(self, messages)

    def take(self, message: bytes) -> None:
        """Carry out one operation and answer it."""
        if self._take_at_once(message):
            return
        head = Head("")
        try:
            if len(message) > MESSAGE_BYTES_MAX:
                limit = f"{MESSAGE_BYTES_MAX} bytes"
                raise refuse(
                    Reason.BODY_TOO_LARGE, f"a message must have at most {limit}", field="message", limit=limit
                )
            head = decode(message, _head)
            outcome = self._handler(head.op)(self, message)
        except Exception as error:
            self.answer_error(head, error)
            return
        if outcome is None or isinstance(outcome, dict):
            self.acknowledge(head, outcome)
        else:
            self.finish_later(head, outcome)

    def _take_at_once(self, message: bytes) -> bool:
        """Do the same with a message that nothing is wrong with and whose operation has a short way; else nothing."""
        operation = self._at_once.get(_op_of(message))
        if operation is None or not self.room:
            return False
        request = operation.read(message)
        if request is None:
            return False
        try:
            outcome = operation.carry_out(self, request)
        except Exception as error:
            self.answer_error(request, error)
            return True
        if outcome is not None:
            self.finish_later(request, outcome)
        return True

    def finish_later(self, head: Message, outcome: Awaitable[Answer | None]) -> None:
        """Await what an operation came to beside the operations that follow, and answer it then."""
        task = asyncio.create_task(self._finish(head, outcome))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def room(self) -> int:
        """How many operations more may be under way."""
        return max(UNDERWAY_MAX - len(self._tasks) - self.answering, 0)

    @property
    def is_open(self) -> bool:
        """Whether it takes messages."""
        return self._subscriber.is_open

    def _handler(self, op: str) -> Handler:
        handler = self._operations.get(op)
        if handler is None:
            limit = ", ".join(self._operations)
            raise refuse(EdgeReason.FIELD_INVALID, f"op {op[:40]!r} is not one of {limit}", field="op", limit=limit)
        if not self.room:
            detail = f"{UNDERWAY_MAX} operations of this connection are under way; nothing was done"
            raise refuse(EdgeReason.OVERLOADED, detail, limit=str(UNDERWAY_MAX), retry_after_s=1)
        return handler

    async def _finish(self, head: Message, outcome: Awaitable[Answer | None]) -> None:
        """Answer an operation that takes its time. The client may be gone by then: what was begun is finished."""
        try:
            self.acknowledge(head, await outcome)
        except Exception as error:
            self.answer_error(head, error)

    def ended(self) -> None:
        """The connection is gone."""
        self._subscriptions.clear()
        for call in self.on_end:
            call()

    def principal(self, permission: Permission | None) -> Principal:
        """Return who this is. Raises Refused UNAUTHENTICATED, SCOPE_MISSING or ACCOUNT_FROZEN."""
        if self.signed_in is None:
            raise refuse(EdgeReason.UNAUTHENTICATED, 'send {"op":"authenticate","token":"<access token>"} first')
        self._exchange.access.require(self.signed_in, permission)
        return self.signed_in

    def subscribe(self, message: bytes) -> Awaitable[None] | None:
        """Send a channel from now on: the acknowledgement, then a snapshot or what was missed, then updates."""
        operation = decode(message, _subscribe)
        if operation.channel == ORDERS[0]:
            return self._begin(operation, ORDERS, None, self.principal("read").account)
        key, market = self._public(operation)
        return self._begin(operation, key, market, 0)

    def _begin(self, operation: Subscribe, key: Key, market: Market | None, account: int) -> Awaitable[None] | None:
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX and key not in self._subscriptions:
            limit = str(SUBSCRIPTIONS_MAX)
            detail = f"a connection has at most {limit} subscriptions"
            raise refuse(EdgeReason.OVERLOADED, detail, field="channel", limit=limit)
        self._subscriptions.add(key)
        beginning = self._hub.subscribe(
            Subscription(
                subscriber=self._subscriber,
                channel=key[0],
                market=market,
                interval=key[2],
                account=account,
                resume_from=operation.resume_from,
                acknowledge=lambda answer: self.acknowledge(operation, answer),
                is_wanted=lambda: key in self._subscriptions,
            )
        )
        return beginning and self._finish_beginning(beginning, key)

    async def _finish_beginning(self, beginning: Awaitable[None], key: Key) -> None:
        try:
            await beginning
        except CannotFollow as error:
            self._subscriptions.discard(key)
            raise refuse(EdgeReason.UNAVAILABLE, str(error), retry_after_s=2) from None

    def unsubscribe(self, message: bytes) -> Answer:
        """Send no more of a channel."""
        operation = decode(message, _subscribe)
        if operation.channel == ORDERS[0]:
            self._leave_orders(self.principal(None).account)
        else:
            key, market = self._public(operation)
            self._subscriptions.discard(key)
            self._hub.unsubscribe(self._subscriber, key[0], market, key[2])
        return {}

    def _leave_orders(self, account: int) -> None:
        if ORDERS in self._subscriptions:
            self._subscriptions.discard(ORDERS)
            self._hub.unsubscribe_orders(self._subscriber, account)

    def authenticate(self, message: bytes) -> Answer:
        """Take who this is, for as long as the token or the key is good."""
        operation = decode(message, _proof)
        access = self._exchange.access
        if operation.key is None:
            principal = access.identify_token(operation.token or "")
        else:
            signed = (operation.timestamp or "", operation.signature or "")
            principal = access.identify_stream(operation.key, *signed, self.address)
        if self._account not in (None, principal.account):
            raise refuse(EdgeReason.FORBIDDEN, "this connection belongs to another account: open a new one")
        self.signed_in, self._account = principal, principal.account
        self._subscriber.stay_apart()
        return {}

    def ping(self, message: bytes) -> None:
        """Answer at once."""
        self.send({"type": "pong", "id": decode(message, _ping).id, "timestamp_ns": time.time_ns()})

    def check(self) -> None:
        """End the private channel where the right to it has ended; the public ones go on."""
        if self.signed_in is None:
            return
        try:
            if time.time() >= self.signed_in.expires_at:
                detail = "the access token has expired: authenticate with a new one and subscribe to orders again"
                raise refuse(EdgeReason.TOKEN_EXPIRED, detail)
            self._exchange.access.check(self.signed_in)
        except Refused as refused:
            self._leave_orders(self.signed_in.account)
            self.signed_in = self._account = None
            self.answer_error(Head(""), refused)
            for call in self.on_sign_out:
                call()

    def send(self, message: Answer) -> None:
        """Send a message to this client alone."""
        self._subscriber.send(encode(message))

    def send_frames(self, frames: Sequence[bytes]) -> None:
        """Send several that are frames already."""
        self._subscriber.send_all(frames)

    def _public(self, operation: Subscribe) -> tuple[Key, Market]:
        channel, interval = operation.channel or "", operation.interval
        if channel not in PUBLIC_CHANNELS:
            limit = ", ".join((*PUBLIC_CHANNELS, ORDERS[0]))
            detail = f"channel {channel[:40]!r} is not one of {limit}"
            raise refuse(EdgeReason.FIELD_INVALID, detail, field="channel", limit=limit)
        if (channel == "candles") != (interval is not None) or interval not in (None, *INTERVAL_MINUTES):
            limit = ", ".join(INTERVAL_MINUTES)
            detail = f"candles have an interval, one of {limit}; other channels have none"
            raise refuse(EdgeReason.FIELD_INVALID, detail, field="interval", limit=limit)
        market = self._exchange.catalogue.market(operation.symbol)
        return (channel, market.number, interval or ""), market

    def acknowledge(self, head: Message, answer: Answer | None) -> None:
        if answer is not None:
            self.send({"type": "ack", "id": head.id, "op": head.op} | answer)

    def answer_error(self, head: Message, error: Exception) -> None:
        self._subscriber.send(self.error_frame(head, error))

    def error_frame(self, head: Message, error: Exception) -> bytes:
        """What tells of a refusal, or of a failure that is logged."""
        if isinstance(error, Refused):
            refusal = error.refusal
        else:
            logger.error("the operation %s failed", head.op, exc_info=error)
            refusal = Refusal(EdgeReason.INTERNAL, "something went wrong here, and was noted")
        return encode({"id": head.id} | refusal.problem() | {"type": "error"})


#: What everybody's messages may ask for. Others come with the server's ``operations``.
OPERATIONS: dict[str, Handler] = {
    "subscribe": Connection.subscribe,
    "unsubscribe": Connection.unsubscribe,
    "authenticate": Connection.authenticate,
    "ping": Connection.ping,
}
