"""Who may do what with orders over a stream, and what it draws on: the rules of REST, message by message."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from sqlalchemy import update

from exchange.gateway.context import Exchange
from exchange.storage.tables import users
from tests.support.local_exchange import local_exchange, registered
from tests.support.signing import Signer, make_key

Message = dict[str, Any]
ORDER = {"symbol": "BTC/USD", "side": "Buy", "quantity": "1", "price": "100.00"}
LIMIT = 12  # two seconds' worth


@pytest.fixture
async def exchange(database_url: str) -> AsyncIterator[Exchange]:
    """An exchange whose clock of budgets stands still."""
    rates = {"EXCHANGE_REQUESTS_PER_S": str(LIMIT // 2), "EXCHANGE_CANCELS_PER_S": str(LIMIT // 2)}
    async with local_exchange(database_url, **rates) as running:
        running.access.limits._clock = lambda: 1000.0  # type: ignore[attr-defined]
        yield running


class Desk:
    """A connection that asks and waits for each answer."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def ask(self, op: str, **body: Any) -> Message:
        await self._socket.send_json({"op": op, "id": op, **body})
        while True:
            message: Message = await self._socket.receive_json(timeout=30)
            if message.get("id") == op:
                return message

    async def reason(self, op: str, **body: Any) -> str | None:
        """Why it was refused; None where it was not."""
        reason: str | None = (await self.ask(op, **body)).get("reason")
        return reason


@asynccontextmanager
async def desk(client: aiohttp.ClientSession, proof: Message | None) -> AsyncIterator[Desk]:
    async with client.ws_connect("/ws/v1") as socket:
        opened = Desk(socket)
        if proof is not None:
            assert (await opened.ask("authenticate", **proof))["type"] == "ack"
        yield opened


def of_session(headers: dict[str, str]) -> Message:
    return {"token": headers["authorization"].split()[1]}


def of_key(signer: Signer) -> Message:
    signed = signer.headers("GET", "/ws/v1")
    names = {"key": "X-Exchange-Key", "timestamp": "X-Exchange-Timestamp", "signature": "X-Exchange-Signature"}
    return {name: signed[header] for name, header in names.items()}


class World:
    """Alice has an order; keys of hers, and others, ask about it."""

    def __init__(self, client: aiohttp.ClientSession, exchange: Exchange) -> None:
        self.client, self.exchange = client, exchange

    async def begin(self) -> None:
        self.alice, self.session = await self.user("alice")
        async with self.client.post("/api/v1/orders", json=ORDER, headers=self.session) as answer:
            self.order_id = (await answer.json())["order_id"]

    async def user(self, name: str) -> tuple[int, dict[str, str]]:
        account, session = await registered(self.client, name)
        usd = self.exchange.catalogue.asset("USD")
        amount = usd.to_units("100000", "amount")
        await self.exchange.corridor.deposit(account, usd.number, amount)  # type: ignore[attr-defined]
        return account, session

    def operations(self) -> dict[str, tuple[str, Message]]:
        """Every operation on orders, with the permission that it needs. The one that ends the order comes last."""
        mine = {"order_id": self.order_id}
        return {
            "place": ("trade", ORDER),
            "test": ("trade", ORDER),
            "batch": ("trade", {"operations": [{"op": "place", **ORDER}]}),
            "order_list": ("trade", {"kind": "oco", "orders": [ORDER, ORDER]}),
            "amend": ("trade", {**mine, "quantity": "0.5"}),
            "order": ("read", mine),
            "timer": ("read", {}),
            "cancel_after": ("cancel", {"timeout_ms": 86_400_000}),
            "cancel_on_disconnect": ("cancel", {"on": True}),
            "replace": ("trade", {**mine, **ORDER, "mode": "stop_on_failure", "quantity": "0"}),
            "cancel": ("cancel", mine),
            "cancel_all": ("cancel", {}),
        }


@pytest.fixture
async def world(trading: aiohttp.ClientSession, exchange: Exchange) -> World:
    made = World(trading, exchange)
    await made.begin()
    return made


