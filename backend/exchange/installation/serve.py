"""`exchange serve`: everything that one machine needs, in one process and its children.

home lock and embedded Postgres (or DATABASE_URL) ─> migrations ─> corridor and API ─> demo account, demo market
"""

import asyncio
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from exchange.installation.children import start_child, stop_child
from exchange.installation.demo_account import USERNAME, ensure_demo_account
from exchange.installation.secrets import installation_secrets
from exchange.main import RunningExchange, Server, build_app, open_exchange
from exchange.observability.garbage import calm_garbage_collection
from exchange.observability.logging import configure_logging
from exchange.settings import Settings, default_home
from exchange.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError
from exchange.storage.migrate import upgrade

Tell = Callable[[str], None]
DATABASE_LOOK_S = 0.5
logger = logging.getLogger("exchange")


class ServeError(Exception):
    """The exchange cannot start. The text names the next step."""


def load_settings() -> tuple[Settings, dict[str, str]]:
    """Return (settings, installation secrets); production has no installation secrets.

    Raises SettingsError, SecretsError.
    """
    if os.environ.get("EXCHANGE_ENV", "").lower() == "production":
        return Settings.load(os.environ), {}
    home = Path(os.environ.get("EXCHANGE_HOME") or default_home()).expanduser()
    secrets = installation_secrets(home)
    return Settings.load(os.environ, secrets), secrets


def run(*, demo: bool, tell: Tell) -> None:
    """Run until interrupted (SIGINT, SIGTERM). ``tell`` gets a line a step."""
    settings, secrets = load_settings()
    configure_logging(settings.log_level)
    if demo and settings.production:
        raise ServeError("the demo market plays with demo money: it does not run with EXCHANGE_ENV=production")
    postgres: EmbeddedPostgres | None = None
    try:
        if settings.database_url is None:
            started = time.monotonic()
            postgres = EmbeddedPostgres(settings.home, secrets["POSTGRES_PASSWORD"])
            settings = replace(settings, database_url=postgres.start())
            tell(f"database    embedded PostgreSQL in {settings.home} ({time.monotonic() - started:.1f} s)")
        else:
            tell("database    DATABASE_URL")
        uvloop.run(_serve(settings, secrets, postgres, demo, tell))
    finally:
        if postgres is not None:
            postgres.stop()


async def _serve(
    settings: Settings, secrets: dict[str, str], postgres: EmbeddedPostgres | None, demo: bool, tell: Tell
) -> None:
    assert settings.database_url is not None
    applied = await upgrade(settings.database_url)
    tell(f"schema      {len(applied)} migrations applied" if applied else "schema      up to date")
    async with open_exchange(settings) as exchange:
        server = Server(exchange.settings, build_app(exchange), exchange.hub)
        serving = asyncio.create_task(_listen(server, settings), name="server")
        stopping = _stop_signal()
        stopped = asyncio.create_task(stopping.wait())
        keeping = asyncio.create_task(_keep_running(postgres)) if postgres is not None else None
        child: subprocess.Popen[bytes] | None = None
        try:
            if await _until_open(exchange, (serving, stopped), tell):
                child = await _open_market(exchange, secrets, demo, tell)
            await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if child is not None:  # before the server, so that the robots can cancel their quotes
                await asyncio.to_thread(stop_child, child)
            server.should_exit = True
            stopped.cancel()
            if keeping is not None:
                keeping.cancel()
            await serving


async def serve_until_stopped(server: Server, settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Raises ServeError where the port is taken."""
    serving = asyncio.create_task(_listen(server, settings), name="server")
    stopping = _stop_signal()
    stopped = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        stopped.cancel()
        await serving


async def _keep_running(postgres: EmbeddedPostgres) -> None:
    """Start the embedded server again when it dies; the corridor recovers from its journal by itself."""
    while True:
        await asyncio.sleep(DATABASE_LOOK_S)
        if postgres.running:
            continue
        logger.error("the embedded PostgreSQL has died; starting it again")
        try:
            await asyncio.to_thread(postgres.start)
        except EmbeddedPostgresError as error:
            logger.error("the embedded PostgreSQL does not start: %s", error)


def _stop_signal() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set from now on."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def _listen(server: Server, settings: Settings) -> None:
    try:
        await server.serve()
    except SystemExit as error:  # uvicorn's way to say that it could not listen
        raise ServeError(
            f"cannot listen on {settings.host}:{settings.port}: another program has the port; "
            "set EXCHANGE_PORT to a free one"
        ) from error


async def _until_open(exchange: RunningExchange, ends: "Sequence[asyncio.Task[Any]]", tell: Tell) -> bool:
    """Wait until orders are taken; False when one of ``ends`` came first."""
    started = time.monotonic()
    leading = asyncio.create_task(exchange.until_leading())
    told = False
    while not leading.done() and not any(end.done() for end in ends):
        await asyncio.wait((leading, *ends), timeout=2.0, return_when=asyncio.FIRST_COMPLETED)
        if not leading.done() and not told and exchange.corridor.role == "standby":
            tell("engine      another process leads: standing by")
            told = True
    if not leading.done():
        leading.cancel()
        return False
    calm_garbage_collection()
    corridor = exchange.corridor
    took_s = time.monotonic() - started
    tell(f"engine      leading at sequence {corridor.sequence}, {corridor.open_orders()} open orders ({took_s:.1f} s)")
    return True


async def _open_market(
    exchange: RunningExchange, secrets: dict[str, str], demo: bool, tell: Tell
) -> "subprocess.Popen[bytes] | None":
    settings = exchange.settings
    is_local = settings.host in ("127.0.0.1", "0.0.0.0")  # noqa: S104 - compared with, not bound to
    url = f"http://{'localhost' if is_local else settings.host}:{settings.port}"
    tell(f"open        {url}")
    tell(f"api         {url}/swagger-ui")
    if not demo:
        return None
    await ensure_demo_account(exchange, secrets["DEMO_PASSWORD"])
    tell(f"demo login  {USERNAME} / {secrets['DEMO_PASSWORD']}")
    environ = {"EXCHANGE_DEMO_ROBOT_PASSWORD": secrets["EXCHANGE_DEMO_ROBOT_PASSWORD"]}
    child = start_child(["demo", "--url", url.replace("localhost", "127.0.0.1")], environ)
    tell("demo market running; stop everything with Ctrl-C")
    return child


def interrupt_on_terminate() -> None:
    """Let SIGTERM before the server listens end the start like Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
