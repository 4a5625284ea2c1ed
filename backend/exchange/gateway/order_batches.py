"""Several operations in one request: a batch of them, each with an outcome, and orders that hang on each other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope

from engine.orders.answers import show_outcomes
from engine.orders.batches import Answer as Known
from engine.records import Contingency, OrderType, Reason, Side
from exchange.contracts import commands
from exchange.contracts.events import find_refusal
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.contracts.units import Market
from exchange.gateway.context import Placing
from exchange.gateway.explain import explain
from exchange.gateway.json_endpoint import (
    Answer,
    Endpoint,
    check_media_type,
    check_size,
    decode,
    encode,
    read_body,
    read_json_body,
)
from exchange.gateway.order_changes import AmendRequest, OrderChanges
from exchange.gateway.order_entry import Begun, OrderEntry, PlainOrder, ShortWay, Step, show_all
from exchange.gateway.order_limits import check_command
from exchange.gateway.order_request import LASTING, OrderRequest, check_side, place_command
from exchange.gateway.principal import Principal
from exchange.storage.journal import Entry

BATCH_PATH, LIST_PATH = "/api/v1/orders/batch", "/api/v1/order-lists"
OPERATIONS_MAX = 50
LIST_KINDS = "oco or bracket"


class PlaceOperation(OrderRequest, tag_field="op", tag="place", forbid_unknown_fields=True):
    """Place an order."""


class CancelOperation(msgspec.Struct, tag_field="op", tag="cancel", forbid_unknown_fields=True):
    """Cancel an order."""

    order_id: object = None


class AmendOperation(AmendRequest, tag_field="op", tag="amend", forbid_unknown_fields=True):
    """Amend an order."""

    order_id: object = None


Operation = PlaceOperation | CancelOperation | AmendOperation


class BatchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /api/v1/orders/batch."""

    operations: list[Operation]


class OrderListRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /api/v1/order-lists: ``orders`` of an oco; ``entry`` and one or both exits of a bracket."""

    kind: object = None
    orders: list[OrderRequest] | None = None
    entry: OrderRequest | None = None
    take_profit: OrderRequest | None = None
    stop_loss: OrderRequest | None = None


_batch_decoder = msgspec.json.Decoder(BatchRequest)
_list_decoder = msgspec.json.Decoder(OrderListRequest)


@dataclass(frozen=True, slots=True)
class _Leg:
    """An order of a list: its name in the request, and its command."""

    name: str
    command: bytearray
    client_order_id: str | None


class OrderBatches:
    """Serves batches and order lists."""

    def __init__(self, entry: OrderEntry, changes: OrderChanges) -> None:
        self._entry = entry
        self._changes = changes
        self._exchange = entry.exchange

    def routes(self) -> list[BaseRoute]:
        """The routes, to be put before FastAPI's own."""
        return [
            Route(BATCH_PATH, Endpoint(self._batch), methods=["POST"]),
            Route(LIST_PATH, Endpoint(self._list), methods=["POST"]),
        ]

    # Batches

    def short_ways(self) -> dict[str, ShortWay]:
        """What goes past ASGI."""
        return {BATCH_PATH: self.carry_out}

    async def _batch(self, scope: Scope, receive: Receive) -> Answer:
        return await self.carry_out(scope, await read_body(receive))

    async def carry_out(self, scope: Scope, body: bytes) -> Answer:
        """POST: answer 200 with an outcome each. Raises Refused where nothing was done."""
        check_media_type(scope)
        check_size(body)
        request = decode(_batch_decoder, body, "batch", BatchRequest.__struct_fields__)
        principal = self._exchange.access.identify(scope, body)
        self.let_in(scope, principal, request.operations)
        return await (await self.begin(principal, request.operations)).answer

    def let_in(self, scope: Scope, principal: Principal, operations: list[Operation]) -> None:
        """Each operation weighs what it would alone: cancels on their own budget, so that they are never starved.

        Not even an empty batch is free. Raises Refused.
        """
        access = self._exchange.access
        cancels = len([True for operation in operations if type(operation) is CancelOperation])
        orders = len(operations) - cancels
        if orders:
            access.let_in(scope, principal, "trade", weight=orders)
        if cancels or not orders:
            access.let_in(scope, principal, "cancel", "cancels", max(cancels, 1))

    async def begin(self, principal: Principal, operations: list[Operation]) -> Begun:
        """Submit operations, to be durable in one commit. One's refusal stops no other.

        Raises Refused where nothing was done.
        """
        if not 1 <= len(operations) <= OPERATIONS_MAX:
            limit = f"1 to {OPERATIONS_MAX}"
            detail = f"a batch has {limit} operations, this one {len(operations)}; nothing was done"
            raise refuse(EdgeReason.FIELD_INVALID, detail, field="operations", limit=limit)
        plain = self._entry.plain_orders(principal, operations, PlaceOperation)
        steps = [
            order or await self._step(principal, operation) for order, operation in zip(plain, operations, strict=True)
        ]
        asked = [
            step if isinstance(step, tuple) else (step.command, step.client_order_id)
            for step in steps
            if not isinstance(step, Refused)
        ]
        placings = await self._exchange.corridor.begin_all(principal.account, asked) if asked else []
        return Begun(placings, self._outcomes(steps, placings))

    async def _step(self, principal: Principal, operation: Operation) -> Step | Refused:
        try:
            if isinstance(operation, PlaceOperation):
                return self._entry.place_step(principal, operation)
            if isinstance(operation, CancelOperation):
                return self._entry.cancel_step(principal, operation.order_id)
            return await self._changes.amend_step(principal, operation.order_id, operation)
        except Refused as refused:
            return refused

    async def _outcomes(self, steps: list[PlainOrder | Step | Refused], placings: Sequence[Placing]) -> Answer:
        """What became of each operation: the status and the order or problem that a request of its own would get.

        Those of plain orders that are durable already are made together: all of a commit are with its first.
        """
        begun = iter(placings)
        outcomes: list[bytes | Known[Entry]] = []
        for step in steps:
            placing = None if type(step) is Refused else next(begun)
            if type(step) is tuple and isinstance(placing, Known) and placing.entry is not None:
                outcomes.append(placing)
            else:
                outcomes.append(await self._outcome(step, placing))
        find, markets = self._exchange.live.order, self._exchange.catalogue.markets
        return 200, msgspec.Raw(show_outcomes(outcomes, markets, find, self._outcome_of_known))

    async def _outcome(self, step: PlainOrder | Step | Refused, placing: Placing | None) -> bytes:
        try:
            if isinstance(step, Refused):
                raise step
            assert placing is not None, "what is not refused was begun"
            finish = self._entry.finish_placing if isinstance(step, tuple) else step.finish
            answer = finish(*await placing.result())
            return _outcome(answer if isinstance(answer, tuple) else await answer)
        except Refused as refused:
            return _problem(refused)

    def _outcome_of_known(self, known: Known[Entry]) -> bytes:
        """The outcome of a plain order that was not placed, or whose Order has to be made in Python."""
        try:
            return _outcome(self._entry.finish_placing(*known.taken()))
        except Refused as refused:
            return _problem(refused)

    # Order lists

    async def _list(self, scope: Scope, receive: Receive) -> Answer:
        body = await read_json_body(scope, receive)
        request = decode(_list_decoder, body, "list", OrderListRequest.__struct_fields__)
        principal = self._exchange.access.admit(scope, body, "trade", weight=legs_of(request))
        return await (await self.begin_list(principal, request)).answer

    async def begin_list(self, principal: Principal, request: OrderListRequest) -> Begun:
        """Submit orders that hang on each other: all, or none that stays. Raises Refused where nothing was done."""
        account = principal.account
        kind = request.kind.lower() if isinstance(request.kind, str) else None
        if kind == "oco":
            market, legs = self._oco(account, request)
        elif kind == "bracket":
            market, legs = self._bracket(account, request)
        else:
            raise refuse(EdgeReason.FIELD_INVALID, f"kind must be {LIST_KINDS}", field="kind", limit=LIST_KINDS)
        for leg in legs:
            check_command(principal, leg.command, self._exchange)
        pairs = [(leg.command, leg.client_order_id) for leg in legs]
        placings = await self._exchange.corridor.begin_all(account, pairs, linked=True)
        return Begun(placings, self._placed_list(account, kind, market, legs, placings))

    async def _placed_list(
        self, account: int, kind: str, market: Market, legs: list[_Leg], placings: Sequence[Placing]
    ) -> Answer:
        results = [await _result_of(placing) for placing in placings]
        entries: list[Entry] = []
        was_there = True
        for leg, result in zip(legs, results, strict=True):
            entry, known = (None, False) if isinstance(result, Refused) else result
            refusal = result if isinstance(result, Refused) else self._refusal_of(result[0], market)
            if refusal is not None:
                raise await self._taken_back(account, leg, refusal, results)
            assert entry is not None
            entries.append(entry)
            was_there &= known
        shown = dict(zip((leg.name for leg in legs), show_all(entries, market), strict=True))
        ordered = [shown[name] for name in sorted(shown, key=_NAMES.index)]
        return 200 if was_there else 201, {"kind": kind, "orders": ordered}

    def _refusal_of(self, entry: Entry, market: Market) -> Refused | None:
        refusal = find_refusal(entry.events)
        return None if refusal is None else Refused(explain(refusal, entry, market, self._exchange))

    async def _taken_back(
        self, account: int, leg: _Leg, refused: Refused, results: "list[tuple[Entry, bool] | Refused]"
    ) -> Refused:
        """Cancel the orders of a list that were taken before one was refused, and return that one's refusal."""
        taken = [result[0] for result in results if not isinstance(result, Refused)]
        cancelled = []
        for entry in taken:
            if find_refusal(entry.events) is None:
                await self._exchange.corridor.submit(commands.cancel(account, entry.sequence))
                cancelled.append(str(entry.sequence))
        extra = (*refused.refusal.extra, ("refused_order", leg.name), ("cancelled_order_ids", cancelled))
        return Refused(replace(refused.refusal, extra=extra))

    def _oco(self, account: int, request: OrderListRequest) -> tuple[Market, list[_Leg]]:
        """The conditional leg first: it cannot trade before the other is there."""
        orders = request.orders or []
        if len(orders) != 2 or request.entry or request.take_profit or request.stop_loss:
            limit = "orders: exactly two"
            raise refuse(EdgeReason.FIELD_INVALID, f"an oco has {limit}", field="orders", limit=limit)
        market = self._exchange.catalogue.market(orders[0].symbol)
        legs = [self._leg(account, market, name, order) for name, order in zip(_NAMES, orders, strict=False)]
        legs.sort(key=lambda leg: commands.read_order(leg.command).order_type == OrderType.LIMIT)
        _check_pair(legs, market)
        _hang(legs[1], Contingency.ONE_CANCELS_OTHER)
        return market, legs

    def _bracket(self, account: int, request: OrderListRequest) -> tuple[Market, list[_Leg]]:
        """The exits first, asleep; then the entry, whose end wakes them for what it filled."""
        entry = request.entry
        given = {"take_profit": request.take_profit, "stop_loss": request.stop_loss}
        exits = {name: order for name, order in given.items() if order is not None}
        if entry is None or not exits or request.orders is not None:
            limit = "entry, and take_profit or stop_loss or both"
            raise refuse(EdgeReason.FIELD_INVALID, f"a bracket has {limit}", field="entry", limit=limit)
        market = self._exchange.catalogue.market(entry.symbol)
        other_side = "Sell" if check_side(entry.side) == Side.BUY else "Buy"
        for order in exits.values():
            order.symbol = entry.symbol if order.symbol is None else order.symbol
            order.side = other_side if order.side is None else order.side
            order.quantity = entry.quantity if order.quantity is None else order.quantity
        legs = [self._leg(account, market, name, order) for name, order in exits.items()]
        legs.sort(key=lambda leg: commands.read_order(leg.command).order_type == OrderType.LIMIT)
        _check_pair(legs, market)
        _hang(legs[0], Contingency.WAITS_FOR_PARENT)
        for leg in legs[1:]:
            _hang(leg, Contingency.ONE_CANCELS_OTHER)
        parent = self._leg(account, market, "entry", entry)
        _hang(parent, Contingency.ONE_TRIGGERS_OTHER)
        return market, [*legs, parent]

    def _leg(self, account: int, market: Market, name: str, order: OrderRequest) -> _Leg:
        if self._exchange.catalogue.market(order.symbol) is not market:
            limit = market.symbol
            detail = f"the orders of a list are in one market: {name} must be in {limit}"
            raise refuse(Reason.LINK_INVALID, detail, field=f"{name}.symbol", limit=limit, nearest=limit)
        try:
            return _Leg(name, *place_command(account, market, order))
        except Refused as refused:
            refusal = refused.refusal
            field = f"{name}.{refusal.field}" if refusal.field else None
            raise Refused(replace(refusal, field=field)) from None


