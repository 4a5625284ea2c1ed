"""What an orchestrator asks of a process that serves nobody else: /livez, /readyz, /api/v1/health, /metrics."""

from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from exchange.observability import metrics

NO_STORE = {"cache-control": "no-store"}

Status = dict[str, Any]


def operation_routes(status: Callable[[], Status], ready: Callable[[], bool]) -> list[BaseRoute]:
    """The routes. ``status``: the truth for people; ``ready``: whether the process does its work now."""

    async def health(request: Request) -> Response:
        yes = ready()
        answer = {"status": "ok" if yes else "down", **status()}
        return JSONResponse(answer, status_code=200 if yes else 503, headers=NO_STORE)

    async def readyz(request: Request) -> Response:
        yes = ready()
        return JSONResponse({"status": "ok" if yes else "down"}, status_code=200 if yes else 503, headers=NO_STORE)

    async def livez(request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    async def scrape(request: Request) -> Response:
        return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)

    paths = {"/api/v1/health": health, "/readyz": readyz, "/livez": livez, "/metrics": scrape}
    return [Route(path, answer, methods=["GET"]) for path, answer in paths.items()]


def operation_app(
    status: Callable[[], Status], ready: Callable[[], bool], others: Sequence[BaseRoute] = ()
) -> Starlette:
    """The application of such a process."""
    return Starlette(routes=[*others, *operation_routes(status, ready)])
