"""Plain ASGI endpoints that take and answer JSON: what FastAPI would do, for routes that every order passes."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.types import Receive, Scope, Send

from engine.records import Reason
from exchange.contracts.refusals import EdgeReason, Refusal, Refused, refuse
from exchange.gateway.edge import BODY_BYTES_MAX, header, request_id
from exchange.gateway.problems import problem_body, problem_headers

encode = msgspec.json.Encoder().encode

Answer = tuple[int, dict[str, Any] | msgspec.Raw]  # status, JSON object: one that is JSON already is told as it is
Headers = list[tuple[bytes, bytes]]
RawAnswer = tuple[int, Headers, bytes]  # status, headers without Content-Length, body
Shape = TypeVar("Shape")


class Endpoint:
    """Serves a handler of a scope and its receive channel; a Refused that it raises is answered as a problem.

    A class, since Starlette would call a plain function with a Request.
    """

    def __init__(self, handler: Callable[[Scope, Receive], Awaitable[Answer]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, answer = await self._handler(scope, receive)
        except Refused as refused:
            await send_problem(scope, send, refused.refusal)
            return
        await send_json(send, status, answer)


async def read_json_body(scope: Scope, receive: Receive) -> bytes:
    """Return the whole body, BODY_BYTES_MAX at most. Raises Refused."""
    check_media_type(scope)
    return await read_body(receive)


def check_media_type(scope: Scope) -> None:
    """Raises Refused UNSUPPORTED_MEDIA_TYPE."""
    content_type = header(scope, b"content-type") or b""
    if not content_type.lower().startswith(b"application/json"):
        detail = "send the order with the header `Content-Type: application/json`"
        raise refuse(EdgeReason.UNSUPPORTED_MEDIA_TYPE, detail)


async def read_body(receive: Receive) -> bytes:
    """Return the whole body, BODY_BYTES_MAX at most. Raises Refused."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise refuse(Reason.MALFORMED, "the request ended before its body did")
        body += message.get("body", b"")
        check_size(body)
        if not message.get("more_body"):
            return body


def check_size(body: bytes) -> None:
    """Raises Refused BODY_TOO_LARGE."""
    if len(body) > BODY_BYTES_MAX:
        limit = f"{BODY_BYTES_MAX} bytes"
        raise refuse(Reason.BODY_TOO_LARGE, f"the body is larger than {limit}", field="body", limit=limit)


def decode(decoder: "msgspec.json.Decoder[Shape]", body: bytes, what: str, fields: tuple[str, ...]) -> Shape:
    """Return what a decoder makes of a body. Refuses text that is no JSON, and JSON that is not ``what``.

    ``fields``: those that it may have.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        detail = f"the body is no {what}: {str(error).split(' - at ')[0].replace('Object contains', 'it has an')}"
        raise refuse(Reason.MALFORMED, detail, field="body", limit=", ".join(fields)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refuse(Reason.MALFORMED, f"the body is not valid JSON: {error}") from None


async def send_json(send: Send, status: int, content: dict[str, Any] | msgspec.Raw) -> None:
    await _send(send, status, encode(content), [(b"content-type", b"application/json")])


async def send_problem(scope: Scope, send: Send, refusal: Refusal) -> None:
    status, headers, body = raw_problem(scope, refusal)
    await _send(send, status, body, headers)


def raw_problem(scope: Scope, refusal: Refusal) -> RawAnswer:
    """Return a refusal as the answer to a request."""
    headers = [(name.encode(), value.encode()) for name, value in problem_headers(refusal).items()]
    return refusal.status, headers, problem_body(refusal, request_id(scope))


async def _send(send: Send, status: int, body: bytes, headers: Headers) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