@pytest.mark.parametrize(
    ("scopes", "permissions"),
    [
        (["read"], {"read"}),
        (["trade"], {"trade", "cancel"}),
        (["transfer"], set()),
        (["read", "trade"], {"read", "trade", "cancel"}),
    ],
)
async def test_a_key_does_what_its_scopes_say(world: World, scopes: list[str], permissions: set[str]) -> None:
    signer, _ = await make_key(world.client, world.session, scopes=scopes)
    async with desk(world.client, of_key(signer)) as stream:
        for op, (permission, body) in world.operations().items():
            reason = await stream.reason(op, **body)
            assert (reason == "SCOPE_MISSING") == (permission not in permissions), (op, reason)
        if "read" not in permissions:
            assert await stream.reason("subscribe", channel="orders") == "SCOPE_MISSING"


async def test_a_key_stays_in_its_markets_and_below_its_caps(world: World) -> None:
    signer, _ = await make_key(world.client, world.session, symbols=["ETH/USD"], notional_max={"USD": "50"})
    async with desk(world.client, of_key(signer)) as stream:
        for op, body in {
            "place": ORDER,
            "test": ORDER,
            "cancel": {"order_id": world.order_id},
            "amend": {"order_id": world.order_id, "quantity": "0.5"},
            "replace": {**ORDER, "symbol": "ETH/USD", "price": "10.00", "order_id": world.order_id},
            "cancel_all": {},
            "cancel_after": {"timeout_ms": 5000},
            "cancel_on_disconnect": {"on": True, "scope": "account"},
        }.items():
            assert await stream.reason(op, **body) == "MARKET_FORBIDDEN", op
        answer = await stream.ask("batch", operations=[{"op": "place", **ORDER}])
        assert answer["result"]["outcomes"][0]["problem"]["reason"] == "MARKET_FORBIDDEN"
        assert await stream.reason("place", **ORDER | {"symbol": "ETH/USD"}) == "NOTIONAL_CAPPED"
        assert await stream.reason("place", **ORDER | {"symbol": "ETH/USD", "price": "10.00"}) is None


async def test_a_frozen_account_reads_and_cancels(world: World) -> None:
    async with world.exchange.database.engine.begin() as connection:
        mine = update(users).where(users.c.username == "alice")
        await connection.execute(mine.values(frozen_ns=time.time_ns()))
    await world.exchange.access.state.refresh()
    async with desk(world.client, of_session(world.session)) as stream:
        for op, (permission, body) in world.operations().items():
            reason = await stream.reason(op, **body)
            assert (reason == "ACCOUNT_FROZEN") == (permission == "trade"), (op, reason)


async def test_a_stranger_meets_nothing_of_anybody_else(world: World) -> None:
    _, stranger = await world.user("mallory")
    async with desk(world.client, of_session(stranger)) as stream:
        for op in ("amend", "cancel", "replace", "order"):
            body = world.operations()[op][1] | ({"quantity": "1"} if op == "replace" else {})
            answer = await stream.ask(op, **body)
            assert answer["reason"] == "UNKNOWN_ORDER", answer
        assert (await stream.ask("cancel_all"))["result"]["cancelled"] == 0
    async with desk(world.client, of_session(world.session)) as stream:
        assert (await stream.ask("order", order_id=world.order_id))["result"]["status"] == "Open"


async def test_orders_draw_on_the_budgets_of_rest_and_never_starve_cancels(world: World) -> None:
    async with desk(world.client, of_session(world.session)) as stream:
        left = (await stream.ask("place", **ORDER))["rate_limit"]
        assert left["limit"] == LIMIT
        while (refused := await stream.ask("place", **ORDER))["type"] == "ack":
            assert refused["rate_limit"]["remaining"] == left["remaining"] - 1
            left = refused["rate_limit"]
        assert (refused["reason"], refused["status"], refused["retry_after_s"]) == ("THROTTLED", 429, 1)
        assert refused["rate_limit"] == {"limit": LIMIT, "remaining": 0, "reset": 2}
        async with world.client.get("/api/v1/balances", headers=world.session) as answer:
            assert answer.status == 429, "one budget, whichever way"
        for number, (op, body) in enumerate(
            (
                ("cancel", {"order_id": world.order_id}),
                ("cancel_after", {"timeout_ms": 5000}),
                ("cancel_on_disconnect", {"on": True}),
                ("batch", {"operations": [{"op": "cancel", "order_id": "999"}]}),
                ("cancel_all", {}),
            ),
            start=1,
        ):
            answered = await stream.ask(op, **body)
            assert answered["type"] == "ack", answered
            assert answered["rate_limit"]["remaining"] == LIMIT - number
        mixed = {"operations": [{"op": "cancel", "order_id": "999"}, {"op": "place", **ORDER}]}
        assert await stream.reason("batch", **mixed) == "THROTTLED"
