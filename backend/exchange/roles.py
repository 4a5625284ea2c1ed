"""The composition root of roles apart: the parts of main.py, a role a process, Redis between them (exchange/cluster).

engine      the corridor, led or standing by       ─┐
projector   the tables                              ├─ one database, one Redis
api         the API, over a replica that follows    │
publisher   the streams, over such a replica       ─┘
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Literal, get_args

from starlette.applications import Starlette
from starlette.types import ASGIApp

from engine.matching import Shard
from exchange.cluster.channels import Channels
from exchange.cluster.desk import Desk
from exchange.cluster.follower import Follower
from exchange.cluster.relay import Relay
from exchange.cluster.remote import RemoteCorridor
from exchange.cluster.tables import FollowedTables, Projector
from exchange.corridor.corridor import Corridor
from exchange.corridor.live import Changes
from exchange.gateway.context import Exchange
from exchange.gateway.hub import Hub
from exchange.gateway.shared_access import SharedAccess
from exchange.main import SHARD, OrderOperations, ServedExchange, build_app, leader_jobs
from exchange.observability.operation import operation_app, operation_routes
from exchange.settings import Settings
from exchange.storage.database import Database, open_database
from exchange.storage.journal import journal_head
from exchange.storage.queries import Queries
from exchange.storage.store import PostgresStore

logger = logging.getLogger("exchange")

RoleName = Literal["engine", "projector", "api", "publisher"]
ROLES: tuple[RoleName, ...] = get_args(RoleName)


class Role:
    """A role that runs in this process. ``app``: what it serves; ``hub``: where it has stream clients."""

    def __init__(self, app: ASGIApp, ready: Callable[[], bool], hub: Hub | None = None) -> None:
        self.app = app
        self.ready = ready
        self.hub = hub


@asynccontextmanager
async def open_role(name: RoleName, settings: Settings) -> AsyncIterator[Role]:
    """Run a role over a migrated database until the block ends. Yields at once. Raises DatabaseUnreachable."""
    assert settings.database_url is not None and settings.redis_url is not None
    relay = Relay(settings.redis_url)
    database = await open_database(settings.database_url)
    try:
        async with _running(relay.run()), _OPEN[name](settings, database, relay) as role:
            yield role
    finally:
        await database.close()


@asynccontextmanager
async def _engine(settings: Settings, database: Database, relay: Relay) -> AsyncIterator[Role]:
    tables = FollowedTables(database.dsn, SHARD, relay)
    corridor = Corridor(PostgresStore(database.dsn, SHARD, settings.snapshots_kept), tables, tables_first=False)
    desk = Desk(relay, corridor, SHARD)
    corridor.tell(on_entries=desk.publish)
    exchange = Exchange(settings, database, corridor, tables, corridor.live, corridor.catalogue, shard=SHARD)

    def status() -> dict[str, Any]:
        parts = {"redis": {"status": "ok" if relay.up else "down"}}
        return {
            "role": corridor.role, "epoch": corridor.epoch, "sequence": corridor.sequence,
            "failure": corridor.failure, "parts": parts,
        }  # fmt: skip

    def ready() -> bool:
        return corridor.role in ("leader", "standby")

    async with _running(tables.follow(), corridor.run(), desk.run(), *leader_jobs(exchange)):
        yield Role(operation_app(status, ready), ready)


@asynccontextmanager
async def _projector(settings: Settings, database: Database, relay: Relay) -> AsyncIterator[Role]:
    projector = Projector(database.dsn, SHARD, relay)
    running = asyncio.create_task(projector.run(), name="projector")

    def status() -> dict[str, Any]:
        return {"role": "projector", "watermarks": projector.runner.watermarks, "lag": projector.runner.lag}

    def ready() -> bool:
        return not running.done() and bool(projector.runner.watermarks)

    try:
        yield Role(operation_app(status, ready), ready)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def _follower(settings: Settings, database: Database, relay: Relay) -> AsyncIterator[ServedExchange]:
    """An exchange that is served here and led elsewhere."""
    tables = FollowedTables(database.dsn, SHARD, relay)
    follower = Follower(PostgresStore(database.dsn, SHARD, settings.snapshots_kept), relay)
    corridor = RemoteCorridor(relay, follower, lambda: journal_head(database.engine, SHARD))
    replica, channels = follower.replica, Channels(SHARD)
    exchange = ServedExchange.over(settings, database, corridor, tables, replica.live, replica.catalogue)
    hub = exchange.hub

    def begin(shard: Shard) -> None:
        corridor.forget()
        hub.begin_term(shard)

    def follow(changes: Changes) -> None:
        corridor.follow(changes)
        hub.publish(changes)

    follower.on_begin, follower.on_changes = begin, follow
    access = exchange.access
    shared = SharedAccess(relay, SHARD, access.limits, access.seen)
    access.limits = access.seen = shared
    access.state.on_own_change = lambda: relay.speak(channels.access, b"")
    await relay.listen({channels.access: lambda _: access.state.hurry()})
    try:
        async with _running(tables.follow(), follower.run(), corridor.run(), hub.run(), shared.run()):
            try:
                yield exchange
            finally:
                for stop in exchange.on_stop:
                    await stop()
    finally:
        await exchange.past.close()


@asynccontextmanager
async def _api(settings: Settings, database: Database, relay: Relay) -> AsyncIterator[Role]:
    async with _follower(settings, database, relay) as exchange:
        yield Role(build_app(exchange), lambda: exchange.corridor.ready, exchange.hub)


@asynccontextmanager
async def _publisher(settings: Settings, database: Database, relay: Relay) -> AsyncIterator[Role]:
    async with _follower(settings, database, relay) as exchange:
        corridor = exchange.corridor

        def status() -> dict[str, Any]:
            streams = {"status": "ok", "subscribers": exchange.hub.subscribers}
            parts = {"redis": {"status": "ok" if relay.up else "down"}, "streams": streams}
            return {"role": corridor.role, "sequence": corridor.sequence, "parts": parts}

        operations = OrderOperations(exchange, Queries(database.engine, SHARD))
        routes = [operations.stream, *operation_routes(status, lambda: corridor.ready)]
        async with _running(exchange.access.state.run()):
            yield Role(Starlette(routes=routes), lambda: corridor.ready, exchange.hub)


_OPEN: dict[RoleName, Callable[[Settings, Database, Relay], Any]] = {
    "engine": _engine,
    "projector": _projector,
    "api": _api,
    "publisher": _publisher,
}


@asynccontextmanager
async def _running(*parts: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Run parts until the block ends; the last one begun is ended first."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield
    finally:
        for task in reversed(tasks):
            task.cancel()
            for result in await asyncio.gather(task, return_exceptions=True):
                if isinstance(result, Exception):
                    logger.error("a part ended badly", exc_info=result)
