"""Changes of live orders: amend in place, cancel and replace, cancel by scope."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
from starlette.datastructures import QueryParams
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope

from engine.records import FLAG_ALLOW_FAILURE, FLAG_PRIORITY_KEPT, CommandKind, EventKind, OrderType, Reason
from exchange.contracts import commands
from exchange.contracts.events import Event, engine_detail, find_refusal, read_events
from exchange.contracts.order_state import OrderState
from exchange.contracts.orders import show_more
from exchange.contracts.refusals import EdgeReason, Refusal, Refused, refuse
from exchange.contracts.units import Market
from exchange.gateway.explain import explain, explain_order
from exchange.gateway.json_endpoint import Answer, Endpoint, decode, read_body, read_json_body
from exchange.gateway.order_entry import PLACE_PATHS, OrderEntry, Step, show_placed
from exchange.gateway.order_limits import check_command
from exchange.gateway.order_request import (
    OrderRequest,
    check_client_order_id,
    check_order_id,
    check_side,
    place_command,
)
from exchange.gateway.paging import PAGE_ROWS_MAX
from exchange.gateway.principal import Principal
from exchange.storage.journal import Entry

REPLACE_MODES = {"stop_on_failure": 0, "allow_failure": FLAG_ALLOW_FAILURE}
SCOPE_FIELDS = ("symbol", "side", "price_from", "price_to", "client_order_id_prefix")


class AmendRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of PATCH /api/v1/orders/{order_id}, not yet checked: what is to be another value."""

    price: object = None
    quantity: object = None
    trigger_price: object = None
    display_quantity: object = None


class ReplaceRequest(OrderRequest, forbid_unknown_fields=True):
    """The body of POST /api/v1/orders/{order_id}/replace: the new order, and what to do if the old one is gone."""

    mode: object = "stop_on_failure"


_amend_decoder = msgspec.json.Decoder(AmendRequest)
_replace_decoder = msgspec.json.Decoder(ReplaceRequest)


