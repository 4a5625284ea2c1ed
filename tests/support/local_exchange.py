"""An exchange for tests of the edge: the reference engine, a real journal and real tables, one command at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
import uvicorn
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from engine.orders.batches import Answer, deliver, fail
from engine.records import MarketState
from exchange.contracts import commands, events
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.corridor.client_orders import ClientOrders, Placing, Request
from exchange.corridor.genesis import genesis
from exchange.corridor.live import Live
from exchange.gateway.app import create_app
from exchange.gateway.context import Exchange, Role
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
from exchange.gateway.websocket import StreamSocket
from exchange.projections.runner import ProjectionRunner
from exchange.settings import Settings
from exchange.storage.database import Database, open_database
from exchange.storage.journal import Entry
from tests.support.journal import JournalWriter

SECRET = "nothing-but-the-tests-use-these-32-bytes"


def _keyed(account: int, requests: Sequence[tuple[bytearray, str | None]]) -> list[Request]:
    return [(None if name is None else (account, name), command) for command, name in requests]


async def _find_nothing(account: int, client_order_id: str) -> None:
    """Nothing was there before the test began."""


@dataclass
class LocalCorridor:
    """Applies, journals and publishes each command at once. ``now_ns`` stamps it; ``role`` may be set."""

    journal: JournalWriter
    live: Live
    projections: ProjectionRunner
    role: Role = "leader"
    sequence: int = 0
    now_ns: int | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    submitting: set["asyncio.Future[None]"] = field(default_factory=set)
    told_of: dict[int, int] = field(default_factory=dict)
    client_orders: ClientOrders = field(default_factory=lambda: ClientOrders(_find_nothing, lambda: 0))

    async def submit(self, command: bytearray) -> Entry:
        if self.role != "leader":
            raise refuse(EdgeReason.UNAVAILABLE, "this exchange does not lead")
        async with self.turn:
            commands.stamp(command, self.sequence + 1, self.now_ns or time.time_ns())
            (made,) = self.journal.apply([bytes(command)])
            await self.journal.append([made])
            self.sequence = made.sequence
            changes = self.live.apply([Entry(made.sequence, made.command, made.events)])
        for account in changes.accounts:
            self.told_of[account] = changes.sequence
        self.projections.nudge(self.sequence)
        return Entry(made.sequence, made.command, made.events)

    async def place(self, command: bytearray, account: int, client_order_id: str | None) -> tuple[Entry, bool]:
        return await (await self.begin(command, account, client_order_id)).result()

    async def begin(self, command: bytearray, account: int, client_order_id: str | None) -> Placing:
        if client_order_id is None:
            return self._submit_now(command)
        return await self.client_orders.begin((account, client_order_id), command, self._submit_now)

    def begin_now(self, command: bytearray, account: int, client_order_id: str | None) -> Placing | None:
        if client_order_id is None:
            return self._submit_now(command)
        return self.client_orders.begin_now((account, client_order_id), command, self._submit_now)

    async def begin_all(
        self, account: int, requests: Sequence[tuple[bytearray, str | None]], *, linked: bool = False
    ) -> list[Placing]:
        submit = partial(self._submit_together, linked=linked)
        return await self.client_orders.begin_all(_keyed(account, requests), submit, linked=linked)

    def begin_all_now(
        self, account: int, requests: Sequence[tuple[bytearray, str | None]]
    ) -> list[Answer[Entry]] | None:
        return self.client_orders.begin_all_now(_keyed(account, requests), self._submit_together)

    def _submit_together(self, batch: Sequence[bytearray], linked: bool = False) -> list[Answer[Entry]]:
        answers: list[Answer[Entry]] = []
        for command in batch:
            answers.append(self._submit_now(command, answers[-1] if linked and answers else None))
        return answers

    def _submit_now(self, command: bytearray, before: Answer[Entry] | None = None) -> Answer[Entry]:
        answer: Answer[Entry] = Answer(command)

        async def submit() -> None:
            try:
                if before is not None:
                    commands.link(command, (await before).sequence)
                deliver([answer], [await self.submit(command)])
            except Exception as error:
                fail([answer], error)

        task = asyncio.ensure_future(submit())
        self.submitting.add(task)
        task.add_done_callback(self.submitting.discard)
        return answer

    async def barrier(self) -> int:
        async with self.turn:
            return self.sequence

    @property
    def takes_orders(self) -> bool:
        return self.role == "leader"

    @property
    def ready(self) -> bool:
        return self.role == "leader"

    async def head(self) -> int:
        return self.sequence

    async def told(self, account: int) -> int:
        return self.told_of.get(account, 0)

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        return self.journal.engine.balance(account, asset)

    def fee_shares(self, account: int) -> tuple[int, int]:
        return self.journal.engine.fee_shares(account)

    def cancel_after(self, account: int) -> int:
        return self.journal.engine.cancel_after(account)

    def state(self, market: int) -> MarketState:
        return self.journal.engine.state(market)

    async def deposit(self, account: int, asset: int, amount: int) -> Entry:
        return await self.submit(commands.deposit(account, asset, amount))


@asynccontextmanager
async def local_exchange(database_url: str, **changes: str) -> AsyncIterator[Exchange]:
    """An exchange with the demo markets on a fresh database. ``changes``: variables of its environment."""
    environ = {"JWT_SECRET": SECRET, "EXCHANGE_FRONTEND_DIR": "/nonexistent", **changes}
    settings = Settings.load(environ)
    database: Database = await open_database(database_url)
    projections = ProjectionRunner(database.dsn, 1)
    catalogue = Catalogue()
    live = Live(catalogue)
    journal = JournalWriter(database_url)
    await journal.lead()
    corridor = LocalCorridor(journal, live, projections)
    following = asyncio.create_task(projections.run())
    for definition in genesis():
        await corridor.submit(definition)
    try:
        yield Exchange(settings, database, corridor, projections, live, catalogue)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await database.close()


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the application on a real server."""
    http = partial(ExchangeProtocol, app) if isinstance(app, FrontDoor) else "auto"
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, lifespan="on", ws=StreamSocket, http=http,  # type: ignore[arg-type]
    )  # fmt: skip
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        assert not running.done(), "the server did not start"
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=aiohttp.DummyCookieJar()) as client:
            yield client
    finally:
        server.should_exit = True
        await running


