"""The OpenAPI document: FastAPI's routes, and the operations that the order entry serves beside FastAPI."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from engine.records import Reason
from exchange import __version__
from exchange.contracts.refusals import AnyReason, EdgeReason
from exchange.gateway import (
    accounts,
    admin,
    admin_adjustments,
    admin_users,
    auth,
    commission,
    health,
    history,
    key_routes,
    markets,
    order_schemas,
    orders,
    past,
    second_factor,
    statements,
    transfer_routes,
)
from exchange.gateway.auth import ADMISSION, BODY_REFUSALS
from exchange.gateway.dependencies import asked_of
from exchange.gateway.problems import PROBLEM_JSON, problem_examples, problems
from exchange.gateway.shapes import Problem

DESCRIPTION = """Prices, quantities and amounts are decimal strings. Symbols are `BTC/USD` (in a path: `BTC-USD`).
Errors are `application/problem+json`: they name the reason, the field, its limit and the nearest valid value. An order
whose answer was lost is found by its `client_order_id`: send the same order again, or ask for it."""

_REF = "#/components/schemas/{model}"
_BEARER: dict[str, list[str]] = {"bearer": []}
_SIGNED: dict[str, list[str]] = {"key": [], "timestamp": [], "signature": []}
#: How a request is signed with an API key: three headers that go together (docs/access.md).
_KEY_SCHEMES = {
    name: {"type": "apiKey", "in": "header", "name": f"X-Exchange-{name.title()}", "description": description}
    for name, description in {
        "key": "The id of an API key",
        "timestamp": "Unix time in milliseconds",
        "signature": "HMAC-SHA256 or Ed25519 over timestamp, method, path with query and the SHA-256 of the body, "
        "on four lines; hexadecimal",
    }.items()
}
_ORDER_ID = {
    "name": "order_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9]{1,19}$"},
    "description": "An order's id",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that is served beside FastAPI, by a plain ASGI route: what FastAPI would find out by itself."""

    method: str
    path: str
    operation_id: str
    description: str
    answers: dict[int, str]  # the success statuses
    reasons: tuple[AnyReason, ...]
    answer: type[BaseModel] = order_schemas.OrderWithFills
    body: type[BaseModel] | None = None
    query: tuple[tuple[str, str], ...] = ()  # names and descriptions


_ENTRY_REFUSALS = (
    EdgeReason.MARKET_FORBIDDEN,
    EdgeReason.UNAVAILABLE,
    EdgeReason.OVERLOADED,
    EdgeReason.OUTCOME_UNKNOWN,
)
_TERMS_REFUSALS = (
    EdgeReason.FIELD_INVALID,
    Reason.UNKNOWN_SYMBOL,
    Reason.SIDE_INVALID,
    Reason.ORDER_TYPE_INVALID,
    Reason.TIME_IN_FORCE_INVALID,
    Reason.FLAGS_INVALID,
    Reason.SELF_TRADE_INVALID,
    Reason.CLIENT_ORDER_ID_INVALID,
    Reason.AMOUNT_OUT_OF_RANGE,
    Reason.MIN_QUANTITY_INVALID,
    Reason.EXPIRE_TIME_INVALID,
    Reason.TRAIL_INVALID,
)
_NUMBER_REFUSALS = (
    EdgeReason.FIELD_INVALID,
    EdgeReason.NOTIONAL_CAPPED,
    Reason.PRICE_OFF_TICK,
    Reason.PRICE_OUT_OF_RANGE,
    Reason.QUANTITY_OFF_LOT,
    Reason.QUANTITY_OUT_OF_RANGE,
    Reason.TRIGGER_PRICE_INVALID,
    Reason.DISPLAY_QUANTITY_INVALID,
    Reason.NOTIONAL_TOO_SMALL,
    Reason.NOTIONAL_TOO_LARGE,
)
_MARKET_REFUSALS = (
    Reason.INSUFFICIENT_FUNDS,
    Reason.POSITION_LIMIT,
    Reason.POST_ONLY_WOULD_CROSS,
    Reason.TRIGGER_ALREADY_MET,
    Reason.PRICE_BAND,
    Reason.MARKET_CANCEL_ONLY,
    Reason.MARKET_HALTED,
)
_TEST_REFUSALS = (
    *_TERMS_REFUSALS,
    *_NUMBER_REFUSALS,
    *_MARKET_REFUSALS,
    Reason.OPEN_ORDERS_LIMIT,
    Reason.FOK_NOT_FILLABLE,
    Reason.MIN_QUANTITY_NOT_FILLABLE,
    Reason.NO_LIQUIDITY,
    Reason.MARKET_POST_ONLY,
    Reason.MARKET_IN_AUCTION,
)
_PLACE_REFUSALS = (*_TEST_REFUSALS, Reason.CLIENT_ORDER_ID_REUSED, Reason.TRAILING_ORDERS_FULL)
_OF_AN_ORDER = (EdgeReason.FIELD_INVALID, Reason.UNKNOWN_ORDER, Reason.ORDER_ENDED, Reason.MARKET_HALTED)
_PLACED = {201: "Accepted", 200: "Sent before under the same client order id: its first result"}