class OrderChanges:
    """Serves the routes that change live orders."""

    def __init__(self, entry: OrderEntry) -> None:
        self._entry = entry
        self._exchange = entry.exchange

    def routes(self) -> list[BaseRoute]:
        """The routes, to be put before FastAPI's own."""
        amend, replace_, mass_cancel = Endpoint(self._amend), Endpoint(self._replace), Endpoint(self._mass_cancel)
        return [
            *(Route(f"{path}/{{order_id:str}}", amend, methods=["PATCH"]) for path in PLACE_PATHS),
            *(Route(f"{path}/{{order_id:str}}/replace", replace_, methods=["POST"]) for path in PLACE_PATHS),
            *(Route(path, mass_cancel, methods=["DELETE"]) for path in PLACE_PATHS),
        ]

    # Amend

    async def _amend(self, scope: Scope, receive: Receive) -> Answer:
        body = await read_json_body(scope, receive)
        principal = self._exchange.access.admit(scope, body, "trade")
        order_id = scope["path_params"]["order_id"]
        request = decode(_amend_decoder, body, "amendment", AmendRequest.__struct_fields__)
        return await self._entry.carry_out(principal, await self.amend_step(principal, order_id, request))

    async def amend_step(self, principal: Principal, order_id: object, request: AmendRequest) -> Step:
        """Change a live order in place: 200 with the Order, its fills, and its place in the queue.

        Raises Refused, UNKNOWN_ORDER and ORDER_ENDED among them.
        """
        account, number = principal.account, check_order_id(order_id)
        order = self._exchange.live.order(number)
        if order is None or order.account != account or not order.is_live:
            unknown = Refusal(Reason.UNKNOWN_ORDER, engine_detail(Reason.UNKNOWN_ORDER))
            raise await self._entry.why_not(account, number, unknown)
        command = _amend_command(order, self._exchange.catalogue.markets[order.market], request)
        check_command(principal, command, self._exchange)

        async def finish(entry: Entry, was_there: bool) -> Answer:
            return 200, await self._amended(command, entry)

        return Step(command, None, finish)

    async def _amended(self, command: bytearray, entry: Entry) -> msgspec.Raw:
        asked = commands.read_order(command)
        refusal = find_refusal(entry.events)
        if refusal is not None:
            raise await self._why_not_amended(asked, refusal)
        amended = _event_of(entry, EventKind.AMENDED, asked.order_id)
        market = self._exchange.catalogue.markets[amended.market]
        queue = {
            "priority_kept": bool(amended.flags & FLAG_PRIORITY_KEPT),
            "ahead_orders": amended.ahead_orders,
            "ahead_quantity": market.quantity_text(amended.ahead_lots),
        }
        return show_more(await self._entry.latest(asked.account, asked.order_id), queue)

    async def _why_not_amended(self, asked: commands.Order, refusal: Refusal) -> Refused:
        order = self._exchange.live.order(asked.order_id)
        if refusal.reason == Reason.UNKNOWN_ORDER or order is None:
            return await self._entry.why_not(asked.account, asked.order_id, refusal)
        market = self._exchange.catalogue.markets[order.market]
        explained = _explain_amendment(refusal, asked, order, market)
        if explained is None:
            explained = explain_order(refusal, _as_amended(asked, order), market, self._exchange)
        return Refused(replace(explained, detail=explained.detail.replace("nothing was placed", "nothing was changed")))

    # Replace

    async def _replace(self, scope: Scope, receive: Receive) -> Answer:
        body = await read_json_body(scope, receive)
        principal = self._exchange.access.admit(scope, body, "trade")
        request = decode(_replace_decoder, body, "order", ReplaceRequest.__struct_fields__)
        step = self.replace_step(principal, scope["path_params"]["order_id"], request)
        return await self._entry.carry_out(principal, step)

    def replace_step(self, principal: Principal, order_id: object, request: ReplaceRequest) -> Step:
        """Cancel an order and place another at once: 201 with the new Order, its fills and the one it replaced."""
        number = check_order_id(order_id)
        mode = REPLACE_MODES.get(request.mode) if isinstance(request.mode, str) else None
        if mode is None:
            limit = " or ".join(REPLACE_MODES)
            raise refuse(EdgeReason.FIELD_INVALID, f"mode must be {limit}", field="mode", limit=limit)
        account, market = principal.account, self._exchange.catalogue.market(request.symbol)
        command, client_order_id = place_command(
            account, market, request, more_flags=mode, kind=CommandKind.CANCEL_REPLACE, order_id=number
        )
        check_command(principal, command, self._exchange)

        async def finish(entry: Entry, was_there: bool) -> Answer:
            return 200 if was_there else 201, await self._replaced(account, number, entry, market)

        return Step(command, client_order_id, finish)

    async def _replaced(self, account: int, order_id: int, entry: Entry, market: Market) -> msgspec.Raw:
        refusal = find_refusal(entry.events)
        if refusal is not None:
            raise await self._why_not_replaced(account, order_id, entry, refusal, market)
        failed = next((e for e in read_events(entry.events) if e.kind == EventKind.CANCEL_REJECTED), None)
        replaced = {
            "replaced": None if failed else await self._entry.latest(account, order_id),
            "cancel_refused": Reason(failed.reason).name if failed else None,
        }
        return show_more(show_placed(entry, market), replaced)

    async def _why_not_replaced(
        self, account: int, order_id: int, entry: Entry, refusal: Refusal, market: Market
    ) -> Refused:
        if refusal.reason == Reason.UNKNOWN_ORDER:
            return await self._entry.why_not(account, order_id, refusal)
        explained = explain(refusal, entry, market, self._exchange)
        cancelled = any(
            event.kind == EventKind.CANCELLED and event.order_id == order_id and event.reason == Reason.REPLACED
            for event in read_events(entry.events)
        )
        if cancelled:
            extra = (*explained.extra, ("cancelled_order_ids", [str(order_id)]))
            explained = replace(explained, extra=extra, detail=f"{explained.detail}; order {order_id} was cancelled")
        return Refused(explained)

    # Cancel by scope

    async def _mass_cancel(self, scope: Scope, receive: Receive) -> Answer:
        principal = self._exchange.access.admit(scope, await read_body(receive), "cancel", "cancels")
        step = self.mass_cancel_step(principal, _scope_of(QueryParams(scope["query_string"])))
        return await self._entry.carry_out(principal, step)

    def mass_cancel_step(self, principal: Principal, scope: Mapping[str, object]) -> Step:
        """Cancel what is in a scope, of SCOPE_FIELDS: 200 with how many they were. Raises Refused."""
        catalogue = self._exchange.catalogue
        market = catalogue.market(scope["symbol"]) if "symbol" in scope else None
        low_ticks, high_ticks = _price_range(scope, market)
        prefix = None
        if "client_order_id_prefix" in scope:
            prefix = check_client_order_id(scope["client_order_id_prefix"] or "", "client_order_id_prefix")
        command = commands.mass_cancel(
            principal.account,
            market.number if market else 0,
            check_side(scope["side"]) if "side" in scope else 0,
            low_ticks,
            high_ticks,
            prefix.encode("ascii") if prefix else b"",
        )
        check_command(principal, command, self._exchange)

        def finish(entry: Entry, was_there: bool) -> Answer:
            refusal = find_refusal(entry.events)
            if refusal is not None:
                raise Refused(refusal)
            return 200, render_mass_cancelled(entry)

        return Step(command, None, finish)


def _scope_of(query: QueryParams) -> dict[str, object]:
    """Return the scope that a query names. What is not understood is refused: it may have been meant as a limit."""
    for name, value in query.multi_items():
        if name not in SCOPE_FIELDS or len(query.getlist(name)) > 1 or not value:
            limit = ", ".join(SCOPE_FIELDS)
            detail = f"{name[:40]!r} must be one of {limit}, once and with a value; nothing was cancelled"
            raise refuse(EdgeReason.FIELD_INVALID, detail, field=name[:40], limit=limit)
    return dict(query.items())


