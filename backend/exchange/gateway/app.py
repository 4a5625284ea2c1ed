"""The HTTP application: all routers, all layers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from exchange import __version__
from exchange.gateway import openapi, scrape, site
from exchange.gateway.context import Exchange
from exchange.gateway.edge import BodyGate, Edge
from exchange.gateway.faucet import Faucet
from exchange.gateway.health import HealthCheck
from exchange.gateway.problems import answer_refusals
from exchange.gateway.scrape import Scrape
from exchange.gateway.sessions import Sessions
from exchange.gateway.site import Site
from exchange.storage.queries import Queries

CORS_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CORS_HEADERS = ("authorization", "content-type", "x-request-id")
CORS_EXPOSED = ("x-request-id", "retry-after")


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
    app.state.sessions = Sessions(exchange.database.engine, exchange.settings.jwt_secret)
    app.state.faucet = Faucet(exchange, queries)
    app.state.health = HealthCheck(exchange)
    app.state.scrape = Scrape(exchange, queries)
    for router in (*openapi.api_routers(), openapi.router, scrape.router, site.router):
        app.include_router(router)
    app.router.default = Site(exchange.settings.frontend_dir, not_found=app.router.default)
    answer_refusals(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.sessions.close()
    await app.state.health.close()
