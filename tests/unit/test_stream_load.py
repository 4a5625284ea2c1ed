"""The load generator over the WebSocket: frames that a server reads, so many orders under way, answers counted once."""

import asyncio
import json
import random
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from exchange.simulation.load import LoadResult, LoadSettings, OrderMix, Requests, measure
from exchange.simulation.stream_load import open_pipelines, place_frame, split_frames, text_frame

MIX = OrderMix(5_000_000)


class Exchange:
    """Answers orders when it has as many as a client keeps under way, the last one first."""

    def __init__(self, depth: int, status: int = 201) -> None:
        self.depth, self.status = depth, status
        self.waiting: list[dict[str, Any]] = []
        self.most = 0
        self.ids: set[str] = set()
        self.client_ids: set[str] = set()

    async def __call__(self, connection: ServerConnection) -> None:
        assert json.loads(await connection.recv()) == {"op": "authenticate", "token": "secret"}
        await connection.send(json.dumps({"type": "ack", "id": None, "op": "authenticate"}))
        async for text in connection:
            order = json.loads(text)
            assert order["op"] == "place"
            assert order["id"] not in self.ids, "no two of a connection are alike"
            self.ids.add(order["id"])
            self.client_ids.add(order["client_order_id"])
            self.waiting.append(order)
            self.most = max(self.most, len(self.waiting))
            if len(self.waiting) == self.depth:
                await connection.send('{"type":"heartbeat","sequence":1}')
                while self.waiting:
                    answer = {"type": "ack", "id": self.waiting.pop()["id"], "op": "place", "status": self.status}
                    await connection.send(json.dumps(answer | {"result": {"x": "y" * 200}}, separators=(",", ":")))


async def drive(exchange: Exchange, depth: int) -> LoadResult:
    async with serve(exchange, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        bodies = MIX.bodies("BTC/USD", "load-0-", random.Random(1), 20)
        frames = [Requests([place_frame(body) for body in bodies], random.Random(2))]
        pipelines = await open_pipelines(url, ["secret"], frames, depth, LoadResult())
        return await measure(LoadSettings(url, 1, 0.5, 0.0), pipelines)


async def test_so_many_are_under_way_and_each_answer_is_counted_once() -> None:
    exchange = Exchange(8)
    result = await drive(exchange, 8)
    assert exchange.most == 8
    assert result.latency.count > 8
    assert result.document()["statuses"] == {"201": result.latency.count}
    assert result.accepted == result.latency.count
    assert len(exchange.client_ids) == len(exchange.ids) >= result.latency.count
    assert not result.failures


async def test_refusals_are_told_apart() -> None:
    result = await drive(Exchange(4, status=422), 4)
    assert result.accepted == 0
    assert set(result.statuses) == {422}


async def test_a_server_that_speaks_no_websocket_is_named() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        pipelines = await open_pipelines(url, ["x"], [lambda: b""], 1, LoadResult())
        result = await asyncio.wait_for(measure(LoadSettings(url, 1, 30.0, 0.0), pipelines), 20)
    assert result.failures == {"no WebSocket: HTTP/1.1 404 Not Found": 1}


@pytest.mark.parametrize("length", [0, 125, 126, 300, 65_535])
def test_frames_have_the_lengths_of_the_protocol(length: int) -> None:
    frame = text_frame(b"x" * length)
    header = 6 if length < 126 else 8
    assert (len(frame), frame[:1], frame[header:]) == (header + length, b"\x81", b"x" * length)


def test_frames_are_split_however_they_arrive() -> None:
    payloads = [b"a", b"b" * 125, b"c" * 126, b"d" * 70_000, b""]
    sent = b""
    for payload in payloads:
        size = len(payload)
        long = b"\x7e" + size.to_bytes(2) if size < 65_536 else b"\x7f" + size.to_bytes(8)
        sent += b"\x81" + (bytes((size,)) if size < 126 else long) + payload
    for step in (1, 7, 1000, len(sent)):
        found: list[bytes] = []
        rest = b""
        for start in range(0, len(sent), step):
            more, rest = split_frames(rest + sent[start : start + step])
            found += more
        assert (found, rest) == (payloads, b"")


def test_a_batch_names_each_of_its_orders() -> None:
    batch = json.loads(MIX.batch("BTC/USD", "load-1-", random.Random(1), 50).replace(b"#########", b"000000001"))
    ids = [operation["client_order_id"] for operation in batch["operations"]]
    assert len(set(ids)) == 50
    assert {operation["op"] for operation in batch["operations"]} == {"place"}
    assert all(len(name) <= 36 for name in ids)
