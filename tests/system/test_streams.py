"""The WebSocket, from outside: every update follows the one before, and the sum of them is the book."""

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.server import ExchangeServer

Message = dict[str, Any]


@asynccontextmanager
async def stream(exchange: ExchangeServer, *operations: Message) -> AsyncIterator[ClientConnection]:
    async with connect(exchange.url.replace("http", "ws") + "/ws/v1") as connection:
        for number, operation in enumerate(operations):
            await connection.send(json.dumps(operation | {"id": number}))
        yield connection


async def next_of(connection: ClientConnection, *types: str, channel: str | None = None) -> Message:
    """The next message of these types, on this channel where one is named."""
    async with asyncio.timeout(15):
        while True:
            message: Message = json.loads(await connection.recv())
            if message["type"] in types and channel in (None, message.get("channel")):
                return message


async def call(exchange: ExchangeServer, *arguments: Any) -> tuple[int, Any]:
    return await asyncio.to_thread(exchange.call, *arguments)


async def read_to_the_end(connection: ClientConnection) -> None:
    """Read until the connection closes, which raises ConnectionClosed."""
    while True:
        await connection.recv()


def order(side: str, price: int, quantity: str = "0.1") -> Message:
    terms = {"symbol": "ETH/USD", "side": side, "price": f"{price}.00", "quantity": quantity, "order_type": "Limit"}
    return terms | {"self_trade_prevention": "None"}  # some tests have one account on both sides


async def test_snapshot_and_updates_are_the_book_that_rest_serves(own_exchange: ExchangeServer) -> None:
    token = own_exchange.trader("maker", {"USD": "10000000", "ETH": "10000"})
    rng = random.Random(1)

    async def trade() -> None:
        for _ in range(300):
            await call(
                own_exchange,
                "POST",
                "/api/v1/orders",
                order(rng.choice(("Buy", "Sell")), 3000 + rng.randint(-9, 9)),
                token,
            )

    trading = asyncio.create_task(trade())
    await asyncio.sleep(0.3)
    async with stream(own_exchange, {"op": "subscribe", "channel": "depth", "symbol": "ETH-USD"}) as connection:
        snapshot = await next_of(connection, "snapshot")
        book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
        sequence, updates = snapshot["sequence"], 0
        await trading
        _, depth = await call(own_exchange, "GET", "/api/v1/markets/ETH-USD/depth?levels=1000")
        while sequence < depth["sequence"]:
            update = await next_of(connection, "update")
            assert update["prev_sequence"] == sequence < update["sequence"]
            sequence = update["sequence"]
            updates += 1
            for side in ("bids", "asks"):
                for price, quantity in update[side]:
                    if quantity == "0":
                        book[side].pop(price, None)  # it may have come and gone between two updates
                    else:
                        book[side][price] = quantity
    assert updates > 3
    for side in ("bids", "asks"):
        assert book[side] == dict(depth[side])


async def test_the_private_channel_tells_its_owner_everything_and_nobody_else(own_exchange: ExchangeServer) -> None:
    ann, bob = (own_exchange.trader(name, {"USD": "100000", "ETH": "10"}) for name in ("ann", "bob"))
    sign_in = [{"op": "authenticate", "token": ann}, {"op": "subscribe", "channel": "orders"}]
    async with (
        stream(own_exchange, *sign_in) as mine,
        stream(own_exchange, {"op": "authenticate", "token": bob}, sign_in[1]) as other,
    ):
        snapshot = await next_of(mine, "snapshot")
        assert snapshot["orders"] == []
        assert {balance["asset"]: balance["available"] for balance in snapshot["balances"]} == {
            "USD": "100000",
            "ETH": "10",
        }
        await next_of(other, "snapshot")
        _, placed = await call(own_exchange, "POST", "/api/v1/orders", order("Buy", 3000, "2"), ann)
        told = await next_of(mine, "update")
        assert told["prev_sequence"] == snapshot["sequence"]
        assert told["orders"] == [{key: value for key, value in placed.items() if key != "fills"}]
        await call(own_exchange, "POST", "/api/v1/orders", order("Sell", 3000, "0.5"), bob)
        filled = await next_of(mine, "update")
        assert (filled["prev_sequence"], filled["orders"][0]["status"]) == (told["sequence"], "PartiallyFilled")
        assert [(fill["order_id"], fill["quantity"], fill["liquidity"]) for fill in filled["fills"]] == [
            (placed["order_id"], "0.5", "Maker")
        ]
        theirs = await next_of(other, "update")
        assert [fill["liquidity"] for fill in theirs["fills"]] == ["Taker"]
        assert all(change["order_id"] != placed["order_id"] for change in theirs["orders"])
        await call(own_exchange, "DELETE", f"/api/v1/orders/{placed['order_id']}", None, ann)
        ended = await next_of(mine, "update")
        assert (ended["orders"][0]["status"], ended["orders"][0]["filled_quantity"]) == ("Cancelled", "0.5")


