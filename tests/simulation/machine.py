"""A machine that runs an exchange: a process, the real corridor and gateway in it, and what can happen to them."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec

from engine.matching import Shard
from exchange.contracts.order_state import OrderState
from exchange.contracts.refusals import EdgeReason, Refusal, Refused, refuse
from exchange.corridor.corridor import Corridor
from exchange.corridor.live import Changes
from exchange.gateway.context import Exchange
from exchange.gateway.order_batches import OrderBatches, PlaceOperation
from exchange.gateway.order_changes import AmendRequest, OrderChanges, ReplaceRequest
from exchange.gateway.order_entry import OrderEntry, Step
from exchange.gateway.order_request import OrderRequest
from exchange.gateway.orders import get_order, get_order_by_client_id
from exchange.gateway.principal import Principal
from exchange.storage.database import DatabaseUnreachable
from tests.simulation.loop import Killed, Process, SimulatedLoop, check_alive
from tests.simulation.postgres import Postgres, SimulatedProjections, SimulatedStore
from tests.simulation.request import Request

EPOCH_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
Answer = dict[str, Any] | Refusal


class SimulatedExchange(Exchange):
    """What the gateway needs, without access control: the oracle asks about orders."""

    def __post_init__(self) -> None: ...


class Machine:
    """Start, crash and stop the exchange of one machine. ``skew_ns``: how wrong its clock is."""

    def __init__(
        self,
        name: str,
        loop: SimulatedLoop,
        server: Postgres,
        skew_ns: int,
        on_published: Callable[[int, list[OrderState]], None],
        on_death: Callable[["Machine"], None],
    ) -> None:
        self.name = name
        self._loop = loop
        self._server = server
        self._skew_ns = skew_ns
        self._on_published = on_published
        self._on_death = on_death
        self._starts = 0
        self._running: asyncio.Task[None] | None = None
        self.process: Process | None = None

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.alive

    @property
    def is_leader(self) -> bool:
        return self.is_alive and self.corridor.role == "leader"

    def start(self) -> None:
        self._starts += 1
        self.process = process = Process(self._loop, f"{self.name}.{self._starts}", self._died)
        store = SimulatedStore(self._server)
        projections = SimulatedProjections(self._server)
        self.corridor = corridor = Corridor(store, projections, self._clock_ns)  # type: ignore[arg-type]
        corridor.tell(on_term=self._begin_term, on_changes=self._publish)
        self.exchange = exchange = SimulatedExchange(
            None,
            None,
            corridor,
            projections,
            corridor.live,
            corridor.catalogue,  # type: ignore[arg-type]
        )
        self._queries = store.tables
        self._entry = OrderEntry(exchange, store.tables)  # type: ignore[arg-type]
        self._changes = OrderChanges(self._entry)
        self._batches = OrderBatches(self._entry, self._changes)
        self._running = process.spawn(corridor.run())

    def kill(self) -> None:
        """kill -9, now."""
        if self.process is not None:
            self.process.kill()

    def _died(self, process: Process) -> None:
        self._server.process_died(process)
        self._on_death(self)

    async def stop(self) -> None:
        """SIGTERM: finish what was taken, keep a snapshot, end."""
        process, running = self.process, self._running
        if process is None or running is None or not process.alive:
            return
        process.spawn(_cancel(running))
        while process.alive and not running.done():  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.01)
        if self.process is process:
            self.kill()

    def _clock_ns(self) -> int:
        self._server.passing("before it is applied")
        return EPOCH_NS + self._skew_ns + int(self._loop.time() * 1e9)

    def _begin_term(self, shard: Shard) -> None: ...

    def _publish(self, changes: Changes) -> None:
        check_alive()
        self._on_published(changes.sequence, [order for of in changes.orders.values() for order in of.values()])
        self._server.passing("published, before the answers")

    # Requests

    async def serve(self, request: Request, reply: Callable[[Answer], None]) -> None:
        """Answer a request, as the gateway's routes do once it is read and admitted."""
        try:
            answer: Answer = msgspec.json.decode(msgspec.json.encode(await self._answer(request)))
        except Refused as refused:
            answer = refused.refusal
        except (DatabaseUnreachable, asyncpg.PostgresError, asyncpg.InterfaceError):
            # gateway/problems.py
            answer = refuse(EdgeReason.UNAVAILABLE, "the database is not reachable").refusal
        except Killed:
            return
        check_alive()
        reply(answer)

    async def _answer(self, request: Request) -> dict[str, Any] | msgspec.Raw:
        if request.kind == "batch":
            operations = [PlaceOperation(**body) for body in request.body["operations"]]
            return (await (await self._batches.begin(_principal(request), operations)).answer)[1]  # type: ignore[arg-type]
        if request.kind in ("place", "replace", "cancel", "amend"):
            step = await self._step(_principal(request), request)
            return (await self._entry.carry_out(_principal(request), step))[1]
        if request.kind == "ask":
            client_order_id = request.body["client_order_id"]
            return await get_order_by_client_id(self.exchange, self._queries, request.account, client_order_id)  # type: ignore[arg-type]
        assert request.kind == "read"
        return await get_order(self.exchange, self._queries, request.account, str(request.order_id))  # type: ignore[arg-type]

    async def _step(self, principal: Principal, request: Request) -> Step:
        order_id = str(request.order_id)
        if request.kind == "place":
            return self._entry.place_step(principal, OrderRequest(**request.body))
        if request.kind == "replace":
            return self._changes.replace_step(principal, order_id, ReplaceRequest(**request.body))
        if request.kind == "cancel":
            return self._entry.cancel_step(principal, order_id)
        return await self._changes.amend_step(principal, order_id, AmendRequest(**request.body))


def _principal(request: Request) -> Principal:
    return Principal(request.account, frozenset(), 0.0, 0)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
