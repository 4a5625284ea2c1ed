"""The HTTP application: all routers, all layers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from exchange import __version__
from exchange.gateway import openapi, scrape, site
from exchange.gateway.api_keys import ApiKeys
from exchange.gateway.context import Exchange
from exchange.gateway.csv_export import Exports
from exchange.gateway.edge import BodyGate, Edge
from exchange.gateway.faucet import Faucet
from exchange.gateway.health import HealthCheck
from exchange.gateway.listing import Listing
from exchange.gateway.logins import Logins
from exchange.gateway.problems import answer_refusals
from exchange.gateway.scrape import Scrape
from exchange.gateway.sessions import Sessions
from exchange.gateway.site import Site
from exchange.gateway.totp import SecondFactors
from exchange.storage.history import History
from exchange.storage.queries import Queries

CORS_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CORS_HEADERS = (
    "authorization",
    "content-type",
    "x-request-id",
    "x-exchange-key",
    "x-exchange-timestamp",
    "x-exchange-signature",
)
CORS_EXPOSED = ("x-request-id", "retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")


def create_app(exchange: Exchange) -> FastAPI:
    """Return the application over an exchange. Order entry and streams are mounted in front of it by the caller."""
    app = FastAPI(
        title="Exchange",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        middleware=[
            Middleware(Edge),
            Middleware(
                CORSMiddleware,
                allow_origins=exchange.settings.cors_origins,
                allow_methods=CORS_METHODS,
                allow_headers=CORS_HEADERS,
                expose_headers=CORS_EXPOSED,
                max_age=600,
            ),
            Middleware(BodyGate),
        ],
    )
    queries = Queries(exchange.database.engine, exchange.shard)
    app.state.exchange = exchange
    app.state.queries = queries
    app.state.history = History(exchange.database.engine, exchange.shard)
    app.state.long_history = History(exchange.database.long_reads, exchange.shard)
    app.state.exports = Exports()
    _add_access(app, exchange)
    app.state.listing = Listing(exchange)
    app.state.faucet = Faucet(exchange, queries)
    app.state.health = HealthCheck(exchange)
    app.state.scrape = Scrape(exchange, queries)
    for router in (*openapi.api_routers(), openapi.router, scrape.router, site.router):
        app.include_router(router)
    app.router.default = Site(exchange.settings.frontend_dir, not_found=app.router.default)
    answer_refusals(app)
    return app


def _add_access(app: FastAPI, exchange: Exchange) -> None:
    engine, state = exchange.database.engine, exchange.access.state
    app.state.sessions = Sessions(engine, exchange.settings.jwt_secret, state.sessions_ended)
    app.state.second_factors = SecondFactors(engine, exchange.access.sealer)
    app.state.logins = Logins(engine, app.state.sessions, app.state.second_factors)
    app.state.api_keys = ApiKeys(engine, exchange.access.sealer, state.key_changed)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    following = (app.state.exchange.access.state.run(), app.state.logins.attempts.run())
    tasks = [asyncio.create_task(each) for each in following]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    app.state.logins.close()
    await app.state.health.close()
