"""Every error answer of the gateway: one problem+json shape (RFC 9457), made from a refusal."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy.exc
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from engine.records import Reason
from exchange.contracts.refusals import TEXTS, AnyReason, EdgeReason, Refusal, Refused
from exchange.storage.database import DatabaseUnreachable

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 1  # where a refusal does not know better

logger = logging.getLogger("exchange.auth")


def problem_headers(refusal: Refusal) -> dict[str, str]:
    """The headers that go with a refusal's status, Content-Type included."""
    headers = {"content-type": PROBLEM_JSON, "cache-control": "no-store"}
    if refusal.status == 401:
        headers["www-authenticate"] = "Bearer"
    if refusal.status in (429, 503):
        headers["retry-after"] = str(refusal.retry_after_s or RETRY_AFTER_S)
    return headers


def problem_body(refusal: Refusal, request_id: str | None) -> bytes:
    return msgspec.json.encode(refusal.problem(request_id))


def problem_response(refusal: Refusal, request_id: str | None, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        problem_body(refusal, request_id),
        status_code=refusal.status,
        headers={**(headers or {}), **problem_headers(refusal)},
    )


def request_id_of(request: Request) -> str | None:
    """The id that the edge gave to the request."""
    return request.scope.get("request_id")


def answer_refusals(app: FastAPI) -> None:
    """Answer everything that handlers raise with a problem. What is not foreseen here is caught at the edge (500)."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    for error in (DatabaseUnreachable, sqlalchemy.exc.TimeoutError, sqlalchemy.exc.DBAPIError):
        app.add_exception_handler(error, _database_error)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    refusal = error.refusal
    if refusal.status in (401, 403):
        word = "unauthorized" if refusal.status == 401 else "forbidden"
        fields = {"reason": refusal.reason.name, "path": request.url.path, "request_id": request_id_of(request)}
        logger.info("auth %s", word, extra={"fields": fields})
    return problem_response(refusal, request_id_of(request))


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(validation_refusal(error.errors()), request_id_of(request))


def validation_refusal(errors: Sequence[Mapping[str, Any]]) -> Refusal:
    """Return the refusal of the first error that pydantic found; the value itself is not repeated."""
    first = errors[0]
    path = [str(part) for part in first["loc"][1:]]
    if first["type"] in ("json_invalid", "json_type"):
        return Refusal(
            Reason.MALFORMED, f"the body is not valid JSON: {first.get('ctx', {}).get('error', first['msg'])}"
        )
    if not path:
        return Refusal(Reason.MALFORMED, "the body must be a JSON object")
    name = ".".join(path)
    message = str(first["msg"])
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    return Refusal(EdgeReason.FIELD_INVALID, f"{name}: {message}{more}", field=name, limit=_limit_of(first))


def _limit_of(error: Mapping[str, Any]) -> str | None:
    bounds = [f"{name}: {value}" for name, value in error.get("ctx", {}).items() if name != "error"]
    return ", ".join(bounds) or None


_REASON_OF_STATUS: dict[int, tuple[AnyReason, str]] = {
    400: (Reason.MALFORMED, "the request cannot be read"),
    404: (EdgeReason.NOT_FOUND, "there is nothing at this path; the API's paths are listed at /api-docs/openapi.json"),
    405: (EdgeReason.METHOD_NOT_ALLOWED, "this path does not take this method"),
    413: (Reason.BODY_TOO_LARGE, "the body is too large"),
    415: (EdgeReason.UNSUPPORTED_MEDIA_TYPE, "send the body as application/json"),
}


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason, detail = _REASON_OF_STATUS.get(error.status_code, (EdgeReason.INTERNAL, "the request failed"))
    return problem_response(Refusal(reason, detail), request_id_of(request), error.headers)


async def _database_error(request: Request, error: Exception) -> Response:
    """The pool is exhausted or Postgres is away: both pass. Any other database error is a defect of ours."""
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        refusal = Refusal(EdgeReason.OVERLOADED, "every database connection is taken; ask again in a moment")
    elif isinstance(error, DatabaseUnreachable) or getattr(error, "connection_invalidated", False):
        refusal = Refusal(EdgeReason.UNAVAILABLE, "the database cannot be reached just now; ask again in a moment")
    else:
        raise error
    fields = {"error": type(error).__name__, "request_id": request_id_of(request)}
    logging.getLogger("exchange.gateway").warning("database error answered with 503", extra={"fields": fields})
    return problem_response(refusal, request_id_of(request))


_EXAMPLE_DETAIL = "in words: what, which limit, what would do"
_EXAMPLE_ID = "5f0c1a2b-3d"


def problems(*reasons: AnyReason) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of an operation's refusals, one a status, with an example for every reason."""
    responses: dict[int | str, dict[str, Any]] = {}
    for reason in reasons:
        status = TEXTS[reason].status
        response = responses.setdefault(status, _problem_of_status(status))
        reference = {"$ref": f"#/components/examples/{reason.name}"}
        response["content"][PROBLEM_JSON]["examples"][reason.name] = reference
    return responses


def problem_examples() -> dict[str, Any]:
    """OpenAPI examples of every refusal, by the reason's name."""
    return {
        reason.name: {"summary": text.title, "value": Refusal(reason, _EXAMPLE_DETAIL).problem(_EXAMPLE_ID)}
        for reason, text in TEXTS.items()
    }


def _problem_of_status(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": _DESCRIPTIONS[status],
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
    }
    if status in (429, 503):
        header = {"description": "Seconds to wait before asking again", "schema": {"type": "integer", "minimum": 1}}
        response["headers"] = {"Retry-After": header}
    if status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response


_DESCRIPTIONS = {
    400: "The request cannot be read",
    401: "Not signed in",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "In conflict with what has happened before",
    413: "The body is larger than 64 KB",
    415: "The body is not application/json",
    422: "Refused: a field, a limit or the state of the market or account does not allow it",
    429: "Too many attempts",
    500: "Something broke on our side",
    503: "Starting, standing by, overloaded or halted: ask again",
}
