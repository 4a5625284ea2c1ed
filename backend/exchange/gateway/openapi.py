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
from exchange.gateway import accounts, auth, health, markets, orders, schemas
from exchange.gateway.auth import BODY_REFUSALS
from exchange.gateway.problems import problem_examples, problems

DESCRIPTION = """Prices, quantities and amounts are decimal strings. Symbols are `BTC/USD` (in a path: `BTC-USD`).
Errors are `application/problem+json`: they name the reason, the field, its limit and the nearest valid value. An order
whose answer was lost is found by its `client_order_id`: send the same order again, or ask for it."""

_REF = "#/components/schemas/{model}"
_BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
_ORDER_ID = {
    "name": "order_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9]{1,19}$"},
    "description": "An order's id",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that is served by the order entry, a plain ASGI route: what FastAPI would find out by itself."""

    method: str
    path: str
    operation_id: str
    summary: str
    description: str
    answers: dict[int, str]  # the success statuses, all with an OrderWithFills
    reasons: tuple[AnyReason, ...]
    body: type[BaseModel] | None = None


_ENTRY_REFUSALS = (
    EdgeReason.UNAUTHENTICATED,
    EdgeReason.TOKEN_EXPIRED,
    EdgeReason.UNAVAILABLE,
    EdgeReason.OVERLOADED,
    EdgeReason.OUTCOME_UNKNOWN,
)
_PLACE_REFUSALS = (
    Reason.UNKNOWN_SYMBOL,
    Reason.SIDE_INVALID,
    Reason.ORDER_TYPE_INVALID,
    Reason.TIME_IN_FORCE_INVALID,
    Reason.FLAGS_INVALID,
    Reason.PRICE_OFF_TICK,
    Reason.PRICE_OUT_OF_RANGE,
    Reason.QUANTITY_OFF_LOT,
    Reason.QUANTITY_OUT_OF_RANGE,
    Reason.NOTIONAL_TOO_SMALL,
    Reason.NOTIONAL_TOO_LARGE,
    Reason.CLIENT_ORDER_ID_INVALID,
    Reason.CLIENT_ORDER_ID_REUSED,
    Reason.INSUFFICIENT_FUNDS,
    Reason.POST_ONLY_WOULD_CROSS,
    Reason.FOK_NOT_FILLABLE,
)
_CANCEL = {
    "summary": "Cancel Order",
    "description": "Cancel a resting order and return its final state with its fills.",
    "answers": {200: "The order in its final state"},
    "reasons": (*_ENTRY_REFUSALS, EdgeReason.FIELD_INVALID, Reason.UNKNOWN_ORDER, Reason.ORDER_ENDED),
}
ORDER_ENTRY: tuple[Operation, ...] = (
    Operation(
        method="post",
        path="/api/v1/orders",
        operation_id="place_order",
        summary="Place Order",
        description="Place an order; the answer comes when it is durable, with the fills that it got at once.",
        answers={201: "Accepted", 200: "Sent before under the same client order id: its first result"},
        reasons=(*BODY_REFUSALS, *_ENTRY_REFUSALS, *_PLACE_REFUSALS),
        body=schemas.PlaceOrder,
    ),
    Operation(method="put", path="/api/v1/orders/{order_id}/cancel", operation_id="cancel_order", **_CANCEL),  # type: ignore[arg-type]
    Operation(method="delete", path="/api/v1/orders/{order_id}", operation_id="delete_order", **_CANCEL),  # type: ignore[arg-type]
)


def api_routers() -> tuple[APIRouter, ...]:
    """Every router that the document shows; the order in which paths are matched."""
    # /orders/orders before /orders/{order_id}, which would take "orders" for an id.
    return (auth.router, markets.router, orders.legacy_router, orders.router, accounts.router, health.router)


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
    answer = {"application/json": {"schema": {"$ref": _REF.format(model="OrderWithFills")}}}
    rendered: dict[str, Any] = {
        "tags": ["orders"],
        "summary": operation.summary,
        "description": operation.description,
        "operationId": operation.operation_id,
        "security": _BEARER,
        "responses": {
            **{str(status): {"description": text, "content": answer} for status, text in operation.answers.items()},
            **{str(status): response for status, response in problems(*operation.reasons).items()},
        },
    }
    if "{order_id}" in operation.path:
        rendered["parameters"] = [_ORDER_ID]
    if operation.body is not None:
        schema = {"$ref": _REF.format(model=operation.body.__name__)}
        rendered["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return rendered


def _entry_schemas() -> dict[str, Any]:
    models: list[type[BaseModel]] = [schemas.Problem, schemas.PlaceOrder, schemas.OrderWithFills]
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    found: dict[str, Any] = definitions["$defs"]
    return found


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _complete(operation: dict[str, Any]) -> None:
    """Add what every operation may answer, and names that client generators make pleasant functions of."""
    for status, response in problems(EdgeReason.INTERNAL).items():
        operation["responses"].setdefault(str(status), response)
    operation["operationId"] = operation["operationId"].split("_api_v1_")[0]
    for status, response in operation["responses"].items():
        response.setdefault("description", HTTPStatus(int(status)).phrase)
