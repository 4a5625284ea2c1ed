"""One run: machines, a server, traders, and what goes wrong, all of it drawn from the seed."""

import asyncio
import gc
import logging
import random
from collections.abc import Callable
from contextvars import copy_context
from copy import copy
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from exchange.contracts import commands
from exchange.contracts.order_state import OrderState
from exchange.contracts.refusals import Refusal
from exchange.corridor.corridor import Corridor
from exchange.gateway import order_request
from tests.simulation.loop import RUNS_IN, Killed, SimulatedLoop, Stuck
from tests.simulation.machine import EPOCH_NS, Answer, Machine
from tests.simulation.narrow import narrowed
from tests.simulation.oracle import judge
from tests.simulation.postgres import Postgres
from tests.simulation.request import Evidence, Request
from tests.simulation.trader import Trader

STEPS = (
    "asking for the lead", "leading, before it knows", "standing by", "looking after the leader", "read snapshot",
    "read head", "read journal", "before it is applied", "applied, before the append", "confirming the lead",
    "appended, before it is published", "published, before the answers", "snapshot made, before it is saved",
    "snapshot saved",
)  # fmt: skip
FIRST_ACCOUNT = 1_000
TROUBLE_S = 12.0  # virtual seconds in which things go wrong
HEALED_S = 300.0  # virtual seconds within which the exchange must take orders again
TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Result:
    """What a run came to. ``fingerprint``: the same for the same seed and the same code."""

    seed: int
    violations: list[str]
    fingerprint: str
    entries: int
    told: int
    faults: int