def _cancel(method: str, path: str, operation_id: str) -> Operation:
    return Operation(
        method=method,
        path=path,
        operation_id=operation_id,
        description="Cancel a live order and return its final state with its fills.",
        answers={200: "The order in its final state"},
        reasons=(*_ENTRY_REFUSALS, *_OF_AN_ORDER),
    )


ORDER_ENTRY: tuple[Operation, ...] = (
    Operation(
        method="post",
        path="/api/v1/orders",
        operation_id="place_order",
        description="Place an order; the answer comes when it is durable, with the fills that it got at once.",
        answers=_PLACED,
        reasons=(*BODY_REFUSALS, *_ENTRY_REFUSALS, *_PLACE_REFUSALS),
        body=order_schemas.PlaceOrder,
    ),
    Operation(
        method="post",
        path="/api/v1/orders/test",
        operation_id="test_order",
        description="Check an order as placing it would, without placing it. What is hidden in the book, your own "
        "orders there, and whether a client order id was used, this does not know.",
        answers={200: "It would be accepted now"},
        reasons=(*BODY_REFUSALS, *_ENTRY_REFUSALS[:2], *_TEST_REFUSALS),
        answer=order_schemas.TestedOrder,
        body=order_schemas.PlaceOrder,
    ),
    Operation(
        method="post",
        path="/api/v1/orders/batch",
        operation_id="batch_orders",
        description="Carry out up to 50 operations in order. They become durable together; each has its own outcome, "
        "and one's refusal stops no other.",
        answers={200: "What became of each operation"},
        reasons=(*BODY_REFUSALS, *_ENTRY_REFUSALS, EdgeReason.FIELD_INVALID),
        answer=order_schemas.BatchOutcomes,
        body=order_schemas.Batch,
    ),
    Operation(
        method="post",
        path="/api/v1/order-lists",
        operation_id="place_order_list",
        description="Place orders that hang on each other: a pair of which one cancels the other, or an entry whose "
        "fill wakes its exits. Where one is refused, those before it are cancelled, and the problem names both.",
        answers=_PLACED,
        reasons=(*BODY_REFUSALS, *_ENTRY_REFUSALS, *_PLACE_REFUSALS, Reason.LINK_INVALID),
        answer=order_schemas.PlacedList,
        body=order_schemas.OrderList,
    ),
    Operation(
        method="patch",
        path="/api/v1/orders/{order_id}",
        operation_id="amend_order",
        description="Change a live order in place. Its priority is kept where only its quantity falls.",
        answers={200: "The order as it is now, and its place in the queue"},
        reasons=(
            *BODY_REFUSALS, *_ENTRY_REFUSALS, *_OF_AN_ORDER, *_NUMBER_REFUSALS, *_MARKET_REFUSALS,
            Reason.QUANTITY_BELOW_FILLED, Reason.LINK_INVALID,
        ),
        answer=order_schemas.AmendedOrder,
        body=order_schemas.AmendOrder,
    ),
    Operation(
        method="post",
        path="/api/v1/orders/{order_id}/replace",
        operation_id="replace_order",
        description="Cancel an order and place another in one step. Where the new one is refused for the state of the "
        "market or the account, the old one is cancelled all the same, and the problem says so.",
        answers=_PLACED,
        reasons=(*BODY_REFUSALS, *_ENTRY_REFUSALS, *_OF_AN_ORDER, *_PLACE_REFUSALS),
        answer=order_schemas.ReplacedOrder,
        body=order_schemas.ReplaceOrder,
    ),
    Operation(
        method="delete",
        path="/api/v1/orders",
        operation_id="cancel_orders",
        description="Cancel all your live orders, or those of a market, a side, a range of prices, or client order ids "
        "with a prefix. A name that is not understood is refused and nothing is cancelled.",
        answers={200: "How many were cancelled"},
        reasons=(
            *_ENTRY_REFUSALS, EdgeReason.FIELD_INVALID, Reason.UNKNOWN_SYMBOL, Reason.SIDE_INVALID,
            Reason.CLIENT_ORDER_ID_INVALID, Reason.PRICE_OFF_TICK, Reason.PRICE_OUT_OF_RANGE, Reason.SCOPE_INVALID,
            Reason.MARKET_HALTED,
        ),
        answer=order_schemas.MassCancelled,
        query=(
            ("symbol", "One market only"),
            ("side", "Buy or Sell only"),
            ("price_from", "Limit prices from this on; needs symbol"),
            ("price_to", "Limit prices up to this; needs symbol"),
            ("client_order_id_prefix", "Client order ids that begin so"),
        ),
    ),
    Operation(
        method="put",
        path="/api/v1/orders/cancel-after",
        operation_id="set_cancel_after",
        description="Set, put off or turn off the account's dead-man timer. Unless it is put off in time all your live "
        "orders are cancelled, whatever has become of you or of the exchange's processes meanwhile.",
        answers={200: "The timer as it is now"},
        reasons=(*BODY_REFUSALS, *_ENTRY_REFUSALS, Reason.EXPIRE_TIME_INVALID),
        answer=order_schemas.Timer,
        body=order_schemas.SetTimer,
    ),
    Operation(
        method="get",
        path="/api/v1/orders/cancel-after",
        operation_id="get_cancel_after",
        description="Tell when the account's dead-man timer fires.",
        answers={200: "The timer as it is now"},
        reasons=(EdgeReason.UNAVAILABLE,),
        answer=order_schemas.Timer,
    ),
    _cancel("put", "/api/v1/orders/{order_id}/cancel", "cancel_order"),
    _cancel("delete", "/api/v1/orders/{order_id}", "delete_order"),
)  # fmt: skip


