"""How the exchange is: the whole truth for people, and two plain questions for orchestrators."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from redis.asyncio import Redis
from sqlalchemy import text

from exchange import __version__
from exchange.gateway import schemas
from exchange.gateway.context import Exchange
from exchange.gateway.dependencies import CurrentExchange

router = APIRouter(tags=["operation"])
PART_TIMEOUT_S = 1.0
REMEMBERED_S = 1.0  # however often it is asked, the parts are asked once a second
PROJECTION_LAG_DEGRADED = 30_000  # commands: some seconds of full load


class HealthCheck:
    """Asks every part, and remembers the answer for a moment."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        url = exchange.settings.redis_url
        self._redis: Redis | None = (
            Redis.from_url(url, socket_timeout=PART_TIMEOUT_S, socket_connect_timeout=PART_TIMEOUT_S) if url else None
        )
        self._asking = asyncio.Lock()
        self._answer: dict[str, Any] = {}
        self._answered_at = 0.0

    async def report(self) -> dict[str, Any]:
        """Return the Health of docs/api.md."""
        async with self._asking:
            if not self._answer or time.monotonic() - self._answered_at > REMEMBERED_S:
                self._answer = await self._ask()
                self._answered_at = time.monotonic()
            return self._answer

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def _ask(self) -> dict[str, Any]:
        role, sequence = self._exchange.corridor.role, self._exchange.corridor.sequence
        database, redis = await asyncio.gather(_part(self._ask_database()), _part(self._ask_redis()))
        parts: dict[str, dict[str, Any]] = {
            "engine": {"status": _ENGINE_STATUS[role]},
            "journal": {"status": "down" if role == "halted" else database["status"], "sequence": sequence},
            "database": database,
            "projections": self._projections(sequence),
            "redis": redis,
            "streams": self._streams(),
        }
        return {
            "status": _overall(parts),
            "version": __version__,
            "role": role,
            "sequence": sequence,
            "parts": parts,
        }

    async def _ask_database(self) -> dict[str, Any]:
        async with self._exchange.database.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        return {"status": "ok"}

    async def _ask_redis(self) -> dict[str, Any]:
        if self._redis is None:
            return {"status": "absent", "detail": "REDIS_URL is not set; nothing needs it on one machine"}
        await self._redis.ping()
        return {"status": "ok"}

    def _projections(self, sequence: int) -> dict[str, Any]:
        lag = max(sequence - self._exchange.projections.watermark, 0)
        return {"status": "degraded" if lag > PROJECTION_LAG_DEGRADED else "ok", "lag": lag}

    def _streams(self) -> dict[str, Any]:
        streams = self._exchange.streams
        return {"status": "absent"} if streams is None else {"status": "ok", "subscribers": streams.subscribers}


_ENGINE_STATUS = {
    "leader": "ok",
    "standby": "ok",
    "starting": "degraded",
    "halted": "down",
    "follower": "ok",
    "leaderless": "down",
}
#: What the exchange cannot do without. Redis, streams and projections make it degraded at worst.
_VITAL = ("engine", "journal", "database")


async def _part(asked: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    try:
        return await asyncio.wait_for(asked, PART_TIMEOUT_S)
    except TimeoutError:
        return {"status": "down", "detail": f"no answer within {PART_TIMEOUT_S:.0f} s"}
    except Exception as error:  # whatever a part answers with, the report says so and goes on
        # Its kind only: the text may name hosts and users.
        return {"status": "down", "detail": type(error).__name__}


def _overall(parts: dict[str, dict[str, Any]]) -> str:
    if any(parts[name]["status"] == "down" for name in _VITAL):
        return "down"
    return "degraded" if any(part["status"] in ("down", "degraded") for part in parts.values()) else "ok"


async def current_health(request: Request) -> HealthCheck:
    health: HealthCheck = request.app.state.health
    return health


_DOWN: dict[int | str, dict[str, Any]] = {
    503: {"model": schemas.Health, "description": "A part that it cannot do without is down"}
}
_NOT_NOW: dict[int | str, dict[str, Any]] = {503: {"model": schemas.ProbeAnswer, "description": "No"}}


@router.get("/api/v1/health", response_model=schemas.Health, responses=_DOWN)
async def health(response: Response, check: Annotated[HealthCheck, Depends(current_health)]) -> dict[str, Any]:
    """Return how every part is. 503 when the exchange is down."""
    report = await check.report()
    response.status_code = 503 if report["status"] == "down" else 200
    response.headers["cache-control"] = "no-store"
    return report


@router.get("/livez", response_model=schemas.ProbeAnswer)
async def livez(exchange: CurrentExchange, response: Response) -> dict[str, Any]:
    """Does the process answer at all?

    A halted shard recovers by itself once the journal is back: a restart would not help it.
    """
    return _probe(exchange, response, True)


@router.get("/readyz", response_model=schemas.ProbeAnswer, responses=_NOT_NOW)
async def readyz(exchange: CurrentExchange, response: Response) -> dict[str, Any]:
    """Does it answer for the exchange now? Of processes that may lead only the leader does."""
    return _probe(exchange, response, exchange.corridor.ready)


def _probe(exchange: Exchange, response: Response, yes: bool) -> dict[str, Any]:
    response.status_code = 200 if yes else 503
    response.headers["cache-control"] = "no-store"
    return {"status": "ok" if yes else "down", "role": exchange.corridor.role}