def with_order_entry(exchange: Exchange) -> FrontDoor:
    """The application with order entry: straight, the long way, and over streams (which publish nothing here)."""
    app = create_app(exchange)
    entry = OrderEntry(exchange, app.state.queries)
    changes, foresight, dead_man = OrderChanges(entry), Foresight(entry), DeadMan(exchange)
    batches, disconnects = OrderBatches(entry, changes), Disconnects(exchange, dead_man)
    stream_orders = StreamOrders(entry, changes, batches, foresight, dead_man, disconnects)
    streams = StreamServer(exchange, Hub(exchange.catalogue, exchange.live), stream_orders.operations())
    routes = [route for part in (batches, foresight, dead_man, changes, entry) for route in part.routes()]
    app.router.routes[:0] = [*routes, WebSocketRoute("/ws/v1", streams.serve)]
    return FrontDoor(app, entry.short_ways() | batches.short_ways())


async def registered(client: aiohttp.ClientSession, username: str = "alice") -> tuple[int, dict[str, str]]:
    """Open an account; return its number and the headers that sign it in."""
    body = {"username": username, "password": "correct horse battery"}
    async with client.post("/api/v1/auth/register", json=body) as answer:
        session: dict[str, Any] = await answer.json()
        assert answer.status == 201, session
    return int(session["account_id"]), {"authorization": f"Bearer {session['access_token']}"}


def is_rejected(entry: Entry) -> bool:
    return events.is_rejected(entry.events)
