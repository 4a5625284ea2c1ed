"""Access from outside a real exchange: keys on streams, what ends them, and what an operator does."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from typing import Any

import pyotp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.server import ExchangeServer
from tests.support.signing import Signer, hmac_signer

ORDER = {"symbol": "BTC/USD", "side": "Buy", "quantity": "1", "price": "100.00"}
PASSWORD = "correct horse battery"


def session_of(exchange: ExchangeServer, username: str) -> str:
    status, session = exchange.call("POST", "/api/v1/auth/login", {"username": username, "password": PASSWORD})
    assert status == 200, session
    token: str = session["access_token"]
    return token


def key_of(exchange: ExchangeServer, token: str, *scopes: str) -> Signer:
    body = {"label": "test", "kind": "hmac", "scopes": list(scopes)}
    status, key = exchange.call("POST", "/api/v1/api-keys", body, token)
    assert status == 201, key
    signer = hmac_signer(key["key_id"], key["secret"])
    for url in exchange.urls:  # where roles run apart, another process knows it a moment later
        _until_known(exchange, url, signer)
    return signer


def _until_known(exchange: ExchangeServer, url: str, signer: Signer) -> None:
    deadline = time.monotonic() + 15
    path = "/api/v1/api-keys/self"
    while exchange.call("GET", path, headers=signer.headers("GET", path), url=url)[0] == 401:
        assert time.monotonic() < deadline, "the key stays unknown"
        time.sleep(0.05)


def authentication(signer: Signer) -> dict[str, str]:
    """What a stream's client sends: the three headers of a GET of /ws/v1."""
    signed = signer.headers("GET", "/ws/v1")
    names = {"key": "X-Exchange-Key", "timestamp": "X-Exchange-Timestamp", "signature": "X-Exchange-Signature"}
    return {"op": "authenticate", **{name: signed[header] for name, header in names.items()}}


def connected(exchange: ExchangeServer) -> connect:
    return connect(exchange.url.replace("http", "ws") + "/ws/v1")


async def send(connection: ClientConnection, **operation: Any) -> None:
    await connection.send(json.dumps(operation))


async def next_of(connection: ClientConnection, *types: str) -> dict[str, Any]:
    async with asyncio.timeout(15):
        while True:
            message: dict[str, Any] = json.loads(await connection.recv())
            if message["type"] in types:
                return message


async def test_a_key_that_reads_hears_of_its_accounts_orders(exchange_server: ExchangeServer) -> None:
    token = exchange_server.trader("stream-reader", {"USD": "1000"})
    reader, trader = (key_of(exchange_server, token, scope) for scope in ("read", "trade"))
    async with connected(exchange_server) as connection:
        await send(connection, **authentication(trader))
        assert (await next_of(connection, "ack", "error"))["type"] == "ack"
        await send(connection, op="subscribe", channel="orders")
        assert (await next_of(connection, "ack", "error"))["reason"] == "SCOPE_MISSING"
        signed = authentication(reader)
        await send(connection, **signed)
        assert (await next_of(connection, "ack", "error"))["type"] == "ack"
        await send(connection, op="subscribe", channel="orders")
        assert (await next_of(connection, "snapshot"))["orders"] == []
        data = json.dumps(ORDER).encode()
        headers = trader.headers("POST", "/api/v1/orders", data)
        status, placed = await asyncio.to_thread(
            exchange_server.call, "POST", "/api/v1/orders", raw=data, headers=headers
        )
        assert status == 201, placed
        assert (await next_of(connection, "update"))["orders"][0]["order_id"] == placed["order_id"]
    async with connected(exchange_server) as other:
        await send(other, **signed)
        assert (await next_of(other, "ack", "error"))["reason"] == "REPLAYED"
        await send(other, **authentication(hmac_signer(reader.key_id, "guessed")))
        assert (await next_of(other, "ack", "error"))["reason"] == "SIGNATURE_INVALID"
        await send(other, op="authenticate", key="\ud800", timestamp="", signature="")
        assert (await next_of(other, "ack", "error"))["type"] == "error"


async def channels_within(connection: ClientConnection, seconds: float) -> set[str]:
    """Every channel that is heard of in this time."""
    heard: set[str] = set()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                heard.add(json.loads(await connection.recv()).get("channel", ""))
    return heard


