"""The outermost layers of every request, as plain ASGI: identity, measure, headers, and what a body may be."""

import asyncio
import itertools
import logging
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.records import Reason
from exchange.contracts.refusals import EdgeReason, Refusal
from exchange.gateway.problems import problem_response
from exchange.gateway.rate_limits import Budget
from exchange.observability import metrics

BODY_BYTES_MAX = 64 * 1024
READ_AWAY_BYTES_MAX, READ_AWAY_S = 4 * 1024 * 1024, 1.0  # of a body that is refused
UNMATCHED_ROUTE = "unmatched"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        # The chart, the toasts and Swagger UI write style elements; no script of ours is inline.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_process = secrets.token_hex(4)
_counter = itertools.count(1)
logger = logging.getLogger("exchange.gateway")
access_logger = logging.getLogger("exchange.access")


def request_id(scope: Scope) -> str:
    """Return the id of a request: the client's X-Request-Id where it is a plain one, else a new one."""
    known = scope.get("request_id")
    if known is None:
        given = header(scope, b"x-request-id")
        known = given.decode() if given and _REQUEST_ID.fullmatch(given) else f"{_process}-{next(_counter):x}"
        scope["request_id"] = known
    return str(known)


def headers_by_name(scope: Scope) -> Mapping[bytes, bytes]:
    """Return the headers of a request by their names in lower case; of several of one name the first."""
    known: dict[bytes, bytes] | None = scope.get("headers_by_name")
    if known is None:
        known = scope["headers_by_name"] = dict(reversed(scope["headers"]))
    return known


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first value of a header, its name in lower case."""
    return headers_by_name(scope).get(name)


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return headers as they are sent, for the answers that go past ASGI."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def rate_limit_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return what is left of the budget that a request drew on; nothing where it drew on none."""
    left: Budget | None = scope.get("rate_limit")
    return [] if left is None else left.headers()


class Edge:
    """Gives every request an id, measures it, adds the security headers, and answers a crash with a bare 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        identity = request_id(scope)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = [*rate_limit_headers(scope), (b"x-request-id", identity.encode())]
                message["headers"] = [*message["headers"], *SECURITY_HEADERS, *given]
            await send(message)

        metrics.CONNECTIONS_ACTIVE.inc()
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            logger.exception("request crashed", extra={"fields": {"request_id": identity}})
            if status:
                raise  # half an answer is out: only breaking the connection can tell the client
            refusal = Refusal(EdgeReason.INTERNAL, "the exchange made an error; its log names the request by this id")
            await problem_response(refusal, identity)(scope, receive, send_with_headers)
        finally:
            metrics.CONNECTIONS_ACTIVE.dec()
            self._measure(scope, status, time.perf_counter() - started_at)

    def _measure(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED_ROUTE)
        metrics.observe_request(scope["method"], route, status, seconds)
        if access_logger.isEnabledFor(logging.INFO):
            fields: dict[str, Any] = {"method": scope["method"], "path": scope["path"], "status": status}
            fields |= {"milliseconds": round(seconds * 1000, 3), "request_id": scope["request_id"]}
            access_logger.info("request", extra={"fields": fields})


class BodyTooLarge(HTTPException):
    """A body grew past the limit while it was read."""

    def __init__(self) -> None:
        super().__init__(413, headers={"connection": "close"})


class BodyGate:
    """Lets through bodies of at most BODY_BYTES_MAX bytes of JSON, declared or streamed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = body_refusal(scope)
        if refusal is not None:
            await _read_away(receive)
            await problem_response(refusal, request_id(scope), {"connection": "close"})(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > BODY_BYTES_MAX:
                    raise BodyTooLarge
            return message

        await self._app(scope, receive_within_limit, send)


async def _read_away(receive: Receive) -> None:
    """Take what is being sent, within bounds: a client that still sends does not hear an answer (RFC 9112, 9.6)."""
    read = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(READ_AWAY_S):
            while read < READ_AWAY_BYTES_MAX:
                message = await receive()
                read += len(message.get("body", b""))
                if not message.get("more_body"):
                    return


def body_refusal(scope: Scope) -> Refusal | None:
    """Return why the body that a request's headers announce is refused, None where it is not."""
    length = header(scope, b"content-length")
    if length is None and header(scope, b"transfer-encoding") is None:
        return None
    if length is not None:
        if not length.isdigit():
            return Refusal(Reason.MALFORMED, "Content-Length is not a number")
        if int(length) > BODY_BYTES_MAX:
            return Refusal(
                Reason.BODY_TOO_LARGE, f"the body has {int(length)} bytes", limit=str(BODY_BYTES_MAX), field="body"
            )
        if int(length) == 0:
            return None
    media_type = (header(scope, b"content-type") or b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json" and not media_type.endswith(b"+json"):
        return Refusal(EdgeReason.UNSUPPORTED_MEDIA_TYPE, "send the body as application/json")
    return None
