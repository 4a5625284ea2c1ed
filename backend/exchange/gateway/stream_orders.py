"""Order entry over /ws/v1: the operations of REST as messages, any number of them under way at once.

message ─> who, budget, permission ─> the steps of order_entry.py and the others ─> answers by id
           in the order of messages    into the corridor in the same order           as they are done
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET

from engine.orders.answers import show_acknowledgements
from engine.orders.batches import Answer
from engine.records import Reason
from engine.wire.frames import acknowledgement
from exchange.contracts.refusals import EdgeReason, Refusal, Refused, refuse
from exchange.gateway.access import throttled
from exchange.gateway.context import Submitted
from exchange.gateway.dead_man import DeadMan, TimerRequest
from exchange.gateway.disconnects import Disconnects, Placed
from exchange.gateway.foresight import Foresight
from exchange.gateway.json_endpoint import Answer as JsonAnswer
from exchange.gateway.order_batches import BatchRequest, OrderBatches, OrderListRequest, legs_of
from exchange.gateway.order_changes import SCOPE_FIELDS, AmendRequest, OrderChanges, ReplaceRequest
from exchange.gateway.order_entry import Begun, OrderEntry, PlainOrder, Step
from exchange.gateway.order_request import OrderRequest, check_client_order_id, check_order_id
from exchange.gateway.orders import get_order, get_order_by_client_id
from exchange.gateway.principal import Principal
from exchange.gateway.rate_limits import Budget
from exchange.gateway.streams import (
    MESSAGE_BYTES_MAX,
    UNREADABLE,
    AtOnce,
    Connection,
    Handler,
    Message,
    Shape,
    decode,
)
from exchange.storage.journal import Entry


class PlaceMessage(OrderRequest, forbid_unknown_fields=True):
    """``place`` and ``test``: an order."""

    op: str = ""
    id: int | str | None = None


class CancelMessage(msgspec.Struct, forbid_unknown_fields=True):
    """``cancel``."""

    op: str = ""
    id: int | str | None = None
    order_id: object = None


class AmendMessage(AmendRequest, forbid_unknown_fields=True):
    """``amend``."""

    op: str = ""
    id: int | str | None = None
    order_id: object = None


class ReplaceMessage(ReplaceRequest, forbid_unknown_fields=True):
    """``replace``: the new order, and which one it replaces."""

    op: str = ""
    id: int | str | None = None
    order_id: object = None


class CancelAllMessage(msgspec.Struct, forbid_unknown_fields=True):
    """``cancel_all``: what is not there is no limit; null is none that was meant."""

    op: str = ""
    id: int | str | None = None
    symbol: object = UNSET
    side: object = UNSET
    price_from: object = UNSET
    price_to: object = UNSET
    client_order_id_prefix: object = UNSET


class BatchMessage(BatchRequest, forbid_unknown_fields=True):
    """``batch``."""

    op: str = ""
    id: int | str | None = None


class OrderListMessage(OrderListRequest, forbid_unknown_fields=True):
    """``order_list``."""

    op: str = ""
    id: int | str | None = None


class OrderMessage(msgspec.Struct, forbid_unknown_fields=True):
    """``order``: one of your orders, by either of its ids."""

    op: str = ""
    id: int | str | None = None
    order_id: object = None
    client_order_id: object = None


class TimerMessage(TimerRequest, forbid_unknown_fields=True):
    """``cancel_after``."""

    op: str = ""
    id: int | str | None = None


class DisconnectMessage(msgspec.Struct, forbid_unknown_fields=True):
    """``cancel_on_disconnect``."""

    op: str = ""
    id: int | str | None = None
    on: object = None
    scope: object = "connection"


_encode = msgspec.json.Encoder().encode
_PLACE = b'{"op":"place"'

Told = dict[str, Any]  # what access keeps of a message: the budget that it drew on


#: Lets a message in and makes the command of what it asks for. Raises Refused.
Make = Callable[["Asking", Shape], Step]
#: Lets a message in and begins what it asks for: all that happens in the order of the messages. Raises Refused.
Begin = Callable[["Asking", Shape], Awaitable[Begun]]


class Asking(msgspec.Struct, gc=False):
    """Who sent a message, over which connection, and what it was charged. A struct, as the messages are."""

    principal: Principal
    placed: Placed
    told: Told = {}


class _Order(msgspec.Struct, gc=False):
    """A plain order of a run: what its message was called, and what it was charged."""

    id: int | str | None
    left: Budget
    plain: PlainOrder
    op: str = "place"


class StreamOrders:
    """The operations on orders of a stream's connections."""

    def __init__(
        self,
        entry: OrderEntry,
        changes: OrderChanges,
        batches: OrderBatches,
        foresight: Foresight,
        dead_man: DeadMan,
        disconnects: Disconnects,
    ) -> None:
        self._entry = entry
        self._changes = changes
        self._batches = batches
        self._foresight = foresight
        self._dead_man = dead_man
        self._disconnects = disconnects
        self._exchange = entry.exchange
        self._places = self._at_once(PlaceMessage, self._place, self._place_run)

    def operations(self) -> dict[str, Handler]:
        """The operations by their names, for the StreamServer."""
        return {
            "place": self._places,
            "cancel": self._at_once(CancelMessage, self._cancel),
            "replace": self._at_once(ReplaceMessage, self._replace),
            "cancel_all": self._at_once(CancelAllMessage, self._cancel_all),
            "amend": self._in_turn(AmendMessage, self._amend),
            "batch": self._in_turn(BatchMessage, self._batch),
            "order_list": self._in_turn(OrderListMessage, self._order_list),
            "test": self._in_turn(PlaceMessage, self._test),
            "order": self._in_turn(OrderMessage, self._order),
            "cancel_after": self._in_turn(TimerMessage, self._cancel_after),
            "timer": self._in_turn(TimerMessage, self._timer),
            "cancel_on_disconnect": self._in_turn(DisconnectMessage, self._cancel_on_disconnect),
        }

    def _in_turn(self, shape: type[Shape], begin: Begin[Shape]) -> Handler:
        """Handle an operation that may have to wait before it has begun: it has a task, and those behind it wait."""
        decoder = msgspec.json.Decoder(shape)

        def handle(connection: Connection, message: bytes) -> Awaitable[dict[str, Any]]:
            asking = self._asking(connection)
            request = decode(message, decoder)
            return self._answer(asking, lambda: begin(asking, request))

        return handle

    def _at_once(
        self, shape: type[Shape], make: Make[Shape], run: Callable[[Connection, Sequence[bytes]], int] | None = None
    ) -> AtOnce[Shape]:
        """Handle an operation of one command, which needs no task: the path that orders take one after another."""

        def carry_out(connection: Connection, request: Shape) -> Awaitable[dict[str, Any]] | None:
            asking = self._asking(connection)

            async def begin() -> Begun:
                return await self._entry.begin(asking.principal, make(asking, request))

            if asking.placed.waiting:
                return self._answer(asking, begin)
            try:
                return self._begin(connection, request, asking, make(asking, request))
            except Refused as refused:
                raise _with_budget(refused.refusal, asking.told) from None

        return AtOnce(shape, carry_out, run)

    def _begin(
        self, connection: Connection, request: Message, asking: Asking, step: Step
    ) -> Awaitable[dict[str, Any]] | None:
        """Carry out a step at once, if nothing before it waits and it need not: it is answered when it is durable.

        Else return its answer, to be awaited. Raises Refused.
        """
        placing = None
        if not asking.placed.waiting:
            submit = self._exchange.corridor.begin_now
            placing = submit(step.command, asking.principal.account, step.client_order_id)
        if placing is None:
            return self._answer(asking, lambda: self._entry.begin(asking.principal, step))
        asking.placed.underway.add(placing)
        connection.answering += 1
        placing.then(partial(self._finish, connection, request, asking, step))
        return None

    def _asking(self, connection: Connection) -> Asking:
        return Asking(connection.principal(None), self._disconnects.placed(connection))

    def _finish(self, connection: Connection, head: Message, asking: Asking, step: Step, placing: Submitted) -> None:
        """Answer a command that is durable, or of which it will not be known."""
        connection.answering -= 1
        try:
            entry, was_there = placing.taken()
            asking.placed.done(placing, entry)
            answer = step.finish(entry, was_there)
        except Exception as error:
            if isinstance(error, Refused):
                asking.placed.failed(placing, error)
            connection.answer_error(head, _told_of(error, asking.told))
            return
        if not isinstance(answer, tuple):
            connection.finish_later(head, self._tell(asking, answer))
            return
        connection.acknowledge(head, _acknowledgement(answer, asking.told))

    def _answer(self, asking: Asking, begin: Callable[[], Awaitable[Begun]]) -> Awaitable[dict[str, Any]]:
        """Begin what a message asks for when all before it are begun, and answer it when it is done."""
        asking.placed.waiting += 1  # from now on, not only when its task has begun
        return self._answer_in_turn(asking, begin)

    async def _answer_in_turn(self, asking: Asking, begin: Callable[[], Awaitable[Begun]]) -> dict[str, Any]:
        placed = asking.placed
        try:
            async with placed.turn:
                begun = await begin()
                for placing in begun.placings:
                    placed.underway.add(placing)
        except Refused as refused:
            raise _with_budget(refused.refusal, asking.told) from None
        finally:
            placed.waiting -= 1
        try:
            return await self._tell(asking, begun.answer)
        finally:
            for placing in begun.placings:
                await placed.settle(placing)

    async def _tell(self, asking: Asking, answer: Awaitable[JsonAnswer]) -> dict[str, Any]:
        try:
            return _acknowledgement(await answer, asking.told)
        except Refused as refused:
            raise _with_budget(refused.refusal, asking.told) from None

    # Orders that follow each other: most of all messages. What a run of them has in common is looked at once.

    def _place_run(self, connection: Connection, messages: Sequence[bytes]) -> int:
        """Place the orders at the beginning of some messages; return how many messages that were."""
        principal, placed = connection.signed_in, self._disconnects.placed(connection)
        if principal is None or placed.waiting or not self._exchange.access.lets(principal, "trade"):
            return 0
        requests = self._read_run(messages[: connection.room])
        plain = self._entry.plain_orders(principal, requests, PlaceMessage)
        take, subject = self._exchange.access.limits.take, principal.subject
        run: list[_Order] = []
        for request, order in zip(requests, plain, strict=True):
            left = take(subject, "requests", 1)
            if order is not None and not left.wait_s:
                run.append(_Order(request.id, left, order))
                continue
            self._place_together(connection, principal, placed, run)
            run = []
            asking = Asking(principal, placed, {"rate_limit": left})
            self._place_one(connection, asking, request, partial(self._step_of, asking, request))
            if not connection.is_open:
                break
        self._place_together(connection, principal, placed, run)
        return len(requests)

    def _read_run(self, messages: Sequence[bytes]) -> list[PlaceMessage]:
        """The orders at the beginning of some messages."""
        decode_place = self._places.decoder.decode
        requests: list[PlaceMessage] = []
        for message in messages:
            if not message.startswith(_PLACE) or len(message) > MESSAGE_BYTES_MAX:
                break
            try:
                request = decode_place(message)
            except UNREADABLE:
                break
            if request.op != "place":  # it is said twice, and the last one counts
                break
            requests.append(request)
        return requests

    def _place_together(
        self, connection: Connection, principal: Principal, placed: Placed, run: Sequence["_Order"]
    ) -> None:
        """Place plain orders that follow each other: in one go, if none of them has to be looked for in the tables."""
        answers = None
        try:
            if run and not placed.waiting:
                orders = [order.plain for order in run]
                answers = self._exchange.corridor.begin_all_now(principal.account, orders)
        except Refused:
            pass  # not one was taken: each is told
        if answers is None:
            for order in run:
                asking = Asking(principal, placed, {"rate_limit": order.left})
                self._place_one(connection, asking, order, partial(Step, *order.plain, self._entry.finish_placing))
            return
        if (take_answers := placed.take_answers) is None:
            take_answers = placed.take_answers = partial(self._answer_run, connection, placed)
        placed.underway.update(answers)
        connection.answering += len(answers)
        for answer, order in zip(answers, run, strict=True):
            answer.hand_to(take_answers, order)

    def _step_of(self, asking: Asking, request: PlaceMessage) -> Step:
        left: Budget = asking.told["rate_limit"]
        if left.wait_s:
            raise throttled(left, "requests")
        return self._entry.place_step(asking.principal, request)

    def _place_one(self, connection: Connection, asking: Asking, head: Message, make: Callable[[], Step]) -> None:
        """Place an order of a run by itself, or refuse it."""
        try:
            outcome = self._begin(connection, head, asking, make())
        except Exception as error:
            connection.answer_error(head, _told_of(error, asking.told))
            return
        if outcome is not None:
            connection.finish_later(head, outcome)

    def _answer_run(self, connection: Connection, placed: Placed, answers: list[Answer[Entry]]) -> None:
        """Answer orders that are durable, or of which it will not be known."""
        connection.answering -= len(answers)
        placed.underway.difference_update(answers)
        # What was refused is no order, and is forgotten with those that have ended.
        placed.orders.update([answer.entry.sequence for answer in answers if answer.entry is not None])
        find, markets = self._exchange.live.order, self._exchange.catalogue.markets
        otherwise = partial(self._answer_of_run, connection, placed)
        connection.send_frames(show_acknowledgements(answers, markets, find, otherwise))

    def _answer_of_run(self, connection: Connection, placed: Placed, answer: Answer[Entry]) -> bytes:
        """The answer to an order of a run that was not placed, or whose Order has to be made in Python."""
        order: _Order = answer.context
        try:
            status, shown = self._entry.finish_placing(*answer.taken())
            return acknowledgement(_encode(order.id), b"place", status, _encode(shown), order.left.told())
        except Exception as error:
            if isinstance(error, Refused):
                placed.failed(answer, error)
            return connection.error_frame(order, _told_of(error, {"rate_limit": order.left}))

    # Orders

    def _place(self, asking: Asking, message: PlaceMessage) -> Step:
        self._exchange.access.let_in(asking.told, asking.principal, "trade")
        return self._entry.place_step(asking.principal, message)

    async def _test(self, asking: Asking, message: PlaceMessage) -> Begun:
        self._exchange.access.let_in(asking.told, asking.principal, "trade")
        return _done(self._foresight.test_order(asking.principal, message))

    def _cancel(self, asking: Asking, message: CancelMessage) -> Step:
        self._exchange.access.let_in(asking.told, asking.principal, "cancel", "cancels")
        return self._entry.cancel_step(asking.principal, message.order_id)

    async def _amend(self, asking: Asking, message: AmendMessage) -> Begun:
        self._exchange.access.let_in(asking.told, asking.principal, "trade")
        step = await self._changes.amend_step(asking.principal, message.order_id, message)
        return await self._entry.begin(asking.principal, step)

    def _replace(self, asking: Asking, message: ReplaceMessage) -> Step:
        self._exchange.access.let_in(asking.told, asking.principal, "trade")
        return self._changes.replace_step(asking.principal, message.order_id, message)

    def _cancel_all(self, asking: Asking, message: CancelAllMessage) -> Step:
        self._exchange.access.let_in(asking.told, asking.principal, "cancel", "cancels")
        given = {name: getattr(message, name) for name in SCOPE_FIELDS}
        scope = {name: value for name, value in given.items() if value is not UNSET}
        return self._changes.mass_cancel_step(asking.principal, scope)

    async def _batch(self, asking: Asking, message: BatchMessage) -> Begun:
        self._batches.let_in(asking.told, asking.principal, message.operations)
        return await self._batches.begin(asking.principal, message.operations)

    async def _order_list(self, asking: Asking, message: OrderListMessage) -> Begun:
        self._exchange.access.let_in(asking.told, asking.principal, "trade", weight=legs_of(message))
        return await self._batches.begin_list(asking.principal, message)

    async def _order(self, asking: Asking, message: OrderMessage) -> Begun:
        self._exchange.access.let_in(asking.told, asking.principal, "read")
        return Begun((), self._read(asking.principal.account, message))

    async def _read(self, account: int, message: OrderMessage) -> JsonAnswer:
        exchange, queries = self._exchange, self._entry.queries
        client_order_id = check_client_order_id(message.client_order_id)
        if (client_order_id is None) == (message.order_id is None):
            limit = "order_id or client_order_id"
            raise refuse(EdgeReason.FIELD_INVALID, f"name the order by {limit}", field="order_id", limit=limit)
        if client_order_id is None:
            return 200, await get_order(exchange, queries, account, str(check_order_id(message.order_id)))
        return 200, await get_order_by_client_id(exchange, queries, account, client_order_id)

    # What ends orders by itself

    async def _cancel_after(self, asking: Asking, message: TimerMessage) -> Begun:
        self._exchange.access.let_in(asking.told, asking.principal, "cancel", "cancels")
        _, state = await self._dead_man.set_timer(asking.principal, message.timeout_ms)
        return _done(state)

    async def _timer(self, asking: Asking, message: TimerMessage) -> Begun:
        self._exchange.access.let_in(asking.told, asking.principal, "read")
        if message.timeout_ms is not None:
            raise refuse(Reason.MALFORMED, "timer tells the timer; cancel_after sets it", field="timeout_ms")
        return _done(self._dead_man.state(asking.principal.account))

    async def _cancel_on_disconnect(self, asking: Asking, message: DisconnectMessage) -> Begun:
        self._exchange.access.let_in(asking.told, asking.principal, "cancel", "cancels")
        return _done(await self._disconnects.watch(asking.placed, asking.principal, message.on, message.scope))


def _done(result: dict[str, Any] | msgspec.Raw) -> Begun:
    """What needs no command, or has had its own."""
    answer: asyncio.Future[JsonAnswer] = asyncio.get_running_loop().create_future()
    answer.set_result((200, result))
    return Begun((), answer)


def _acknowledgement(answer: JsonAnswer, told: Told) -> dict[str, Any]:
    status, result = answer
    return {"status": status, "result": result} | _budget(told)


def _budget(told: Told) -> dict[str, Any]:
    """What is left of the budget that a message drew on: what the headers tell of a request."""
    left: Budget | None = told.get("rate_limit")
    return {} if left is None else {"rate_limit": left.document()}


def _told_of(error: Exception, told: Told) -> Exception:
    return _with_budget(error.refusal, told) if isinstance(error, Refused) else error


def _with_budget(refusal: Refusal, told: Told) -> Refused:
    """A refusal with what the headers would tell."""
    extra = dict(refusal.extra) | _budget(told)
    if refusal.retry_after_s is not None:
        extra["retry_after_s"] = refusal.retry_after_s
    return Refused(replace(refusal, extra=tuple(extra.items())))