def _outcome(answer: Answer) -> bytes:
    status, order = answer
    return b'{"status":%d,"order":%b,"problem":null}' % (status, encode(order))


def _problem(refused: Refused) -> bytes:
    refusal = refused.refusal
    return encode({"status": refusal.status, "order": None, "problem": refusal.problem()})


def legs_of(request: OrderListRequest) -> int:
    """How many orders a list names, and so weighs."""
    given = (request.entry, request.take_profit, request.stop_loss)
    return max(len(request.orders or ()) + sum(order is not None for order in given), 1)


_NAMES = ("orders[0]", "orders[1]", "entry", "take_profit", "stop_loss")


def _hang(leg: _Leg, contingency: Contingency) -> None:
    leg.command[commands.CONTINGENCY] = contingency
    order = commands.read_order(leg.command)
    if contingency == Contingency.ONE_TRIGGERS_OTHER:
        return
    if order.time_in_force not in LASTING:
        detail = f"{leg.name} must last, for it may have to wait: its time_in_force must be GTC, GTD or DAY"
        raise refuse(
            Reason.LINK_INVALID, detail, field=f"{leg.name}.time_in_force", limit="GTC, GTD or DAY", nearest="GTC"
        )
    if contingency == Contingency.WAITS_FOR_PARENT and order.min_quantity_lots:
        detail = f"{leg.name} waits: it trades nothing at once that could have a min_quantity"
        raise refuse(Reason.MIN_QUANTITY_INVALID, detail, field=f"{leg.name}.min_quantity", limit="none")


def _check_pair(legs: list[_Leg], market: Market) -> None:
    """Two legs of which one cancels the other are of one side and quantity, and not both at a limit."""
    if len(legs) < 2:
        return
    first, second = (commands.read_order(leg.command) for leg in legs)
    name = legs[1].name
    if first.side != second.side:
        raise refuse(Reason.LINK_INVALID, "both legs must be of one side", field=f"{name}.side", limit="one side")
    if first.quantity_lots != second.quantity_lots:
        text = market.quantity_text(first.quantity_lots)
        detail = "both legs must be of one quantity"
        raise refuse(Reason.LINK_INVALID, detail, field=f"{name}.quantity", limit=text, nearest=text)
    if first.order_type == second.order_type == OrderType.LIMIT:
        limit = "one Limit, one with a trigger"
        detail = "two Limit orders on one side need no link: one of the legs must wait for a trigger"
        raise refuse(Reason.LINK_INVALID, detail, field=f"{name}.order_type", limit=limit, nearest="StopLimit")


async def _result_of(placing: Placing) -> tuple[Entry, bool] | Refused:
    try:
        return await placing.result()
    except Refused as refused:
        return refused
