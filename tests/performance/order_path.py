"""The path of an order in one process, without sockets and without Postgres: what our own code costs.

Requests go into the server's own protocol as bytes and answers come out as bytes; in place of Postgres there is a
connection that forgets. So figures repeat, and a test can hold the count of calls an order makes (test_order_path.py).

    python -m tests.performance.order_path                    CPU time of an order, by each way in
    python -m tests.performance.order_path batch --profile    cProfile of one
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import random
import statistics
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NoReturn, cast

import uvloop
from sqlalchemy.ext.asyncio import create_async_engine

from exchange.contracts import commands
from exchange.corridor.corridor import Corridor
from exchange.gateway.tokens import issue_access_token
from exchange.main import RunningExchange, Server, build_app
from exchange.settings import Settings
from exchange.simulation.load import LoadSettings, MakeRequest, OrderMix, Requests, answer_length, order_requests
from exchange.simulation.stream_load import place_frame, text_frame
from exchange.storage.database import Database
from exchange.storage.journal import JournalLeader

SECRET = "nothing-but-the-benchmark-uses-these-bytes"
FUNDS = 10**17
NEVER = 2**62
CREATED, PLACED = b"HTTP/1.1 201 Created", b'"status":201'
ORDERS_URL = "http://127.0.0.1:8080/api/v1/orders"
BATCH = 50  # orders of a batch
UNDERWAY = 100  # orders of a connection that is pipelined
PIPELINES = 16
UPGRADE = (
    b"GET /ws/v1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
#: Budgets that nothing here uses up.
ENVIRON = {"EXCHANGE_REQUESTS_PER_S": "1000000", "EXCHANGE_CANCELS_PER_S": "1000000"}


class ForgetfulPostgres:
    """The connection of a leader that sends what it is given to nobody."""

    async def copy_records_to_table(self, table: str, **arguments: Any) -> None:
        await asyncio.sleep(0)

    async def copy_to_table(self, table: str, **arguments: Any) -> None:
        await asyncio.sleep(0)

    def add_termination_listener(self, listener: Callable[[object], None]) -> None: ...

    async def close(self, timeout: float) -> None: ...


class ForgetfulStore:
    """A shard that nothing is kept of: the corridor begins with an empty journal and leads at once."""

    shard, sequence = 1, 0

    def __init__(self) -> None:
        self.tables = self

    async def stand(self) -> Any:
        return self

    async def take_lead(self, holder: str) -> Any:
        return ForgetfulLeader(cast(Any, ForgetfulPostgres()), 1, 1)

    async def keep_renewing(self, epoch: int) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    async def save_snapshot(self, sequence: int, digest: int, state: bytes) -> None: ...

    async def close(self) -> None: ...

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[Any]:
        yield self

    async def live_orders(self) -> list[Any]:
        return []

    async def minutes(self, since_ns: int) -> dict[int, Any]:
        return {}

    async def client_order_ids(self) -> AsyncIterator[tuple[int, str]]:
        for nothing in ():
            yield nothing

    async def find_entry(self, account: int, client_order_id: str) -> None: ...


class ForgetfulLeader(JournalLeader):
    """Begins with an empty journal; appends as always."""

    async def latest_snapshot(self, at_most: int = NEVER) -> None: ...

    async def after(self, sequence: int, chain: bytes, limit: int) -> tuple[list[Any], bytes]:
        return [], chain


class NoTables:
    """Tables that are always as far as they are asked for."""

    watermark = NEVER

    async def wait_for(self, sequence: int, timeout_s: float | None) -> None: ...

    async def run(self) -> None:
        await asyncio.Event().wait()


async def _nothing(*arguments: object) -> None:
    return None


class Wire(asyncio.Transport):
    """One keep-alive connection in memory: whole answers go to ``on_answer``."""

    def __init__(self, on_answer: Callable[[bytes], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 8080)})
        self._on_answer = on_answer
        self._buffer = b""

    def write(self, data: Any) -> None:
        self._buffer += data
        if answer_length(self._buffer) == len(self._buffer):
            answer, self._buffer = self._buffer, b""
            self._on_answer(answer)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class StreamWire(Wire):
    """The same for a WebSocket: whatever is written goes to ``on_answer`` as it comes."""

    def write(self, data: Any) -> None:
        self._on_answer(data)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast(asyncio.Protocol, protocol)  # that of the WebSocket, once it is one

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


@dataclass
class Scene:
    """An exchange that takes orders, and the connections into it."""

    exchange: RunningExchange
    server: Server
    tokens: list[str] = field(default_factory=list)
    on_close: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def connect(self, on_answer: Callable[[bytes], None]) -> asyncio.Protocol:
        """A connection as uvicorn would make it."""
        return self.open(Wire(on_answer))

    def open(self, wire: Wire) -> asyncio.Protocol:
        """The same over a wire that is there."""
        config = self.server.config
        make_protocol = cast(Callable[..., asyncio.Protocol], config.http_protocol_class)
        protocol = make_protocol(config=config, server_state=self.server.server_state, app_state={})
        protocol.connection_made(wire)
        return protocol

    def requests(self, *, client_ids: bool = False, batch: int = 1) -> list[MakeRequest]:
        """What each connection sends, one request after the other: as `exchange load` makes them."""
        target = LoadSettings(ORDERS_URL if batch == 1 else f"{ORDERS_URL}/batch", len(self.tokens), 1)
        return list(order_requests(target, _mix(client_ids), "BTC/USD", self.tokens, _run(), 1, batch))

    async def run(self, requests: Sequence[MakeRequest], number: int) -> Counter[bytes]:
        """Send so many requests, each connection one after the answer to the one before.

        Count the status lines, and the orders of batches that were placed.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        statuses: Counter[bytes] = Counter()
        left, answered = number - len(requests), 0

        def begin(make_request: MakeRequest) -> None:
            def on_answer(answer: bytes) -> None:
                nonlocal left, answered
                line = answer[: answer.index(b"\r\n")]
                statuses[line] += 1
                if line != CREATED:
                    statuses[PLACED] += answer.count(PLACED)
                answered += 1
                if answered == number:
                    done.set_result(None)
                elif left > 0:
                    left -= 1
                    loop.call_soon(protocol.data_received, make_request())

            loop = asyncio.get_running_loop()
            protocol = self.connect(on_answer)
            protocol.data_received(make_request())

        for make_request in requests:
            begin(make_request)
        await done
        return statuses

    async def open_pipelines(self, *, client_ids: bool = False) -> "Pipelines":
        """Connections to the WebSocket, signed in, that keep orders under way."""
        opened = Pipelines()
        self.on_close.append(opened.close)
        for number, token in enumerate(self.tokens[:PIPELINES]):
            rng = random.Random(number)
            bodies = _mix(client_ids).bodies("BTC/USD", f"{_run()}-{number}-", rng, 2_000)
            pipeline = Pipeline(Requests([place_frame(body) for body in bodies], rng), opened)
            wire = StreamWire(pipeline.take)
            self.open(wire).data_received(UPGRADE)
            await pipeline.next_answer()
            pipeline.protocol = wire.protocol
            wire.protocol.data_received(text_frame(b'{"op":"authenticate","token":"%b"}' % token.encode()))
            await pipeline.next_answer()
            opened.pipelines.append(pipeline)
        return opened


