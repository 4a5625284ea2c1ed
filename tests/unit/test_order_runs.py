"""Orders of one read are carried out in one go: each is answered as it would be by itself, in the same order."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from exchange.corridor import writer
from exchange.gateway import streams
from exchange.gateway.rate_limits import LocalRateLimits
from exchange.simulation.stream_load import text_frame
from tests.performance.order_path import UPGRADE, Scene, StreamWire, scene
from tests.support.stream_socket import messages_of

Message = dict[str, Any]


@pytest.fixture
async def exchange() -> AsyncIterator[Scene]:
    async with scene(4) as made:
        yield made


class Desk:
    """A connection in memory, signed in."""

    def __init__(self, exchange: Scene) -> None:
        self._exchange = exchange
        self._arrived = asyncio.Event()
        self.answers: list[Message] = []
        self.is_open = True

    async def open(self, token: str) -> "Desk":
        wire = StreamWire(self._take)
        self._exchange.open(wire).data_received(UPGRADE)
        await self._arrived.wait()
        self.protocol = wire.protocol
        self._exchange.on_close.append(self.close)
        self.send([json.dumps({"op": "authenticate", "id": "first", "token": token}).encode()])
        await self.until("first")
        self.answers.clear()
        return self

    async def close(self) -> None:
        """End the connection, and let the exchange notice."""
        if self.is_open:
            self.is_open = False
            self.protocol.connection_lost(None)
        for _ in range(5):
            await asyncio.sleep(0)

    def _take(self, frames: bytes) -> None:
        if frames.startswith(b"HTTP/1.1 101"):
            frames = frames.partition(b"\r\n\r\n")[2]
        self.answers += [message for message in messages_of(frames) if message["type"] != "heartbeat"]
        self._arrived.set()

    def send(self, messages: list[bytes]) -> None:
        """Send in one write, which is one read of the exchange."""
        self.protocol.data_received(b"".join(map(text_frame, messages)))

    async def until(self, *identities: int | str) -> None:
        async with asyncio.timeout(30):
            while not {answer.get("id") for answer in self.answers}.issuperset(identities):
                self._arrived.clear()
                await self._arrived.wait()

    async def count(self, number: int) -> None:
        """Wait for so many answers."""
        async with asyncio.timeout(30):
            while len(self.answers) < number:
                self._arrived.clear()
                await self._arrived.wait()


def order(identity: int, **terms: Any) -> bytes:
    asked = {"op": "place", "id": identity, "symbol": "BTC/USD", "side": "Buy", "quantity": "0.01", "price": "50000.00"}
    return json.dumps(asked | terms, separators=(",", ":")).encode()


def mixture(rng: random.Random) -> list[bytes]:
    """Messages whose answers do not depend on who else trades."""
    kinds = [
        lambda n: order(n, client_order_id=f"id-{n}"),
        lambda n: order(n),
        lambda n: order(n, client_order_id="same"),
        lambda n: order(n, client_order_id="same", price="49999.00"),
        lambda n: order(n, price="50000.001"),
        lambda n: order(n, quantity="10000", price="900000.00"),
        lambda n: order(n, symbol="NO/SUCH"),
        lambda n: order(n, post_only=True, time_in_force="IOC"),
        lambda n: order(n, price="50001.00", post_only=True, slide=True),
        lambda n: order(n, more=1),
        lambda n: order(n, op="test"),
        lambda n: order(n)[:-1] + b',"op":"ping"}',
        lambda n: order(n)[:-1] + b',"op":"place"}',
        lambda n: b'{"op":"place","id":%d' % n,
        lambda n: b'{"op":"ping","id":%d}' % n,
        lambda n: b'{"op":"cancel","id":%d,"order_id":"x"}' % n,
        lambda n: b'{"op":"cancel_all","id":%d}' % n,
        lambda n: json.dumps({"op": "batch", "id": n, "operations": []}, separators=(",", ":")).encode(),
    ]  # fmt: skip
    weights = [12, 12, *[1] * (len(kinds) - 2)]
    return [kind(number) for number, kind in enumerate(rng.choices(kinds, weights, k=150))]


def plain(answers: list[Message]) -> list[Any]:
    """Answers without what is another one in every run; who has none of an id is known by its place among those."""
    numbers: dict[str, int] = {}

    def cleaned(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cleaned(key, inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [cleaned(name, inner) for inner in value]
        if name in ("sequence", "order_id", "order_ids"):
            return numbers.setdefault(str(value), len(numbers))
        return None if name in ("created_at", "updated_at", "timestamp_ns", "remaining", "reset", "detail") else value

    ordered = sorted(answers, key=lambda answer: (answer["id"] is None, answer["id"] or 0))
    return [cleaned("", answer) for answer in ordered]


@pytest.mark.parametrize("seed", range(4))
async def test_orders_of_one_read_are_answered_as_each_would_be_by_itself(exchange: Scene, seed: int) -> None:
    messages = mixture(random.Random(seed))
    told = []
    for token, together in zip(exchange.tokens, (True, False), strict=False):
        desk = await Desk(exchange).open(token)
        pieces = [messages] if together else [[b" " + message] for message in messages]  # the long way
        for piece in pieces:
            desk.send(piece)
        broken = sum(not message.endswith(b"}") for message in messages)
        await desk.count(len(messages))
        assert sum(answer["id"] is None for answer in desk.answers) == broken
        assert len(desk.answers) == len(messages)
        told.append(desk)
        desk.send([b'{"op":"cancel_all","id":"last"}'])
        await desk.until("last")
        desk.answers.pop()
    assert plain(told[0].answers) == plain(told[1].answers)


async def test_orders_of_one_read_are_taken_and_answered_in_their_order(exchange: Scene) -> None:
    desk = await Desk(exchange).open(exchange.tokens[0])
    desk.send([order(number, client_order_id=f"id-{number}") for number in range(200)])
    await desk.count(200)
    assert [answer["id"] for answer in desk.answers] == list(range(200))
    numbers = [int(answer["result"]["order_id"]) for answer in desk.answers]
    assert numbers == list(range(numbers[0], numbers[0] + 200))
    assert [answer["status"] for answer in desk.answers] == [201] * 200


async def test_no_more_orders_are_under_way_than_may_be(exchange: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "UNDERWAY_MAX", 10)
    desk = await Desk(exchange).open(exchange.tokens[0])
    desk.send([order(number) for number in range(15)])
    await desk.until(*range(15))
    refused = [answer["id"] for answer in desk.answers if answer["type"] == "error"]
    assert refused == [10, 11, 12, 13, 14]
    assert {answer["reason"] for answer in desk.answers if answer["type"] == "error"} == {"OVERLOADED"}
    desk.send([order(20)])
    await desk.until(20)
    assert desk.answers[-1]["status"] == 201, "there is room again"


async def test_an_order_that_may_have_been_there_before_waits_and_keeps_its_place(exchange: Scene) -> None:
    client_orders = exchange.exchange.corridor._client_orders
    client_orders._seen.add((1_000, "id-3"))  # of the first account of a scene: the tables are asked
    desk = await Desk(exchange).open(exchange.tokens[0])
    desk.send([order(number, client_order_id=f"id-{number}") for number in range(20)])
    await desk.count(20)
    desk.answers.sort(key=lambda answer: answer["id"])
    numbers = [int(answer["result"]["order_id"]) for answer in desk.answers]
    assert numbers == sorted(numbers)
    assert [answer["status"] for answer in desk.answers] == [201] * 20


async def test_of_a_run_that_is_too_much_so_many_orders_are_taken(
    exchange: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "INBOX_MAX", 10)
    desk = await Desk(exchange).open(exchange.tokens[0])
    desk.send([order(number) for number in range(15)])
    await desk.count(15)
    desk.answers.sort(key=lambda answer: answer["id"])
    assert [answer.get("status") for answer in desk.answers[:10]] == [201] * 10
    assert [answer.get("reason") for answer in desk.answers[10:]] == ["OVERLOADED"] * 5


async def test_orders_of_a_run_are_paid_for_one_by_one(exchange: Scene) -> None:
    desk = await Desk(exchange).open(exchange.tokens[0])
    exchange.exchange.access.limits = LocalRateLimits({"requests": 5, "cancels": 5}, clock=lambda: 0.0)
    desk.send([order(number, symbol="NO/SUCH" if number == 4 else "BTC/USD") for number in range(13)])
    await desk.count(13)
    desk.answers.sort(key=lambda answer: answer["id"])
    assert [answer["rate_limit"]["remaining"] for answer in desk.answers] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0]
    reasons = [answer.get("reason") for answer in desk.answers]
    assert reasons == [None] * 4 + ["UNKNOWN_SYMBOL"] + [None] * 5 + ["THROTTLED"] * 3


async def test_what_ends_with_the_connection_is_what_runs_have_placed(exchange: Scene) -> None:
    desk = await Desk(exchange).open(exchange.tokens[0])
    desk.send([b'{"op":"cancel_on_disconnect","id":"on","on":true}'])
    await desk.until("on")
    desk.send([order(number) for number in range(20)])
    await desk.until(0)  # others of them may be under way
    account = 1_000  # the first of a scene
    await desk.close()
    orders_of = exchange.exchange.live.orders_of
    async with asyncio.timeout(30):
        while orders_of.get(account):  # noqa: ASYNC110 - what the exchange does by itself is looked at
            await asyncio.sleep(0.001)
