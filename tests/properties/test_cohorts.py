"""Told together or apart, slow or not, while others write to their sockets: everybody gets whole messages, in order."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.records import OrderType, Side, TimeInForce
from exchange.contracts import commands
from exchange.gateway.subscriber import Job, encode
from exchange.gateway.websocket import frame
from tests.support.stream_mirrors import DepthMirror, Mirror, TickerMirror, TradesMirror
from tests.support.stream_socket import FakeSocket, Listener
from tests.support.streamed import Streamed

CLIENTS = 8
MIRRORS: dict[str, type[Mirror]] = {
    "depth": DepthMirror, "depth.raw": DepthMirror, "trades": TradesMirror, "ticker": TickerMirror,
}  # fmt: skip


class Client:
    """A connection, with what it makes of its messages."""

    def __init__(self, streamed: Streamed, deflates: bool) -> None:
        self._streamed = streamed
        self.listener = Listener()
        self.listener.socket.deflates = deflates
        self.mirrors: dict[str, Mirror] = {}
        self.answers: list[int] = []
        self.asked = 0
        self._beat = 0

    @property
    def socket(self) -> FakeSocket:
        return self.listener.socket

    async def subscribe(self, channel: str) -> None:
        self.take()
        self.mirrors[channel] = MIRRORS[channel]()
        await self._streamed.listen(channel, self.listener)

    def unsubscribe(self, channel: str) -> None:
        self._streamed.hub.unsubscribe(self.listener.subscriber, channel, self._streamed.market())
        self.ask()
        del self.mirrors[channel]

    def ask(self) -> None:
        self.listener.subscriber.send(encode({"type": "pong", "id": self.asked}))
        self.asked += 1

    def take(self) -> None:
        """Take in what has arrived; of a channel that was left something may be on its way still."""
        messages, self.socket.messages = self.socket.messages, []
        for message in messages:
            if message["type"] == "pong":
                self.answers.append(message["id"])
            elif message["type"] == "heartbeat":
                self._beat = message["sequence"]
            elif (mirror := self.mirrors.get(message["channel"])) is not None:
                assert (
                    message["type"] == "snapshot" or message["channel"] != "trades" or message["sequence"] > self._beat
                )
                mirror.take(message)
        assert self.answers == list(range(len(self.answers)))


class Writing:
    """What the thread does with jobs, as far as it has come."""

    def __init__(self, jobs: list[Job], clients: list[Client], rng: random.Random) -> None:
        self._sockets = {client.socket.descriptor: client.socket for client in clients}
        self._rng = rng
        self.left: dict[int, dict[int, int]] = {}
        self._to_do = [
            (number, place, descriptor, job.frames)
            for number, job in enumerate(jobs)
            for place, descriptor in enumerate(job.sockets)
        ]

    def go_on(self, writes: int) -> None:
        for number, place, descriptor, frames in self._to_do[:writes]:
            socket = self._sockets[descriptor]
            written = len(frames)
            if not socket.has_room or not socket.is_open or self._rng.random() < 0.2:
                written = self._rng.choice((0, self._rng.randrange(len(frames)))) if socket.is_open else 0
                self.left.setdefault(number, {})[place] = written
            if written:
                assert not socket.unsent, "something was to be sent before"
                socket.receive(frames[:written])
        del self._to_do[:writes]

    def end(self) -> None:
        self.go_on(len(self._to_do))


def order(rng: random.Random) -> bytearray:
    side = rng.choice((Side.BUY, Side.SELL))
    price = rng.randint(95, 105)
    return commands.place(rng.randint(7, 10), 1, side, OrderType.LIMIT, TimeInForce.GTC, 0, price, 10**8)


def flush(streamed: Streamed) -> None:
    for streams in streamed.hub._markets.values():
        streams.flush_depth()
        streams.flush_ticker()


async def happen(streamed: Streamed, clients: list[Client], rng: random.Random) -> None:
    rounds, writing = streamed.hub.rounds, None
    for _ in range(60):
        client, channel = rng.choice(clients), rng.choice(list(MIRRORS))
        match rng.choice(
            ("trade", "trade", "trade", "round", "round", "write", "ask", "room", "join", "leave", "beat")
        ):
            case "trade":
                streamed.do(*(order(rng) for _ in range(rng.randint(1, 5))))
            case "round" if writing is None:
                flush(streamed)
                for _ in rounds.turns():
                    if rng.random() < 0.1:
                        streamed.do(order(rng))
                        flush(streamed)
                    if rng.random() < 0.05:
                        rng.choice(clients).ask()
                    if rng.random() < 0.05:
                        await asyncio.sleep(0)
                writing = Writing(rounds._jobs, clients, rng)
            case "round":
                writing.end()
                rounds._left = writing.left
                for _ in rounds.end_jobs():
                    if rng.random() < 0.3:
                        rng.choice(clients).ask()
                        await asyncio.sleep(0)
                writing = None
            case "write" if writing is not None:
                writing.go_on(rng.randint(1, CLIENTS))
            case "ask":
                client.ask()
            case "room":
                client.socket.has_room = not client.socket.has_room
                if client.socket.has_room:
                    client.listener.subscriber.flush()
            case "join" if channel not in client.mirrors:
                await client.subscribe(channel)
            case "leave" if channel in client.mirrors:
                client.unsubscribe(channel)
            case "beat":
                rounds.beat()
        if rng.random() < 0.5:
            await asyncio.sleep(0)
        client.take()
    if writing is not None:
        writing.end()
        rounds._left = writing.left
        for _ in rounds.end_jobs():
            pass


async def settle(streamed: Streamed, clients: list[Client]) -> None:
    for _ in range(2):  # who was slow is told in the first
        for client in clients:
            client.socket.has_room = True
            client.listener.subscriber.flush()
        streamed.turn()
        await asyncio.sleep(0)
    for client in clients:
        client.take()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_everybody_gets_whole_messages_in_order(seed: int) -> None:
    rng = random.Random(seed)

    async def run() -> None:
        streamed = Streamed()
        clients = [Client(streamed, deflates=number % 2 == 1) for number in range(CLIENTS)]
        for client in clients:
            for channel in ("depth", "trades"):
                await client.subscribe(channel)
        await happen(streamed, clients, rng)
        await settle(streamed, clients)
        depth = [[level[:2] for level in side] for side in streamed.shard.depth(1)]
        for client in clients:
            assert client.answers == list(range(client.asked))
            for mirror in client.mirrors.values():
                assert mirror.sequence >= 0
                if isinstance(mirror, DepthMirror):
                    assert mirror.levels() == depth
        told = [client.mirrors["trades"] for client in clients if "trades" in client.mirrors]
        assert (
            len(
                {mirror.trades[-1]["trade_id"] for mirror in told if isinstance(mirror, TradesMirror) and mirror.trades}
            )
            <= 1
        )

    asyncio.run(run())


async def test_who_holds_the_same_is_told_in_one_job_and_who_does_not_is_apart() -> None:
    streamed, rounds = Streamed(), None
    listeners = [await streamed.listen("trades") for _ in range(100)]
    rounds = streamed.hub.rounds
    rng = random.Random(1)

    def trade() -> list[Job]:
        streamed.do(
            commands.place(7, 1, Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 0, 100, 10**8),
            commands.place(8, 1, Side.SELL, OrderType.LIMIT, TimeInForce.GTC, 0, 100, 10**8),
        )
        for _ in rounds.turns():
            pass
        jobs = list(rounds._jobs)
        for _ in rounds.end_jobs():
            pass
        return jobs

    assert trade() == []  # they are found to be together
    (job,) = trade()
    assert sorted(job.sockets) == [listener.socket.descriptor for listener in listeners]
    slow, busy = rng.sample(listeners, 2)
    slow.socket.unsent = 1_000
    slow.subscriber.send(frame(b"{}"))
    slow.subscriber.flush()
    await streamed.listen("depth", busy)
    (job,) = trade()
    assert len(job.sockets) == 98
    assert slow.taken()[-1]["type"] == "update"
    assert streamed.hub.subscribers == 101
    streamed.hub.forget(slow.subscriber)
    assert streamed.hub.subscribers == 100
    assert sorted(len(job.sockets) for job in trade()) == [1, 98]
