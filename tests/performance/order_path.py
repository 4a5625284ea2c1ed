"""The path of an order in one process, without sockets and without Postgres: what our own code costs.

Requests go into the server's own protocol as bytes and answers come out as bytes; in place of Postgres there is a
connection that forgets. So figures repeat, and a test can hold the count of calls an order makes (test_order_path.py).

    python -m tests.performance.order_path            CPU time of an order
    python -m tests.performance.order_path --profile  cProfile of it
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import statistics
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

import uvloop
from sqlalchemy.ext.asyncio import create_async_engine

from exchange.contracts import commands
from exchange.corridor.corridor import Corridor
from exchange.gateway.hub import Hub
from exchange.gateway.tokens import issue_access_token
from exchange.main import RunningExchange, Server, build_app
from exchange.settings import Settings
from exchange.simulation.load import LoadSettings, MakeRequest, OrderMix, answer_length, order_requests
from exchange.storage.database import Database
from exchange.storage.journal import JournalLeader

SECRET = "nothing-but-the-benchmark-uses-these-bytes"
FUNDS = 10**17
NEVER = 2**62
CREATED = b"HTTP/1.1 201 Created"


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


@dataclass
class Scene:
    """An exchange that takes orders, and the connections into it."""

    exchange: RunningExchange
    server: Server
    tokens: list[str] = field(default_factory=list)

    def connect(self, on_answer: Callable[[bytes], None]) -> asyncio.Protocol:
        """A connection as uvicorn would make it."""
        config = self.server.config
        make_protocol = cast(Callable[..., asyncio.Protocol], config.http_protocol_class)
        protocol = make_protocol(config=config, server_state=self.server.server_state, app_state={})
        protocol.connection_made(Wire(on_answer))
        return protocol

    def requests(self, *, crossing: int = 25, client_ids: bool = False) -> list[MakeRequest]:
        """What each connection sends, one order after the other: as `exchange load` makes them."""
        mix = OrderMix(5_000_000, 2, crossing_percent=crossing, client_ids=client_ids)
        target = LoadSettings("http://127.0.0.1:8080/api/v1/orders", len(self.tokens), 1)
        return list(order_requests(target, mix, "BTC/USD", self.tokens, f"run-{time.time_ns()}", 1))

    async def run(self, requests: Sequence[MakeRequest], orders: int) -> Counter[bytes]:
        """Send so many orders, each connection one after the answer to the one before; count the status lines."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        statuses: Counter[bytes] = Counter()
        left, answered = orders - len(requests), 0

        def begin(make_request: MakeRequest) -> None:
            def on_answer(answer: bytes) -> None:
                nonlocal left, answered
                statuses[answer[: answer.index(b"\r\n")]] += 1
                answered += 1
                if answered == orders:
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


@asynccontextmanager
async def scene(accounts: int = 32) -> AsyncIterator[Scene]:
    """An exchange that leads over a journal that forgets, and funded accounts."""
    settings = Settings.load(
        {"JWT_SECRET": SECRET, "EXCHANGE_FRONTEND_DIR": "/nonexistent", "DATABASE_URL": "postgresql://nobody@/nowhere"}
    )
    engine = create_async_engine("postgresql+asyncpg://", async_creator=_nothing)
    corridor = Corridor(ForgetfulStore(), NoTables())
    hub = Hub(corridor.catalogue, corridor.live)
    corridor.tell(on_term=hub.begin_term, on_changes=hub.publish)
    exchange = RunningExchange(
        settings=settings, database=Database(engine, ""), corridor=corridor, projections=NoTables(),
        live=corridor.live, catalogue=corridor.catalogue, streams=hub, hub=hub,
    )  # fmt: skip
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
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
        await engine.dispose()


async def measure(rounds: int, orders: int, profile: bool, client_ids: bool) -> None:
    async with scene() as made:
        requests = made.requests(client_ids=client_ids)
        await made.run(requests, 5_000)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)
        profiler = cProfile.Profile()
        spent_us = []
        for _ in range(rounds):
            if profile:
                profiler.enable()
            started_ns = time.process_time_ns()
            statuses = await made.run(requests, orders)
            spent_us.append((time.process_time_ns() - started_ns) / orders / 1000)
            profiler.disable()
            assert set(statuses) == {CREATED}, statuses
        print(f"least {min(spent_us):.1f}, median {statistics.median(spent_us):.1f} us an order")
        if profile:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(60)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--orders", type=int, default=2_000, help="of a round")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--client-ids", action="store_true")
    options = parser.parse_args()
    uvloop.run(measure(options.rounds, options.orders, options.profile, options.client_ids))