def api_routers() -> tuple[APIRouter, ...]:
    """Every router that the document shows; the order in which paths are matched."""
    # /orders/orders before /orders/{order_id}, which would take "orders" for an id.
    access = (auth.router, second_factor.router, key_routes.router, key_routes.kill_router)
    trading = (markets.router, orders.legacy_router, orders.router, accounts.router)
    money = (transfer_routes.router, commission.schedule_router, commission.router)
    administration = (admin.router, admin_users.router, admin_adjustments.router)
    reads = (past.router, history.router, statements.router, health.router)
    return (*access, *administration, *trading, *money, *reads)


@cache
def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document. The same for every installation."""
    app = FastAPI()
    for router in api_routers():
        app.include_router(router)
    document = get_openapi(
        title="Exchange",
        version=__version__,
        description=DESCRIPTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    document["components"]["securitySchemes"] |= _KEY_SCHEMES
    _open_to_keys(document)
    for operation in ORDER_ENTRY:
        document["paths"].setdefault(operation.path, {})[operation.method] = _render(operation)
    document["components"]["schemas"] |= _entry_schemas()
    document["components"]["examples"] = problem_examples()
    for operation_of_all in _operations(document):
        _complete(operation_of_all)
    return document


def render_openapi() -> str:
    """Return the document as text, always the same for the same code: what ``openapi/openapi.json`` holds."""
    return json.dumps(openapi_document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


router = APIRouter(include_in_schema=False)


@router.get("/api-docs/openapi.json")
async def serve_openapi() -> Response:
    return Response(_rendered(), media_type="application/json", headers={"cache-control": "no-cache"})


@cache
def _rendered() -> bytes:
    return render_openapi().encode()


def _render(operation: Operation) -> dict[str, Any]:
    answer = {"application/json": {"schema": {"$ref": _REF.format(model=operation.answer.__name__)}}}
    rendered: dict[str, Any] = {
        "tags": ["orders"],
        "summary": operation.operation_id.replace("_", " ").title(),
        "description": operation.description,
        "operationId": operation.operation_id,
        "security": [_BEARER, _SIGNED],
        "responses": {
            **{str(status): {"description": text, "content": answer} for status, text in operation.answers.items()},
            **{str(status): response for status, response in problems(*operation.reasons).items()},
        },
    }
    parameters = [_ORDER_ID] if "{order_id}" in operation.path else []
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}, "description": description}
        for name, description in operation.query
    ]
    if parameters:
        rendered["parameters"] = parameters
    if operation.body is not None:
        schema = {"$ref": _REF.format(model=operation.body.__name__)}
        rendered["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return rendered


def _open_to_keys(document: dict[str, Any]) -> None:
    """Say of every operation that a key may be allowed how it is signed."""
    for path, method, permission in asked_of(route for router in api_routers() for route in router.routes):
        if permission not in ("revoke", "manage", "administer"):
            document["paths"][path][method]["security"] = [_BEARER, _SIGNED]


def _entry_schemas() -> dict[str, Any]:
    models: set[type[BaseModel]] = {Problem, *(operation.answer for operation in ORDER_ENTRY)}
    models |= {operation.body for operation in ORDER_ENTRY if operation.body is not None}
    in_order = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in in_order], ref_template=_REF)
    found: dict[str, Any] = definitions["$defs"]
    return found


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _complete(operation: dict[str, Any]) -> None:
    """Add what every operation may answer, and names that client generators make pleasant functions of."""
    always = (*ADMISSION, EdgeReason.INTERNAL) if "security" in operation else (EdgeReason.INTERNAL,)
    for status, response in problems(*always).items():
        known = operation["responses"].setdefault(str(status), response)
        known["content"][PROBLEM_JSON]["examples"] |= response["content"][PROBLEM_JSON]["examples"]
    operation["operationId"] = operation["operationId"].split("_api_v1_")[0]
    for status, response in operation["responses"].items():
        response.setdefault("description", HTTPStatus(int(status)).phrase)
