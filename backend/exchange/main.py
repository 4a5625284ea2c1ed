"""The composition root: the only place that names concrete classes and joins them.

settings ─> database ─> projections ─> corridor ─> hub ─> gateway (FastAPI, order entry, streams)
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import uvicorn
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from exchange.contracts.catalogue import Catalogue
from exchange.corridor.corridor import Corridor
from exchange.corridor.live import Live
from exchange.gateway import context
from exchange.gateway.app import create_app
from exchange.gateway.archive import JournalArchive
from exchange.gateway.context import Exchange
from exchange.gateway.dead_man import DeadMan
from exchange.gateway.disconnects import Disconnects
from exchange.gateway.foresight import Foresight
from exchange.gateway.http_protocol import ExchangeProtocol
from exchange.gateway.hub import Hub
from exchange.gateway.order_batches import OrderBatches
from exchange.gateway.order_changes import OrderChanges
from exchange.gateway.order_entry import FrontDoor, OrderEntry
from exchange.gateway.stream_orders import StreamOrders
from exchange.gateway.streams import StreamServer
from exchange.gateway.websocket import MESSAGE_BYTES_MAX, StreamSocket
from exchange.history.process import HistoryProcess
from exchange.observability.rights import allow_files
from exchange.projections.process import ProjectionProcess
from exchange.settings import Settings
from exchange.storage.database import Database, open_database
from exchange.storage.queries import Queries
from exchange.storage.store import PostgresStore
from exchange.storage.volumes import Volumes
from exchange.treasury.fee_tiers import FeeTiers

logger = logging.getLogger("exchange")

SHARD = 1
SHUTDOWN_TIMEOUT_S = 10
PING_EVERY_S = PONG_WITHIN_S = 10.0  # so long at most, together, a peer that is gone without a word holds its place


@dataclass(kw_only=True)
class ServedExchange(Exchange):
    """An exchange that is served from this process, wherever its corridor runs.

    Whoever opened it awaits ``on_stop`` once nobody is served any more, while commands are taken still, and closes
    ``past`` at last.
    """

    hub: Hub
    past: HistoryProcess
    on_stop: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @classmethod
    def over(
        cls,
        settings: Settings,
        database: Database,
        corridor: context.Corridor,
        tables: context.Projections,
        live: Live,
        catalogue: Catalogue,
    ) -> Self:
        """Put one together with its streams. ``corridor``: as the class has it; what it does is to be told to ``hub``.

        ``live`` and ``catalogue`` are those that follow it in this process.
        """
        past = HistoryProcess(database.dsn, SHARD, settings.snapshots_kept)
        hub = Hub(catalogue, live, JournalArchive(database, SHARD, tables, past))
        return cls(
            settings=settings,
            database=database,
            corridor=corridor,
            projections=tables,
            live=live,
            catalogue=catalogue,
            streams=hub,
            past=past,
            shard=SHARD,
            hub=hub,
        )


@dataclass(kw_only=True)
class RunningExchange(ServedExchange):
    """An exchange whose corridor runs in this process."""

    corridor: Corridor

    async def until_leading(self) -> None:
        """Return when orders are taken."""
        while self.corridor.role != "leader":  # noqa: ASYNC110 - at start only, and 20 ms do not matter there
            await asyncio.sleep(0.02)


@asynccontextmanager
async def open_exchange(settings: Settings) -> AsyncIterator[RunningExchange]:
    """Open the exchange over a migrated database and run its corridor until the block ends.

    Yields at once: the corridor may still be recovering, or standing by. On the way out it finishes what it took, and
    keeps a snapshot. Raises DatabaseUnreachable.
    """
    assert settings.database_url is not None, "whoever opens an exchange has a database by now"
    database = await open_database(settings.database_url)
    projections = ProjectionProcess(database.dsn, SHARD)
    corridor = Corridor(PostgresStore(database.dsn, SHARD, settings.snapshots_kept), projections)
    exchange = RunningExchange.over(settings, database, corridor, projections, corridor.live, corridor.catalogue)
    hub = exchange.hub
    corridor.tell(on_term=hub.begin_term, on_changes=hub.publish)
    tasks = [asyncio.create_task(part) for part in (corridor.run(), hub.run(), *leader_jobs(exchange))]
    try:
        yield exchange
    finally:
        for stop in exchange.on_stop:
            await stop()
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                logger.error("a part ended badly", exc_info=result)
        await exchange.past.close()
        await database.close()


def leader_jobs(exchange: Exchange) -> list[Coroutine[Any, Any, None]]:
    """What the process that may lead does beside taking commands, while it leads."""

    def leads() -> bool:
        return exchange.corridor.role == "leader"

    async def caught_up() -> None:
        await exchange.caught_up(exchange.corridor.sequence)

    volumes = Volumes(exchange.database.long_reads, exchange.shard, exchange.catalogue)  # of everybody, at once
    fee_tiers = FeeTiers(volumes, exchange.settings.fees, exchange.catalogue, exchange.corridor.submit, caught_up)
    return [exchange.withdrawals.run(leads), exchange.adjustments.run(leads), fee_tiers.run(leads)]


class OrderOperations:
    """What may be asked about orders, by request and by message on a stream: the same operations."""

    def __init__(self, exchange: ServedExchange, queries: Queries) -> None:
        entry = OrderEntry(exchange, queries)
        changes, foresight, dead_man = OrderChanges(entry), Foresight(entry), DeadMan(exchange)
        batches, disconnects = OrderBatches(entry, changes), Disconnects(exchange, dead_man)
        exchange.on_stop.append(disconnects.close)
        messages = StreamOrders(entry, changes, batches, foresight, dead_man, disconnects).operations()
        self.routes = [route for part in (batches, foresight, dead_man, changes, entry) for route in part.routes()]
        self.short_ways = entry.short_ways() | batches.short_ways()
        self.stream = WebSocketRoute("/ws/v1", StreamServer(exchange, exchange.hub, messages).serve)


def build_app(exchange: ServedExchange) -> FrontDoor:
    """Return the whole HTTP and WebSocket edge."""
    app = create_app(exchange)
    operations = OrderOperations(exchange, app.state.queries)
    app.router.routes[:0] = [*operations.routes, operations.stream]
    return FrontDoor(app, operations.short_ways)


class Server(uvicorn.Server):
    """Uvicorn that says good-bye to stream clients before it waits for them."""

    def __init__(self, settings: Settings, app: ASGIApp, hub: Hub | None = None) -> None:
        allow_files()
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                loop="none",  # the caller's
                http=partial(ExchangeProtocol, app) if isinstance(app, FrontDoor) else "httptools",  # type: ignore[arg-type]
                ws=StreamSocket,
                ws_max_size=MESSAGE_BYTES_MAX,
                ws_ping_interval=PING_EVERY_S,
                ws_ping_timeout=PONG_WITHIN_S,
                ws_per_message_deflate=False,  # agreed upon by StreamSocket
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
            )
        )
        self._hub = hub

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the server: it has more to stop."""
        yield

    async def shutdown(self, sockets: object = None) -> None:
        if self._hub is not None:
            self._hub.close_all(1012, "the exchange is restarting: connect again")
        await super().shutdown(sockets)  # type: ignore[arg-type]