def render_mass_cancelled(entry: Entry) -> dict[str, Any]:
    """How many orders a MASS_CANCEL ended, and the ids of the first PAGE_ROWS_MAX."""
    ended = [
        str(event.order_id)
        for event in read_events(entry.events)
        if event.kind == EventKind.CANCELLED and event.reason == Reason.MASS_CANCEL
    ]
    return {"cancelled": len(ended), "order_ids": ended[:PAGE_ROWS_MAX], "sequence": entry.sequence}


def _price_range(scope: Mapping[str, object], market: Market | None) -> tuple[int, int]:
    if "price_from" not in scope and "price_to" not in scope:
        return 0, 0
    if market is None:
        field = "price_from" if "price_from" in scope else "price_to"
        detail = f"{field} needs a symbol: a price means something in one market only"
        raise refuse(Reason.SCOPE_INVALID, detail, field=field, limit="with symbol")
    low_ticks = market.price_ticks(scope["price_from"], "price_from") if "price_from" in scope else 1
    high_ticks = market.price_ticks(scope["price_to"], "price_to") if "price_to" in scope else market.price_ticks_max
    if low_ticks > high_ticks:
        limit = market.price_text(high_ticks)
        detail = f"price_from must be at most price_to, {limit}"
        raise refuse(Reason.SCOPE_INVALID, detail, field="price_from", limit=limit, nearest=limit)
    return low_ticks, high_ticks


def _amend_command(order: OrderState, market: Market, request: AmendRequest) -> bytearray:
    if all(getattr(request, name) is None for name in AmendRequest.__struct_fields__):
        limit = ", ".join(AmendRequest.__struct_fields__)
        raise refuse(EdgeReason.FIELD_INVALID, f"name what to change: {limit}", field="body", limit=limit)
    price_ticks = 0 if request.price is None else market.price_ticks(request.price)
    quantity_lots = 0 if request.quantity is None else market.quantity_lots(request.quantity)
    trigger_ticks = 0
    if request.trigger_price is not None:
        trigger_ticks = market.price_ticks(request.trigger_price, "trigger_price", Reason.TRIGGER_PRICE_INVALID)
    display_lots = 0
    if request.display_quantity is not None:
        bounds = (market.quantity_lots_min, max((quantity_lots or order.quantity_lots) - 1, market.quantity_lots_min))
        reason = Reason.DISPLAY_QUANTITY_INVALID
        display_lots = market.quantity_lots(request.display_quantity, "display_quantity", reason, bounds)
    if (price_ticks or quantity_lots) and (price_ticks or order.price_ticks):
        market.check_notional(price_ticks or order.price_ticks, quantity_lots or order.quantity_lots)
    return commands.amend(
        order.account,
        order.order_id,
        price_ticks=price_ticks,
        quantity_lots=quantity_lots,
        trigger_price_ticks=trigger_ticks,
        display_lots=display_lots,
    )


def _as_amended(asked: commands.Order, order: OrderState) -> commands.Order:
    """The order as a command that would place it so: what explanations are made for."""
    return asked._replace(
        market=order.market,
        side=order.side,
        order_type=order.order_type,
        price_ticks=asked.price_ticks or order.price_ticks,
        quantity_lots=asked.quantity_lots or order.quantity_lots,
    )


def _explain_amendment(refusal: Refusal, asked: commands.Order, order: OrderState, market: Market) -> Refusal | None:
    """Return the refusal with field, limit and nearest; None where a new order would be explained the same way."""
    if refusal.reason == Reason.QUANTITY_BELOW_FILLED:
        least = max(order.filled_lots + 1, market.quantity_lots_min)
        filled = market.quantity_text(order.filled_lots)
        return replace(refusal, field="quantity", limit=f"more than {filled}", nearest=market.quantity_text(least))
    if refusal.reason == Reason.LINK_INVALID:
        detail = "both legs of a pair have one quantity: cancel them and place new ones"
        return replace(refusal, field="quantity", limit=market.quantity_text(order.quantity_lots), detail=detail)
    if refusal.reason == Reason.PRICE_OUT_OF_RANGE and order.order_type == OrderType.TRAILING_STOP:
        return replace(refusal, field="price", limit="none", detail="a TrailingStop takes no price")
    if refusal.reason == Reason.TRIGGER_PRICE_INVALID:
        detail = "only an order that still waits for its trigger, or its parent, has a trigger_price to change"
        return replace(refusal, field="trigger_price", limit="orders that wait for it", detail=detail)
    if refusal.reason == Reason.DISPLAY_QUANTITY_INVALID:
        detail = "only a Limit order shows less than its quantity"
        return replace(refusal, field="display_quantity", limit="Limit orders", detail=detail)
    if refusal.reason == Reason.INSUFFICIENT_FUNDS:
        field = "quantity" if asked.quantity_lots else "price"
        detail = "the available balance does not cover what the order would need more; nothing was changed"
        return replace(refusal, field=field, detail=detail)
    return None


def _event_of(entry: Entry, kind: EventKind, order_id: int) -> Event:
    return next(event for event in read_events(entry.events) if event.kind == kind and event.order_id == order_id)