class Pipelines:
    """Connections to the WebSocket under load, and what is to be sent over them."""

    def __init__(self) -> None:
        self.pipelines: list[Pipeline] = []
        self.left = self.unanswered = self.placed = 0
        self.done = asyncio.Event()

    async def run(self, orders: int) -> int:
        """Send so many orders, UNDERWAY of each connection at once; return how many were placed."""
        self.left = self.unanswered = orders
        self.placed = 0
        self.done.clear()
        for pipeline in self.pipelines:
            pipeline.send(UNDERWAY)
        await self.done.wait()
        return self.placed

    async def close(self) -> None:
        """End the connections, and wait until the server has noticed."""
        for pipeline in self.pipelines:
            pipeline.protocol.connection_lost(None)
        tasks = {task for pipeline in self.pipelines for task in cast(Any, pipeline.protocol).tasks}
        await asyncio.wait(tasks)


class Pipeline:
    """One of them: what is answered in one write is followed by so many orders in one read of the server's."""

    protocol: asyncio.Protocol

    def __init__(self, make_frame: MakeRequest, all_of_them: Pipelines) -> None:
        self._make_frame = make_frame
        self._all = all_of_them
        self._is_open = False
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def next_answer(self) -> None:
        """Wait until it is open, and signed in."""
        answer = await self._answers.get()
        self._is_open = b'"authenticate"' in answer

    def send(self, orders: int) -> None:
        """Send so many orders, as far as there is something left to send."""
        orders = min(orders, self._all.left)
        self._all.left -= orders
        if orders:
            make_frame = self._make_frame
            self.protocol.data_received(b"".join([make_frame() for _ in range(orders)]))

    def take(self, frames: bytes) -> None:
        """Take what the server writes."""
        if not self._is_open:
            self._answers.put_nowait(frames)
            return
        answered = frames.count(b'"type":"ack"') + frames.count(b'"type":"error"')
        if not answered:
            return
        self._all.placed += frames.count(PLACED)
        self._all.unanswered -= answered
        if not self._all.unanswered:
            self._all.done.set()
        asyncio.get_running_loop().call_soon(self.send, answered)


