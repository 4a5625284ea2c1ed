"""The short way of orders through the HTTP protocol: as uvicorn would do it, in one write."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from exchange.gateway.edge import BODY_BYTES_MAX
from exchange.gateway.http_protocol import KNOWN_HEADS_MAX, ExchangeProtocol

ORDER = b'{"symbol":"BTC/USD"}'


def request(*headers: bytes, method: bytes = b"POST", path: bytes = b"/api/v1/orders", body: bytes = ORDER) -> bytes:
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: test", b"Content-Type: application/json", *headers]
    if not any(line.lower().startswith((b"content-length", b"transfer-encoding")) for line in headers):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Edge:
    """An edge that tells which way a request came. Orders are answered when the gate is open."""

    urls = frozenset((b"/api/v1/orders", b"/api/v1/orders/orders", b"/api/v1/orders/batch"))

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = False
        self.seen: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]] = []  # path, headers and body of an order

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, _, body in self.seen]

    def take(self, scope: Any, body: bytes, reply: Callable[[int, bytes, bytes], None]) -> Awaitable[None] | None:
        assert "touched" not in scope
        scope["touched"] = True
        self.seen.append((scope["raw_path"], scope["headers"], body))

        async def wait() -> None:
            await self.gate.wait()
            reply(*answer)

        answer = (201, b"content-type: application/json\r\n", b'{"way":"short"}')
        return reply(*answer) if self.at_once else wait()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        answer = json.dumps({"way": "long", "method": scope["method"], "path": scope["path"], "bytes": len(body)})
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.encode()})


class Wire(asyncio.Transport):
    """A connection in memory: remembers every write."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 80)})
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Scene:
    def __init__(self, timeout_keep_alive: float = 5) -> None:
        self.edge, self.wire = Edge(), Wire()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]
        config = uvicorn.Config(self.edge, log_config=None, proxy_headers=False, timeout_keep_alive=timeout_keep_alive)  # type: ignore[arg-type]
        config.load()
        self.protocol = ExchangeProtocol(self.edge, config, self.state, app_state={})  # type: ignore[arg-type]
        self.protocol.connection_made(self.wire)

    def send(self, *data: bytes) -> None:
        for part in data:
            self.protocol.data_received(part)

    async def answers(self, count: int) -> list[dict[str, Any]]:
        """The bodies of so many answers, once they are there."""
        await until(lambda: b"".join(self.wire.writes).count(b"HTTP/1.1 ") >= count)
        await settle()
        parts = b"".join(self.wire.writes).split(b"HTTP/1.1 ")[1:]
        assert len(parts) == count
        return [json.loads(part.split(b"\r\n\r\n")[1]) for part in parts]

    async def ways(self, count: int) -> list[str]:
        return [answer["way"] for answer in await self.answers(count)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_batch_goes_the_short_way_too() -> None:
    scene = Scene()
    scene.send(request(path=b"/api/v1/orders/batch"))
    assert await scene.ways(1) == ["short"]
    scene.send(request(b"Origin: http://elsewhere", path=b"/api/v1/orders/batch"))
    assert (await scene.ways(2))[1] == "long"


async def test_an_order_is_answered_in_one_write() -> None:
    scene = Scene()
    scene.send(request())
    await scene.answers(1)
    assert scene.wire.writes[0] == (
        b"HTTP/1.1 201 Created\r\ndate: today\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n"
        b'{"way":"short"}'
    )


async def test_one_order_after_the_other() -> None:
    scene = Scene()
    for number in range(1, 4):
        scene.send(request())
        assert await scene.ways(number) == ["short"] * number
    assert scene.edge.bodies == [ORDER] * 3
    assert scene.state.total_requests == 3
    assert not scene.state.tasks


async def test_an_order_may_come_byte_by_byte() -> None:
    scene = Scene()
    data = request()
    scene.send(*(data[at : at + 1] for at in range(len(data))))
    assert await scene.ways(1) == ["short"]
    assert scene.edge.bodies == [ORDER]


async def test_what_is_not_a_plain_order_goes_the_long_way() -> None:
    others = [
        request(method=b"GET", body=b""),
        request(path=b"/api/v1/orders?x=1"),
        request(path=b"/api/v1/orders/"),
        request(path=b"/api/v1/order%73"),
        request(b"Origin: http://elsewhere"),
        request(b"X-Exchange-Key: k", b"X-Forwarded-For: 10.0.0.1"),
    ]
    scene = Scene()
    for number, data in enumerate(others, start=1):
        scene.send(data)
        assert await scene.ways(number) == ["long"] * number, data[:80]
    scene.send(request(b"X-Exchange-Key: k"))
    assert (await scene.ways(len(others) + 1))[-1] == "short"
    assert [answer.get("bytes") for answer in await scene.answers(len(others) + 1)] == [
        0, len(ORDER), len(ORDER), len(ORDER), len(ORDER), len(ORDER), None,
    ]  # fmt: skip


async def test_a_body_may_come_in_chunks() -> None:
    scene = Scene()
    chunks = b"5\r\n" + ORDER[:5] + b"\r\nf\r\n" + ORDER[5:] + b"\r\n0\r\n\r\n"
    scene.send(request(b"Transfer-Encoding: chunked", body=chunks))
    assert await scene.ways(1) == ["short"]
    assert scene.edge.bodies == [ORDER]


async def test_no_more_of_a_body_is_kept_than_shows_that_it_is_too_large() -> None:
    scene = Scene()
    data = request(body=b" " * 4 * BODY_BYTES_MAX)
    scene.send(*(data[at : at + 1000] for at in range(0, len(data), 1000)))
    assert await scene.ways(1) == ["short"]
    assert BODY_BYTES_MAX < len(scene.edge.bodies[0]) <= BODY_BYTES_MAX + 1000


async def test_requests_that_do_not_wait_are_answered_in_their_order() -> None:
    scene = Scene()
    scene.edge.gate.clear()
    scene.send(request() + request() + request(method=b"GET", path=b"/x", body=b"") + request())
    await settle()
    assert scene.wire.writes == []
    scene.edge.gate.set()
    answers = await scene.answers(4)
    assert [answer["way"] for answer in answers] == ["short", "long", "long", "long"]
    assert answers[2]["path"] == "/x"
    scene.send(request())
    assert (await scene.ways(5))[-1] == "short"


async def test_a_connection_that_is_to_end_is_closed_after_its_answer() -> None:
    scene = Scene()
    scene.send(request(b"Connection: close"))
    assert await scene.ways(1) == ["long"]
    assert scene.wire.closed


async def test_a_server_that_stops_answers_the_order_under_way() -> None:
    scene = Scene()
    scene.edge.gate.clear()
    scene.send(request())
    await settle()
    scene.protocol.shutdown()
    assert not scene.wire.closed
    scene.edge.gate.set()
    assert await scene.ways(1) == ["short"]
    assert b"\r\nconnection: close\r\n" in scene.wire.writes[0]
    assert scene.wire.closed


async def test_who_goes_away_is_not_answered() -> None:
    scene = Scene()
    scene.edge.gate.clear()
    scene.send(request())
    await settle()
    scene.protocol.connection_lost(None)
    scene.edge.gate.set()
    await until(lambda: not scene.state.tasks)
    assert scene.wire.writes == []


async def test_who_does_not_read_gets_no_more() -> None:
    scene = Scene()
    scene.protocol.pause_writing()
    scene.send(request())
    await settle()
    assert scene.wire.writes == []
    scene.protocol.resume_writing()
    assert await scene.ways(1) == ["short"]


async def test_an_idle_connection_is_closed_and_a_waiting_one_is_not() -> None:
    scene = Scene(timeout_keep_alive=0.02)
    scene.send(request())
    await scene.ways(1)
    scene.edge.gate.clear()
    scene.send(request())
    await asyncio.sleep(0.1)
    assert not scene.wire.closed
    scene.edge.gate.set()
    await scene.ways(2)
    await until(lambda: scene.wire.closed)


async def test_half_a_request_is_waited_for() -> None:
    scene = Scene(timeout_keep_alive=0.02)
    scene.send(request())
    await scene.ways(1)
    data = request()
    scene.send(data[:-5])
    await asyncio.sleep(0.1)
    scene.send(data[-5:])
    assert await scene.ways(2) == ["short", "short"]


# A head that was parsed before is not parsed again

OTHER = b'{"symbol":"ETH/USD","side":"Buy"}'
CHUNKED = request(b"Transfer-Encoding: chunked", body=b"14\r\n" + ORDER + b"\r\n0\r\n\r\n")
REQUESTS = [
    request(),
    request(body=OTHER),
    request(b"Authorization: Bearer x"),
    request(b"Authorization: Bearer x", body=OTHER),
    request(body=b""),
    request(method=b"GET", body=b""),
    CHUNKED,
    request(path=b"/api/v1/orders/batch"),
    request(b"Origin: http://elsewhere"),
    request(body=b"\r\n\r\n" + ORDER),
    b"\r\n" + request(),
]


def test_a_known_head_is_not_parsed_again() -> None:
    async def run() -> None:
        scene = Scene()
        scene.send(request())
        await scene.ways(1)
        scene.protocol.parser = None  # type: ignore[assignment]
        scene.send(request())
        await scene.ways(2)
        scene.send(request(body=b"[" + ORDER[1:-1] + b"]"))  # as long
        await scene.ways(3)

    asyncio.run(run())


@settings(max_examples=150, deadline=None)
@given(st.data(), st.booleans())
def test_what_is_known_changes_nothing(data: st.DataObject, at_once: bool) -> None:
    """Whatever pieces requests come in: the edge sees of each what it sees of it alone on a connection of its own."""
    sent = data.draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=8))

    async def run() -> None:
        scene = Scene()
        scene.edge.at_once = at_once
        expected = []
        for number, one in enumerate(sent, start=1):
            cuts = sorted(data.draw(st.lists(st.integers(0, len(one)), max_size=2))) if data.draw(st.booleans()) else []
            scene.send(*(one[a:b] for a, b in zip([0, *cuts], [*cuts, len(one)], strict=True) if a < b))
            alone = Scene()
            alone.send(one)
            expected += alone.edge.seen
            await alone.answers(1)
            assert scene.edge.seen == expected
            if data.draw(st.booleans()):
                await scene.answers(number)
        await scene.answers(len(sent))

    asyncio.run(run())


@pytest.mark.parametrize("at_once", [True, False])
async def test_heads_are_known_within_bounds(at_once: bool) -> None:
    scene = Scene()
    scene.edge.at_once = at_once
    for number in range(2 * KNOWN_HEADS_MAX):
        scene.send(request(b"X-Request-Id: %d" % number))
        await scene.answers(number + 1)
        assert 1 <= len(scene.protocol._known_heads) <= KNOWN_HEADS_MAX
    scene.send(request(b"X-Long: " + b"x" * 4_000))
    assert max(map(len, scene.protocol._known_heads)) < 1_000
