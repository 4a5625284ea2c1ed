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
from tests.support.stream_mirrors import (
    AccountMirror,
    CandlesMirror,
    DepthMirror,
    Mirror,
    OrdersMirror,
    TickerMirror,
    TradesMirror,
)
from tests.support.stream_socket import deflate

Message = dict[str, Any]


@asynccontextmanager
async def stream(
    exchange: ExchangeServer, *operations: Message, compression: str | None = "deflate"
) -> AsyncIterator[ClientConnection]:
    async with connect(exchange.url.replace("http", "ws") + "/ws/v1", compression=compression) as connection:
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
        for _ in range(1_500):  # a second at least: the channel tells every tenth of one
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
    "no interval": ('{"op":"subscribe","channel":"candles","symbol":"BTC-USD"}', "FIELD_INVALID"),
    "unknown interval": (
        '{"op":"subscribe","channel":"candles","symbol":"BTC-USD","interval":"2m"}',
        "FIELD_INVALID",
    ),
    "interval of no candles": (
        '{"op":"subscribe","channel":"depth","symbol":"BTC-USD","interval":"1m"}',
        "FIELD_INVALID",
    ),
    "resume from before the first": (
        '{"op":"subscribe","channel":"depth","symbol":"BTC-USD","resume_from":-1}',
        "MALFORMED",
    ),
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


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_compression_changes_nothing_but_the_bytes(
    exchange_server: ExchangeServer, trader: Callable[..., str], compression: str | None
) -> None:
    token = trader(USD="1000000", ETH="1000")
    channels = ("depth", "depth.raw", "l3", "trades")
    operations = [{"op": "subscribe", "channel": channel, "symbol": "ETH-USD"} for channel in channels]
    async with stream(exchange_server, *operations, compression=compression) as connection:
        agreed = [str(extension) for extension in connection.protocol.extensions]
        assert bool(agreed) == (compression is not None)
        mirrors: dict[str, Mirror] = {channel: CHANNELS[channel]() for channel in channels}
        await connection.send(json.dumps({"op": "ping", "id": "x" * 2_000}))  # compressed, where it is agreed upon
        await follow(connection, mirrors, lambda: False)
        for number in range(20):
            side = ("Buy", "Sell")[number % 2]
            status, placed = await call(exchange_server, "POST", "/api/v1/orders", order(side, 3_100, "0.1"), token)
            assert status == 201, placed
        trades = mirrors["trades"]
        assert isinstance(trades, TradesMirror)
        await follow(connection, mirrors, lambda: trades.sequence >= int(placed["sequence"]))
        assert [trade["quantity"] for trade in trades.trades[-10:]] == ["0.1"] * 10


async def test_a_message_that_inflates_to_too_much_or_not_at_all_ends_its_connection_alone(
    exchange_server: ExchangeServer,
) -> None:
    async with stream(exchange_server) as bystander:
        for payload, code in ((deflate(bytes(2**20)), 1009), (b"\xff\xff\xff", 1007)):
            async with stream(exchange_server) as connection:
                await connection.send('{"op":"ping","id":1}')
                await next_of(connection, "pong")
                connection.transport.write(bytes((0xC1, 0x80 | 126)) + len(payload).to_bytes(2) + bytes(4) + payload)
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(read_to_the_end(connection), 30)
                assert connection.close_code == code
        await bystander.send('{"op":"ping","id":1}')
        await next_of(bystander, "pong")


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


async def reaches(mirror: Mirror, sequence: int) -> None:
    for _ in range(600):
        if mirror.sequence >= sequence:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"it has come to {mirror.sequence}, not to {sequence}")