def _mix(client_ids: bool) -> OrderMix:
    return OrderMix(5_000_000, 2, crossing_percent=25, client_ids=client_ids)


_runs = count(1)


def _run() -> str:
    """What client order ids begin with, so that none is used twice."""
    return f"run-{next(_runs)}"


@asynccontextmanager
async def scene(accounts: int = 32) -> AsyncIterator[Scene]:
    """An exchange that leads over a journal that forgets, and funded accounts."""
    settings = Settings.load(
        {
            "JWT_SECRET": SECRET, "EXCHANGE_FRONTEND_DIR": "/nonexistent",
            "DATABASE_URL": "postgresql://nobody@/nowhere", **ENVIRON,
        }
    )  # fmt: skip
    engine = create_async_engine("postgresql+asyncpg://", async_creator=_nothing)
    corridor = Corridor(ForgetfulStore(), NoTables())
    database = Database(engine, engine, "")
    exchange = RunningExchange.over(settings, database, corridor, NoTables(), corridor.live, corridor.catalogue)
    corridor.tell(on_term=exchange.hub.begin_term, on_changes=exchange.hub.publish)
    exchange.access.state.loaded = True
    leading = asyncio.create_task(corridor.run())
    server = Server(exchange.settings, build_app(exchange), exchange.hub)
    server.config.load()
    await exchange.until_leading()
    made = Scene(exchange, server)
    for account in range(1_000, 1_000 + accounts):
        for asset in corridor.catalogue.assets:
            await corridor.submit(commands.deposit(account, asset, FUNDS))
        made.tokens.append(issue_access_token(SECRET, account, uuid.uuid4()))
    try:
        yield made
    finally:
        for close in made.on_close:
            await close()
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
        await engine.dispose()


#: Places so many orders; asserts that they were placed.
Way = Callable[[int], Awaitable[None]]


async def way_in(made: Scene, name: str, client_ids: bool) -> Way:
    """One of WAYS."""
    if name == "pipelined":
        pipelines = await made.open_pipelines(client_ids=client_ids)

        async def pipelined(orders: int) -> None:
            assert await pipelines.run(orders) == orders

        return pipelined
    batch = BATCH if name == "batch" else 1
    requests = made.requests(client_ids=client_ids, batch=batch)

    async def asked(orders: int) -> None:
        statuses = await made.run(requests, orders // batch)
        assert statuses[CREATED if batch == 1 else PLACED] == orders, statuses

    return asked


WAYS = ("alone", "batch", "pipelined")


async def measure(names: Sequence[str], rounds: int, orders: int, profile: bool, client_ids: bool) -> None:
    async with scene() as made:
        ways = {name: await way_in(made, name, client_ids) for name in names}
        for way in ways.values():
            await way(5_000)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)
        profiler = cProfile.Profile()
        spent_us: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, way in ways.items():
                if profile:
                    profiler.enable()
                started_ns = time.process_time_ns()
                await way(orders)
                spent_us[name].append((time.process_time_ns() - started_ns) / orders / 1000)
                profiler.disable()
        for name, spent in spent_us.items():
            print(f"{name:9}  least {min(spent):.1f}, median {statistics.median(spent):.1f} us an order")
        if profile:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(60)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", default=WAYS, help=f"of {', '.join(WAYS)}; by default all")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--orders", type=int, default=3_200, help="of a round")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--client-ids", action="store_true")
    options = parser.parse_args()
    uvloop.run(measure(options.ways, options.rounds, options.orders, options.profile, options.client_ids))
