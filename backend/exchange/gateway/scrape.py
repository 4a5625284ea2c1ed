"""GET /metrics for Prometheus: what is only known when asked is read here, the costly part at most every 15 s."""

import time

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from exchange.gateway.context import Exchange
from exchange.observability import metrics
from exchange.storage.queries import Queries

router = APIRouter(include_in_schema=False)
DATABASE_REFRESH_S = 15.0
DEPTH_LEVELS_MAX = 1000

_DATABASE_NUMBERS = text(
    "SELECT pg_database_size(datname), xact_commit + xact_rollback FROM pg_stat_database"
    " WHERE datname = current_database()"
)


class Scrape:
    """Brings the gauges that mirror the exchange up to date."""

    def __init__(self, exchange: Exchange, queries: Queries) -> None:
        self._exchange = exchange
        self._queries = queries
        self._refreshed_at = float("-inf")
        metrics.HOST.disks.add(exchange.settings.home)
        metrics.observe_queries(exchange.database.engine)

    async def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        self._read_memory()
        if time.monotonic() - self._refreshed_at > DATABASE_REFRESH_S:
            self._refreshed_at = time.monotonic()
            await self._read_database()
        return generate_latest(metrics.REGISTRY)

    def _read_memory(self) -> None:
        exchange = self._exchange
        metrics.SEQUENCE.set(exchange.corridor.sequence)
        if exchange.streams is not None:
            metrics.STREAM_SUBSCRIBERS.set(exchange.streams.subscribers)
            metrics.STREAM_CONNECTIONS.set(len(exchange.streams.connections))
        for market in exchange.catalogue.markets.values():
            _, bids, asks = exchange.live.depth(market.number, DEPTH_LEVELS_MAX)
            metrics.BOOK_DEPTH_LEVELS.labels(market.symbol, "bid").set(len(bids))
            metrics.BOOK_DEPTH_LEVELS.labels(market.symbol, "ask").set(len(asks))

    async def _read_database(self) -> None:
        """A database that is away must not take the metrics with it: they are what shows it."""
        try:
            watermarks = await self._queries.watermarks()
            async with self._exchange.database.engine.connect() as connection:
                size, transactions = (await connection.execute(_DATABASE_NUMBERS)).one()
        except Exception:
            metrics.DATABASE_UP.set(0)
            return
        metrics.DATABASE_UP.set(1)
        metrics.DATABASE_SIZE_BYTES.set(size)
        metrics.TRANSACTIONS.total = transactions
        for projection, sequence in watermarks.items():
            metrics.PROJECTION_LAG.labels(projection).set(max(self._exchange.corridor.sequence - sequence, 0))


@router.get("/metrics")
async def scrape(request: Request) -> Response:
    page: Scrape = request.app.state.scrape
    return Response(await page.render(), media_type=CONTENT_TYPE_LATEST)