async def test_many_who_are_told_together_get_everything_and_whoever_is_slow_or_gone_holds_up_nobody(
    own_exchange: ExchangeServer,
) -> None:
    """Clients of another library, enough for their messages to be written by the thread; all is there to the end."""
    token = own_exchange.trader("both", {"USD": "10000000", "ETH": "10000"})
    channels = [{"op": "subscribe", "channel": name, "symbol": "ETH/USD"} for name in ("trades", "depth.raw")]
    mirrors = [(TradesMirror(), DepthMirror()) for _ in range(60)]

    async def listen(mine: tuple[TradesMirror, DepthMirror], number: int) -> Message:
        async with stream(own_exchange, *channels, compression="deflate" if number % 3 else None) as connection:
            while True:
                message: Message = json.loads(await connection.recv())
                if message["type"] == "shutdown":
                    with pytest.raises(ConnectionClosed):
                        await read_to_the_end(connection)
                    assert connection.close_code == 1012
                    return message
                if message["type"] in ("snapshot", "update"):
                    mine[message["channel"] == "depth.raw"].take(message)
                    if message["sequence"] % 10 == number % 10:  # something else to be written to it now and then
                        await connection.send(json.dumps({"op": "ping", "id": number}))
                        await connection.ping()

    listening = [asyncio.create_task(listen(mine, number)) for number, mine in enumerate(mirrors)]
    async with stream(own_exchange, *channels) as deaf, stream(own_exchange, *channels) as fickle:
        deaf.transport.pause_reading()  # type: ignore[attr-defined]
        traded: list[int] = []
        for number in range(160):
            side = ("Buy", "Sell")[number % 2]
            _, placed = await call(own_exchange, "POST", "/api/v1/orders", order(side, 3_000 + number // 50), token)
            traded += [int(fill["trade_id"]) for fill in placed["fills"]]
            if number % 10 == 0 and number < 100:
                await fickle.send(json.dumps({"op": "unsubscribe", "channel": "trades", "symbol": "ETH/USD"}))
                await fickle.send(json.dumps(channels[0]))
            if number == 100:
                fickle.transport.abort()
        _, depth = await call(own_exchange, "GET", "/api/v1/markets/ETH-USD/depth?levels=100")
        for _, raw in mirrors:
            await reaches(raw, depth["sequence"])
        await asyncio.to_thread(own_exchange.stop)
        goodbyes = await asyncio.gather(*listening)
        deaf.transport.abort()
    assert len({goodbye["sequence"] for goodbye in goodbyes}) == 1
    for trades, raw in mirrors:
        assert [int(trade["trade_id"]) for trade in trades.trades] == traded
        assert [[level[0] for level in side] for side in raw.levels()] == [
            [round(float(price) * 100) for price, _ in depth[side]] for side in ("bids", "asks")
        ]


async def test_a_restart_closes_the_streams_and_a_new_connection_begins_anew(own_exchange: ExchangeServer) -> None:
    async with stream(own_exchange, {"op": "subscribe", "channel": "depth", "symbol": "BTC-USD"}) as connection:
        snapshot = await next_of(connection, "snapshot")
        await asyncio.to_thread(own_exchange.stop)
        told = await next_of(connection, "shutdown")
        assert (told["reason"], told["sequence"] >= snapshot["sequence"]) == (
            "the exchange is restarting: connect again",
            True,
        )
        assert 0 < told["reconnect_after_ms"] < 60_000
        with pytest.raises(ConnectionClosed):
            await read_to_the_end(connection)
        assert connection.close_code == 1012
    await asyncio.to_thread(own_exchange.start)
    async with stream(own_exchange, {"op": "subscribe", "channel": "depth", "symbol": "BTC-USD"}) as connection:
        assert (await next_of(connection, "snapshot"))["sequence"] >= 5


CHANNELS: dict[str, type[Mirror]] = {
    "depth": DepthMirror,
    "depth.raw": DepthMirror,
    "l3": OrdersMirror,
    "trades": TradesMirror,
    "ticker": TickerMirror,
    "candles": CandlesMirror,
    "orders": AccountMirror,
}


def subscriptions(mirrors: dict[str, Mirror], *, resume: bool) -> list[Message]:
    operations = []
    for channel, mirror in mirrors.items():
        operation: Message = {"op": "subscribe", "channel": channel}
        if channel != "orders":
            operation["symbol"] = "ETH-USD"
        if channel == "candles":
            operation["interval"] = "1d"
        if resume:
            operation["resume_from"] = mirror.sequence
        operations.append(operation)
    return operations


async def follow(
    connection: ClientConnection,
    mirrors: dict[str, Mirror],
    until: Callable[[], bool],
    answers: list[Message] | None = None,
) -> None:
    """Let the mirrors take what comes, until something is so or a pong comes; keep the answers to operations."""
    async with asyncio.timeout(60):
        while not until():
            message = json.loads(await connection.recv())
            if message["type"] in ("ack", "error") and answers is not None:
                answers.append(message)
            elif message["type"] in ("snapshot", "update"):
                mirrors[message["channel"]].take(message)
            elif message["type"] == "pong":
                break


async def test_who_comes_back_after_a_restart_gets_what_was_missed_on_every_channel(
    own_exchange: ExchangeServer,
) -> None:
    token = own_exchange.trader("maker", {"USD": "10000000", "ETH": "10000"})
    rng = random.Random(7)
    placed: list[Message] = []

    async def trade(count: int) -> int:
        sequence = 0
        for _ in range(count):
            if placed and rng.random() < 0.3:
                order_id = placed.pop(rng.randrange(len(placed)))["order_id"]
                await call(own_exchange, "DELETE", f"/api/v1/orders/{order_id}", None, token)
            terms = order(rng.choice(("Buy", "Sell")), 3000 + rng.randint(-5, 5))
            _, answer = await call(own_exchange, "POST", "/api/v1/orders", terms, token)
            placed.append(answer)
            sequence = answer["sequence"]
        return sequence

    await trade(20)
    mirrors = {channel: make() for channel, make in CHANNELS.items()}
    sign_in = {"op": "authenticate", "token": token}
    async with stream(own_exchange, sign_in, *subscriptions(mirrors, resume=False)) as connection:
        seen = await trade(20)
        live = (mirrors["depth.raw"], mirrors["l3"], mirrors["orders"])
        await follow(connection, mirrors, lambda: all(mirror.sequence >= seen for mirror in live))
    await trade(15)
    await asyncio.to_thread(own_exchange.stop)
    await asyncio.to_thread(own_exchange.start)
    missed = await trade(15)
    token = (await call(own_exchange, "POST", "/api/v1/auth/login", credentials("maker")))[1]["access_token"]
    sign_in = {"op": "authenticate", "token": token}
    async with stream(own_exchange, sign_in, *subscriptions(mirrors, resume=True)) as connection:
        answers: list[Message] = []
        await follow(connection, mirrors, lambda: len(answers) > len(mirrors), answers)
        await connection.send('{"op":"ping","id":"all"}')  # what was missed comes behind its acknowledgement
        await follow(connection, mirrors, lambda: False)
    assert all(mirrors[name].sequence >= missed for name in ("depth", "depth.raw", "l3", "orders"))
    outcomes = {answer["id"]: answer.get("resume") for answer in answers}  # some take longer than others
    resumes = {name: outcomes[number] for number, name in enumerate(mirrors, start=1)}
    assert {name for name, outcome in resumes.items() if outcome != "replayed"} <= {"depth", "candles"}, answers
    await check_against_rest(own_exchange, mirrors, token)


def credentials(username: str) -> Message:
    return {"username": username, "password": "correct horse battery"}


async def check_against_rest(exchange: ExchangeServer, mirrors: dict[str, Mirror], token: str) -> None:
    _, book = await call(exchange, "GET", "/api/v1/markets/ETH-USD/depth?levels=1000")
    depth, raw, orders = mirrors["depth"], mirrors["depth.raw"], mirrors["l3"]
    assert isinstance(depth, DepthMirror) and isinstance(raw, DepthMirror) and isinstance(orders, OrdersMirror)
    assert depth.texts() == raw.texts() == orders.texts() == [book["bids"], book["asks"]]
    _, page = await call(exchange, "GET", "/api/v1/markets/ETH-USD/trades?limit=500")
    trades, candles = mirrors["trades"], mirrors["candles"]
    assert isinstance(trades, TradesMirror) and isinstance(candles, CandlesMirror)
    told = [trade["trade_id"] for trade in trades.trades]
    assert told == [trade["trade_id"] for trade in page["items"]][::-1][-len(told) :]
    assert sum(candle["trades"] for candle in candles.candles.values()) == len(page["items"])
    account = mirrors["orders"]
    assert isinstance(account, AccountMirror)
    _, page = await call(exchange, "GET", "/api/v1/orders?status=open&limit=500", None, token)
    living = ("Waiting", "Open", "PartiallyFilled")
    assert {item["order_id"]: item for item in page["items"]} == {
        order_id: told for order_id, told in account.orders.items() if told["status"] in living
    }
    _, page = await call(exchange, "GET", "/api/v1/fills?limit=500", None, token)
    ids = [fill["trade_id"] for fill in page["items"]][::-1]
    assert [fill["trade_id"] for fill in account.fills] == ids[len(ids) - len(account.fills) :]
    _, page = await call(exchange, "GET", "/api/v1/balances", None, token)
    assert {item["asset"]: item for item in page["items"] if item["total"] != "0"} == account.balances


async def test_who_claims_to_be_ahead_of_the_exchange_gets_a_snapshot(exchange_server: ExchangeServer) -> None:
    operation = {"op": "subscribe", "channel": "trades", "symbol": "BTC-USD", "resume_from": 10**15}
    async with stream(exchange_server, operation) as connection:
        answer = await next_of(connection, "ack")
        assert (answer["resume"], bool(answer["detail"])) == ("resnapshot", True)
        assert (await next_of(connection, "snapshot", "update"))["type"] == "snapshot"


async def test_candles_and_l3_follow_what_happens(own_exchange: ExchangeServer) -> None:
    token = own_exchange.trader("both", {"USD": "100000", "ETH": "10"})
    mirrors: dict[str, Any] = {"candles": CandlesMirror(), "l3": OrdersMirror()}
    async with stream(own_exchange, *subscriptions(mirrors, resume=False)) as connection:
        await follow(connection, mirrors, lambda: all(mirror.taken for mirror in mirrors.values()))
        for side, quantity in (("Buy", "0.3"), ("Sell", "0.1")):
            await call(own_exchange, "POST", "/api/v1/orders", order(side, 3000, quantity), token)
        await follow(connection, mirrors, lambda: bool(mirrors["candles"].candles))
        (candle,) = mirrors["candles"].candles.values()
        assert (candle["open"], candle["close"], candle["volume"], candle["trades"]) == ("3000.00", "3000.00", "0.1", 1)
        await follow(connection, mirrors, lambda: mirrors["l3"].taken >= 3)
        assert mirrors["l3"].texts() == [[["3000.00", "0.2"]], []]


class Wire:
    """A connection whose frames are made by hand."""

    def __init__(self, exchange: ExchangeServer) -> None:
        self._socket = socket.create_connection(("127.0.0.1", exchange.port), timeout=20)
        self._socket.sendall(
            b"GET /ws/v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._socket.recv(1)
        assert head.startswith(b"HTTP/1.1 101")

    def send(self, *frames: bytes) -> None:
        self._socket.sendall(b"".join(frames))

    def next(self) -> tuple[int, bytes]:
        """(first byte, payload) of the next frame."""
        first, length = self._read(2)
        if length >= 126:
            length = int.from_bytes(self._read(2 if length == 126 else 8))
        return first, self._read(length)

    def answer(self) -> Message:
        """The next message that is no heartbeat."""
        while True:
            first, payload = self.next()
            assert first == 0x81, (first, payload)
            message: Message = json.loads(payload)
            if message["type"] != "heartbeat":
                return message

    def close_code(self) -> int:
        while True:
            first, payload = self.next()
            if first == 0x88:
                return int.from_bytes(payload[:2])

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            assert part, "the connection ended without a word"
            data += part
        return data


def masked(first: int, payload: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    hidden = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else bytes((0x80 | 126, length >> 8, length & 0xFF))
    return bytes((first,)) + size + mask + hidden


PING_OPERATION = b'{"op":"ping","id":7}'


def test_a_message_in_pieces_with_a_ping_between_them_is_one_message(exchange_server: ExchangeServer) -> None:
    wire = Wire(exchange_server)
    wire.send(masked(0x01, PING_OPERATION[:5]), masked(0x89, b"there?"), masked(0x00, PING_OPERATION[5:9]))
    first, payload = wire.next()
    while first == 0x81:  # a heartbeat
        first, payload = wire.next()
    assert (first, payload) == (0x8A, b"there?")
    for byte in masked(0x80, PING_OPERATION[9:]):
        wire.send(bytes((byte,)))
    assert wire.answer()["id"] == 7
    wire.send(*(masked(0x81, b'{"op":"ping","id":%d}' % number) for number in range(300)))
    assert [wire.answer()["id"] for _ in range(300)] == list(range(300))
    wire.send(masked(0x88, b"\x03\xe8"))
    assert wire.close_code() == 1000


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (bytes((0x81, len(PING_OPERATION))) + PING_OPERATION, 1002),
        (masked(0xC1, PING_OPERATION), 1002),
        (masked(0x80, PING_OPERATION), 1002),
        (masked(0x83, PING_OPERATION), 1002),
        (masked(0x09, b"a ping in pieces"), 1002),
        (masked(0x01, b"{") + masked(0x81, b"}"), 1002),
        (b"\x81\xff" + (70_000).to_bytes(8, "big") + bytes(4), 1009),
        (b"".join([masked(0x01, b"x" * 40_000), masked(0x00, b"x" * 40_000)]), 1009),
    ],
    ids=["unmasked", "reserved bit", "nothing to go on", "reserved opcode", "ping in pieces", "begun twice", "too long",
         "too long in pieces"],
)  # fmt: skip
def test_who_breaks_the_protocol_is_told_and_nobody_else_notices(
    exchange_server: ExchangeServer, frame: bytes, code: int
) -> None:
    other, wire = Wire(exchange_server), Wire(exchange_server)
    wire.send(frame)
    assert wire.close_code() == code
    other.send(masked(0x81, PING_OPERATION))
    assert other.answer()["id"] == 7