@pytest.mark.parametrize("by_key", [True, False])
async def test_who_loses_access_loses_the_private_channel_and_keeps_the_public_ones(
    exchange_server: ExchangeServer, by_key: bool
) -> None:
    name = f"stream-loser-{by_key}".lower()
    token = exchange_server.trader(name, {"USD": "1000"})
    owner = session_of(exchange_server, name)
    async with connected(exchange_server) as connection:
        signer = key_of(exchange_server, owner, "read")
        await send(connection, **(authentication(signer) if by_key else {"op": "authenticate", "token": token}))
        assert (await next_of(connection, "ack", "error"))["type"] == "ack"
        await send(connection, op="subscribe", channel="orders")
        await next_of(connection, "snapshot")
        if by_key:
            await asyncio.to_thread(exchange_server.call, "DELETE", f"/api/v1/api-keys/{signer.key_id}", token=owner)
        else:
            await asyncio.to_thread(exchange_server.call, "DELETE", "/api/v1/auth/sessions", token=owner)
        told = await next_of(connection, "error")
        assert told["reason"] == ("KEY_REVOKED" if by_key else "UNAUTHENTICATED")
        await send(connection, op="subscribe", channel="orders")
        assert (await next_of(connection, "ack", "error"))["reason"] == "UNAUTHENTICATED"
        await send(connection, op="subscribe", channel="ticker", symbol="BTC-USD")
        assert (await next_of(connection, "snapshot"))["channel"] == "ticker"
        await asyncio.to_thread(exchange_server.call, "POST", "/api/v1/orders", ORDER, owner)
        assert "orders" not in await channels_within(connection, 1)


def operator(exchange: ExchangeServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exchange.cli.main", "users", *arguments]
    environ = {**os.environ, **exchange.environ}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def eventually(exchange: ExchangeServer, token: str, status: int) -> dict[str, Any]:
    """Try to place an order until it is answered so."""
    deadline = time.monotonic() + 15
    while True:
        given, answer = exchange.call("POST", "/api/v1/orders", ORDER, token)
        if given == status:
            found: dict[str, Any] = answer
            return found
        assert time.monotonic() < deadline, (given, answer)
        time.sleep(0.1)


def test_an_operator_freezes_and_thaws_an_account_of_a_running_exchange(exchange_server: ExchangeServer) -> None:
    token = exchange_server.trader("cold", {"USD": "10000"})
    _, placed = exchange_server.call("POST", "/api/v1/orders", ORDER, token)
    done = operator(exchange_server, "freeze", "Cold")
    assert (done.returncode, done.stdout) == (0, "Cold is frozen\n"), done.stderr
    assert eventually(exchange_server, token, 403)["reason"] == "ACCOUNT_FROZEN"
    assert exchange_server.call("DELETE", f"/api/v1/orders/{placed['order_id']}", token=token)[0] == 200
    assert operator(exchange_server, "thaw", "cold").returncode == 0
    eventually(exchange_server, token, 201)
    unknown = operator(exchange_server, "freeze", "nobody-at-all")
    assert (unknown.returncode, unknown.stderr) == (1, "Error: there is no user nobody-at-all\n")


def test_an_operator_removes_a_second_factor_that_was_lost(exchange_server: ExchangeServer) -> None:
    token = exchange_server.trader("forgetful")
    nothing = operator(exchange_server, "remove-second-factor", "forgetful")
    assert (nothing.returncode, "the user has no second factor" in nothing.stderr) == (1, True)
    factor = "/api/v1/auth/second-factor"
    _, enrolment = exchange_server.call("POST", factor, {"password": PASSWORD}, token)
    code = pyotp.TOTP(enrolment["secret"]).now()
    assert exchange_server.call("POST", f"{factor}/confirm", {"code": code}, token)[0] == 200
    credentials = {"username": "forgetful", "password": PASSWORD}
    assert exchange_server.call("POST", "/api/v1/auth/login", credentials)[1]["reason"] == "SECOND_FACTOR_REQUIRED"
    assert operator(exchange_server, "remove-second-factor", "forgetful").returncode == 0
    assert exchange_server.call("POST", "/api/v1/auth/login", credentials)[0] == 200


def test_keys_and_sessions_and_their_ends_survive_a_kill(own_exchange: ExchangeServer) -> None:
    token = own_exchange.trader("constant", {"USD": "1000"})
    signer = key_of(own_exchange, token, "read", "trade")
    revoked = key_of(own_exchange, token, "read")
    own_exchange.call("DELETE", f"/api/v1/api-keys/{revoked.key_id}", token=token)
    ended = session_of(own_exchange, "constant")
    own_exchange.call("DELETE", "/api/v1/auth/sessions", token=token)
    own_exchange.kill()
    own_exchange.start()

    def ask(headers: dict[str, str]) -> tuple[int, Any]:
        return own_exchange.call("GET", "/api/v1/balances", headers=headers)

    assert ask(signer.headers("GET", "/api/v1/balances"))[0] == 200
    assert ask(revoked.headers("GET", "/api/v1/balances"))[1]["reason"] == "KEY_REVOKED"
    assert ask({"Authorization": f"Bearer {token}"})[0] == 200
    assert ask({"Authorization": f"Bearer {ended}"})[1]["reason"] == "UNAUTHENTICATED"


def test_limits_are_the_operators() -> None:
    server = ExchangeServer(environ={"EXCHANGE_REQUESTS_PER_S": "3", "EXCHANGE_CANCELS_PER_S": "1"})
    try:
        server.start()
        token = server.trader("limited", {"USD": "1000"})
        statuses = [server.call("POST", "/api/v1/orders/test", ORDER, token)[0] for _ in range(20)]
        assert 200 in statuses and 429 in statuses
        assert server.call("DELETE", "/api/v1/orders", token=token)[0] == 200
    finally:
        server.close()
