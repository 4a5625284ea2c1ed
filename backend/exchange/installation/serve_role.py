"""`exchange serve ROLE`: one role of an exchange whose roles run apart, over the operator's database and Redis."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

import uvloop

from exchange.installation.serve import ServeError, load_settings, serve_until_stopped
from exchange.main import Server
from exchange.observability.garbage import calm_garbage_collection
from exchange.observability.logging import configure_logging
from exchange.roles import Role, RoleName, open_role
from exchange.settings import PORT_OF, Settings
from exchange.storage.migrate import upgrade

Tell = Callable[[str], None]


def run_role(role: RoleName, tell: Tell) -> None:
    """Run a role until interrupted (SIGINT, SIGTERM). ``tell`` gets a line a step. Raises ServeError."""
    settings, _ = load_settings()
    configure_logging(settings.log_level)
    for name, url in (("DATABASE_URL", settings.database_url), ("REDIS_URL", settings.redis_url)):
        if url is None:
            raise ServeError(f"the role {role} runs apart from the others: set {name}; `exchange serve` needs neither")
    if not os.environ.get("EXCHANGE_PORT"):
        settings = replace(settings, port=PORT_OF[f"exchange-{role}"])
    uvloop.run(_serve(role, settings, tell))


async def _serve(role: RoleName, settings: Settings, tell: Tell) -> None:
    assert settings.database_url is not None
    applied = await upgrade(settings.database_url)
    tell(f"schema      {len(applied)} migrations applied" if applied else "schema      up to date")
    async with open_role(role, settings) as running:
        telling = asyncio.create_task(_tell_ready(role, settings, running, tell))
        await serve_until_stopped(Server(settings, running.app, running.hub), settings)
        telling.cancel()


async def _tell_ready(name: RoleName, settings: Settings, role: Role, tell: Tell) -> None:
    while not role.ready():  # noqa: ASYNC110 - at start only, and 20 ms do not matter there
        await asyncio.sleep(0.02)
    calm_garbage_collection()
    tell(f"{name:<11} ready on http://{settings.host}:{settings.port}")