class World:
    """See the module. ``trace``: told everything that happens."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self.loop = SimulatedLoop(random.Random(rng.random()), shuffled=rng.random() < 0.5)
        self.evidence = Evidence()
        self.server = Postgres(random.Random(rng.random()), self._passing)
        self.machines = [
            Machine(
                name,
                self.loop,
                self.server,
                rng.choice((0, rng.randint(-(10**10), 10**10))),
                self._published,
                self._restart_later,
            )
            for name in ("left", "right", "third")[: rng.choice((1, 2, 2, 3))]
        ]
        self.traders = [
            Trader(FIRST_ACCOUNT + n, random.Random(rng.random()), self._request, self.evidence, self.loop.time)
            for n in range(rng.randint(1, 4))
        ]
        self.patience_s = rng.choice((TIMEOUT_S, TIMEOUT_S, 0.008))
        self.loss = self.duplication = 0.0
        self.faults = 0
        self._armed: dict[str, int] = {}  # step -> passages until the process that comes to it is killed
        self._under_way = 0
        self._trace = trace
        self._stopped: Corridor | None = None
        self._stopping: list[asyncio.Task[None]] = []
        self._nowhere = copy_context()  # no process

    def run(self) -> Result:
        """Run to the end and judge."""
        try:
            self.loop.run_until_complete(self._run())
        except Stuck as error:
            self.evidence.violations.append(f"stuck: {error}")
        finally:
            self.loop.bury()
        self.evidence.violations += judge(self.server, self.evidence, self._stopped)
        chain = self.server.rows[-1].chain.hex() if self.server.rows else ""
        fingerprint = f"{chain}-{len(self.evidence.told)}-{self.loop.time():.6f}"
        return Result(
            self.seed, self.evidence.violations, fingerprint, self.server.head, len(self.evidence.told), self.faults
        )

    async def _run(self) -> None:
        early = self.rng.random() < 0.1  # trouble from the very beginning, genesis included
        for machine in self.machines:
            machine.start()
        troubles = asyncio.create_task(self._trouble()) if early else None
        await self._fund()
        trading = [
            asyncio.create_task(trader.trade(self.rng.randint(4, 14), self.rng.choice((0.05, 0.3, 0.8))))
            for trader in self.traders
            for _ in range(self.rng.randint(1, 2))
        ]
        await (troubles or self._trouble())
        await self._heal()
        await asyncio.gather(*trading)
        await asyncio.gather(*[trader.resolve() for trader in self.traders])
        while self._under_way:  # noqa: ASYNC110 - late duplicates too: virtual time
            await asyncio.sleep(0.5)
        await self._stop_leader()

    async def _fund(self) -> None:
        """Give every trader money, some of them little, before anything is asked."""
        for trader in self.traders:
            much = self.rng.random() < 0.8
            for asset, whole in ((1, 10**6 if much else 10**3), (2, 10**4 if much else 10)):
                units = whole * 10 ** (10 if asset == 1 else 8)
                await self._deposit(trader.account, asset, units)

    async def _deposit(self, account: int, asset: int, units: int) -> None:
        while self.loop.time() < HEALED_S:
            leader = self._leader()
            if leader is not None and leader.process is not None:
                depositing = leader.process.spawn(leader.corridor.submit(commands.deposit(account, asset, units)))
                depositing.add_done_callback(lambda done: done.cancelled() or done.exception())
                done, _ = await asyncio.wait((depositing,), timeout=TIMEOUT_S)
                if done and depositing.exception() is None:
                    return
            await asyncio.sleep(0.2)

    # The network

    async def _request(self, request: Request) -> Answer:
        """Bring a request to a machine and its answer back. Raises TimeoutError, ConnectionError."""
        answered: asyncio.Future[Answer] = self.loop.create_future()
        leader = self._leader()
        known = 0.5 if request.kind == "ask" else 0.9  # how often the way to the leader is known
        machine = leader if leader is not None and self.rng.random() < known else self.rng.choice(self.machines)
        copies = 1 + (self.rng.random() < self.duplication)
        for number in range(copies):
            if self.rng.random() < self.loss:
                continue
            target = machine if not number else self.rng.choice(self.machines)
            self._send(target, request, answered, late_s=self.rng.uniform(0, 8) if number else 0)
        self._tell(f"trader {request.account}: {request} -> {machine.name}")
        try:
            async with asyncio.timeout(self.patience_s):
                answer = await answered
        except TimeoutError:
            self._tell(f"trader {request.account}: {request}: no answer")
            raise
        self._tell(f"trader {request.account}: {request}: {_short(answer)}")
        return answer

    def _send(self, machine: Machine, request: Request, answered: "asyncio.Future[Answer]", late_s: float) -> None:
        def reply(answer: Answer) -> None:
            if self.rng.random() >= self.loss:
                # On the wire: whatever becomes of the process now, it comes.
                self.loop.call_later(self.rng.expovariate(1 / 0.002), give, answer, context=self._nowhere.copy())

        def give(answer: Answer) -> None:
            if not answered.done():
                answered.set_result(answer)

        def arrive() -> None:
            self._under_way -= 1
            process = machine.process
            if process is None or not process.alive:
                if not answered.done():
                    answered.set_exception(ConnectionRefusedError(machine.name))
                return
            process.spawn(self._serve(machine, request, reply))

        self._under_way += 1
        self.loop.call_later(late_s + self.rng.expovariate(1 / 0.002), arrive)

    async def _serve(self, machine: Machine, request: Request, reply: Callable[[Answer], None]) -> None:
        self.evidence.arrived.append((self.loop.time(), request))
        try:
            await machine.serve(request, reply)
        except Killed:
            pass
        except Exception as error:
            self.evidence.violations.append(f"{request} broke the edge: {error!r}")

    def _published(self, sequence: int, orders: list[OrderState]) -> None:
        self.evidence.published.append((sequence, self.server.head, [copy(order) for order in orders]))

    # What goes wrong

    def _passing(self, step: str) -> None:
        """A process comes to a named step: kill it there, if that was drawn."""
        process = RUNS_IN.get()
        if process is None:
            return
        process.check_alive()
        left = self._armed.get(step)
        if left is None:
            return
        if left > 1:
            self._armed[step] = left - 1
            return
        del self._armed[step]
        self._tell(f"kill -9 of {process.name}: {step}")
        for machine in self.machines:
            if machine.process is process:
                machine.kill()
        raise Killed(step)

    async def _trouble(self) -> None:
        count = self.rng.choice((0, 1, 2, 3, 4, 6, 9))
        times = sorted(self.rng.uniform(0, TROUBLE_S) for _ in range(count))
        began = self.loop.time()
        for at in times:
            await asyncio.sleep(max(began + at - self.loop.time(), 0))
            self.faults += 1
            self.rng.choice(self._kinds)()
        await asyncio.sleep(max(began + TROUBLE_S - self.loop.time(), 0))

    @property
    def _kinds(self) -> list[Callable[[], None]]:
        return [
            self._kill_somebody, self._kill_between_turns, self._kill_at_a_step, self._kill_at_a_step,
            self._pause_somebody, self._pause_and_take_over, self._stop_somebody, self._crash_server,
            self._break_session, self._fill_disk, self._bad_network, self._slow_tables,
        ]  # fmt: skip

    def _somebody(self) -> Machine:
        leader = self._leader()
        return leader if leader is not None and self.rng.random() < 0.7 else self.rng.choice(self.machines)

    def _kill_somebody(self) -> None:
        machine = self._somebody()
        self._tell(f"kill -9 of {machine.name}")
        machine.kill()

    def _kill_between_turns(self) -> None:
        process = self._somebody().process
        if process is not None:
            process.turns_left = self.rng.randint(1, 150)
            self._tell(f"kill -9 of {process.name} in {process.turns_left} turns")

    def _kill_at_a_step(self) -> None:
        step = self.rng.choice(STEPS)
        self._armed[step] = self.rng.choice((1, 1, 2, 5))
        self._tell(f"kill -9 of whoever comes to {step!r} for time {self._armed[step]}")

    def _restart_later(self, machine: Machine) -> None:
        def restart() -> None:
            if not machine.is_alive:
                self._tell(f"{machine.name} starts")
                machine.start()

        self._outside(self.rng.uniform(0.02, 3), restart)

    def _pause_somebody(self) -> None:
        self._pause(self.rng.uniform(0.05, 8))

    def _pause_and_take_over(self) -> None:
        """The server takes the paused leader for dead and lets go of its lock."""
        self._pause(self.rng.uniform(1, 8))
        holder = self.server.holder
        if holder is not None:
            self._outside(self.rng.uniform(0, 1), self.server.end, holder)

    def _pause(self, seconds: float) -> None:
        process = self._somebody().process
        if process is not None:
            self._tell(f"SIGSTOP of {process.name} for {seconds:.2f} s")
            process.pause()
            self._outside(seconds, process.resume)

    def _stop_somebody(self) -> None:
        machine = self._somebody()
        self._tell(f"SIGTERM of {machine.name}")

        stopping = self.loop.create_task(machine.stop(), context=self._nowhere.copy())
        self._stopping.append(stopping)

    def _crash_server(self) -> None:
        seconds = self.rng.uniform(0.05, 4)
        self._tell(f"the server crashes for {seconds:.2f} s")
        self.server.crash()
        self._outside(seconds, self._set_up)

    def _set_up(self) -> None:
        self.server.is_up = True

    def _break_session(self) -> None:
        if self.server.holder is not None:
            self._tell("the server ends the leader's session")
            self.server.end(self.server.holder)

    def _fill_disk(self) -> None:
        self._tell("the disk is full")
        self.server.is_full = True
        self._outside(self.rng.uniform(0.1, 4), self._free_disk)

    def _free_disk(self) -> None:
        self.server.is_full = False

    def _bad_network(self) -> None:
        self.loss, self.duplication = self.rng.choice((0, 0.1, 0.4)), self.rng.choice((0.1, 0.5))
        self._tell(f"network: {self.loss} lost, {self.duplication} doubled")
        self._outside(self.rng.uniform(0.5, 6), self._good_network)

    def _good_network(self) -> None:
        self.loss = self.duplication = 0.0

    def _slow_tables(self) -> None:
        self.server.tables_lag_s = self.rng.choice((0.2, 1.5))
        self._outside(self.rng.uniform(0.5, 6), self._quick_tables)

    def _quick_tables(self) -> None:
        self.server.tables_lag_s = 0.01

    def _outside(self, seconds: float, what: Callable[..., None], *arguments: Any) -> None:
        """Do something later that no process does."""
        self.loop.call_later(seconds, what, *arguments, context=self._nowhere.copy())

    async def _heal(self) -> None:
        """Nothing goes wrong any more, and what was down comes up: within a bound, orders must be taken."""
        self._armed.clear()
        self._good_network()
        self._free_disk()
        self._set_up()
        self._quick_tables()
        self.patience_s = TIMEOUT_S
        for machine in self.machines:
            if machine.process is not None:
                machine.process.turns_left = None
                machine.process.resume()
        self._tell("healed")
        began = self.loop.time()
        while not self._is_settled():
            await asyncio.sleep(0.1)
            if self.loop.time() > began + HEALED_S:
                roles = {machine.name: (machine.corridor.role, machine.corridor.failure) for machine in self.machines}
                self.evidence.violations.append(f"nobody leads {HEALED_S:.0f} s after all was well again: {roles}")
                return

    async def _stop_leader(self) -> None:
        """What it had taken is done then, and what it has in memory is what it wrote."""
        leader = self._leader()
        if leader is not None:
            self._stopped = leader.corridor
            await leader.stop()

    def _is_settled(self) -> bool:
        """Whether somebody leads and is right to believe so."""
        leader, holder = self._leader(), self.server.holder
        return leader is not None and holder is not None and leader.corridor.epoch == holder.epoch

    def _leader(self) -> Machine | None:
        """Who leads by its own word; the newest epoch where several believe to."""
        leaders = [machine for machine in self.machines if machine.is_leader]
        return max(leaders, key=lambda machine: machine.corridor.epoch, default=None)

    def now_ns(self) -> int:
        return EPOCH_NS + int(self.loop.time() * 1e9)

    def _tell(self, what: str) -> None:
        if self._trace is not None:
            self._trace(f"{self.loop.time():9.4f} {what}")


def simulate(seed: int, trace: Callable[[str], None] | None = None) -> Result:
    """Run one seed. The same seed on the same code is the same run, to the last callback."""
    bounds = random.Random(~seed)
    level, collects = logging.root.manager.disable, gc.isenabled()
    logging.disable(logging.CRITICAL)
    gc.disable()  # what it finds, and when, is no part of the seed
    try:
        with narrowed(bounds):
            world = World(seed, trace)
            # The gateway asks what time it is where an order is to expire.
            with patch.object(order_request.time, "time_ns", world.now_ns):
                return world.run()
    finally:
        logging.disable(level)
        if collects:
            gc.enable()


def _short(answer: Answer) -> str:
    if isinstance(answer, Refusal):
        return f"{answer.reason.name} {answer.sequence or ''}"
    if "outcomes" in answer:
        return str([outcome["order"]["order_id"] if outcome["order"] else outcome["problem"]["reason"]
                    for outcome in answer["outcomes"]])  # fmt: skip
    filled = f"{answer['filled_quantity']}/{answer['quantity']}"
    return f"{answer['order_id']} {answer['status']} {filled} at {answer['sequence']}"