async def test_trades_and_ticker_follow_what_happens(own_exchange: ExchangeServer) -> None:
    token = own_exchange.trader("both", {"USD": "100000", "ETH": "10"})
    channels = [{"op": "subscribe", "channel": name, "symbol": "ETH/USD"} for name in ("trades", "ticker")]
    async with stream(own_exchange, *channels) as connection:
        assert (await next_of(connection, "snapshot", channel="trades"))["trades"] == []
        assert (await next_of(connection, "snapshot", channel="ticker"))["last_price"] is None
        await call(own_exchange, "POST", "/api/v1/orders", order("Buy", 3000), token)
        await call(own_exchange, "POST", "/api/v1/orders", order("Sell", 3000), token)
        (trade,) = (await next_of(connection, "update", channel="trades"))["trades"]
        assert (trade["price"], trade["quantity"], trade["side"]) == ("3000.00", "0.1", "Sell")
        ticker = await next_of(connection, "update", channel="ticker")
        while ticker["last_price"] is None:
            ticker = await next_of(connection, "update", channel="ticker")
        assert (ticker["last_price"], ticker["volume_24h"]) == ("3000.00", "0.1")


BAD = {
    "no JSON": ("{", "MALFORMED"),
    "a list": ("[]", "MALFORMED"),
    "unknown field": ('{"op":"ping","x":1}', "MALFORMED"),
    "unknown operation": ('{"op":"dance"}', "FIELD_INVALID"),
    "unknown channel": ('{"op":"subscribe","channel":"secrets","symbol":"BTC-USD"}', "FIELD_INVALID"),
    "unknown symbol": ('{"op":"subscribe","channel":"depth","symbol":"XRP-USD"}', "UNKNOWN_SYMBOL"),
    "no symbol": ('{"op":"subscribe","channel":"depth"}', "UNKNOWN_SYMBOL"),
    "not signed in": ('{"op":"subscribe","channel":"orders"}', "UNAUTHENTICATED"),
    "wrong token": ('{"op":"authenticate","token":"x.y.z"}', "UNAUTHENTICATED"),
    "too long": ('{"op":"ping","id":"' + "x" * 40_000 + '"}', "BODY_TOO_LARGE"),
    "deep": ("[" * 4000, "MALFORMED"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_operation_is_answered_and_the_connection_goes_on(
    exchange_server: ExchangeServer, name: str
) -> None:
    text, reason = BAD[name]
    async with stream(exchange_server) as connection:
        await connection.send(text)
        error = await next_of(connection, "error")
        assert (error["reason"], bool(error["detail"])) == (reason, True)
        await connection.send('{"op":"ping","id":7}')
        assert (await next_of(connection, "pong"))["id"] == 7


async def test_a_client_that_does_not_read_is_disconnected_and_slows_nobody(
    exchange_server: ExchangeServer, trader: Callable[..., str]
) -> None:
    token = trader(USD="1000000")
    for price in range(100, 300):
        await call(exchange_server, "POST", "/api/v1/orders", {**order("Buy", price, "1"), "symbol": "BTC/USD"}, token)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", exchange_server.port))
    async with connect(exchange_server.url.replace("http", "ws") + "/ws/v1", sock=slow, max_queue=1) as lazy:
        operation = json.dumps({"op": "subscribe", "channel": "depth", "symbol": "BTC-USD"})
        async with stream(exchange_server) as lively:
            for _ in range(3_000):  # each asks for a snapshot of 200 levels, and none is read
                await lazy.send(operation)
            await lively.send('{"op":"ping","id":1}')
            await next_of(lively, "pong")
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(read_to_the_end(lazy), 30)


async def test_a_restart_closes_the_streams_and_a_new_connection_begins_anew(own_exchange: ExchangeServer) -> None:
    async with stream(own_exchange, {"op": "subscribe", "channel": "depth", "symbol": "BTC-USD"}) as connection:
        await next_of(connection, "snapshot")
        await asyncio.to_thread(own_exchange.stop)
        with pytest.raises(ConnectionClosed):
            await read_to_the_end(connection)
        assert connection.close_code == 1012
    await asyncio.to_thread(own_exchange.start)
    async with stream(own_exchange, {"op": "subscribe", "channel": "depth", "symbol": "BTC-USD"}) as connection:
        assert (await next_of(connection, "snapshot"))["sequence"] >= 5
