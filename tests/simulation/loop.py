"""An event loop without sockets and without waiting: its clock jumps to what is next, and its order is the seed's.

Several operating-system processes live in it. Which one a callback belongs to is a context variable, inherited by all
tasks it starts; a process that is killed is a context whose callbacks are never run again. No ``finally`` of it runs
either, as none does at kill -9, and one that is paused keeps its callbacks until it goes on.
"""

import asyncio
import contextlib
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

STEP_S = 0.000_02  # what one turn of the loop takes
_BURIAL_TRIES = 50


class Killed(BaseException):
    """This process is no more. Passes through what catches errors, since nothing of a dead process catches anything."""


class Stuck(Exception):
    """Nothing is left to happen, and the run waits for something."""


class Process:
    """One operating-system process, from its start to its end."""

    def __init__(self, loop: "SimulatedLoop", name: str, on_death: "Callable[[Process], None]") -> None:
        self.name = name
        self._on_death = on_death
        self.alive = True
        self.paused = False
        self.turns_left: int | None = None  # until it is killed, between two of its callbacks
        self.held: list[asyncio.Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self._loop = loop
        self._context = copy_context()
        self._context.run(RUNS_IN.set, self)
        loop.processes.append(self)

    def spawn(self, what: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run a coroutine in this process."""
        return self._loop.create_task(what, context=self._context.copy())

    def kill(self) -> None:
        """kill -9."""
        if self.alive:
            self.alive = False
            self.held.clear()
            self._on_death(self)

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = True

    def resume(self) -> None:
        """SIGCONT: everything that was due meanwhile is due now."""
        self.paused = False
        held, self.held = self.held, []
        self._loop.put_back(held)

    def check_alive(self) -> None:
        """Raise Killed in a dead process: what it had begun must reach nobody."""
        if not self.alive:
            raise Killed(self.name)


RUNS_IN: ContextVar[Process | None] = ContextVar("runs_in", default=None)


def check_alive() -> None:
    """Raise Killed where the process that runs this is dead."""
    process = RUNS_IN.get()
    if process is not None:
        process.check_alive()


class SimulatedLoop(asyncio.BaseEventLoop):
    """See the module. ``shuffled``: callbacks that are ready at the same time run in any order, not in their own."""

    def __init__(self, rng: random.Random, shuffled: bool) -> None:
        super().__init__()
        self._rng = rng
        self._shuffled = shuffled
        self._now_s = 0.0
        self.processes: list[Process] = []
        self.set_task_factory(_make_task)

    def time(self) -> float:
        return self._now_s

    def put_back(self, handles: list[asyncio.Handle]) -> None:
        self._ready.extend(handles)  # type: ignore[attr-defined]

    def _run_once(self) -> None:
        ready = self._take_ready()
        if self._shuffled:
            self._rng.shuffle(ready)
        self._now_s += STEP_S
        for handle in ready:
            self._run(handle)

    def _take_ready(self) -> list[asyncio.Handle]:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready:
            if not scheduled:
                raise Stuck("nothing is left to happen")
            self._now_s = max(self._now_s, scheduled[0].when())
        while scheduled and scheduled[0].when() <= self._now_s:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        taken = [handle for handle in ready if not handle.cancelled()]
        ready.clear()
        return taken

    def _run(self, handle: asyncio.Handle) -> None:
        process: Process | None = handle._context.get(RUNS_IN)  # type: ignore[attr-defined]
        if handle.cancelled() or (process is not None and not process.alive):
            return
        if process is None:
            handle._run()
        elif process.paused:
            process.held.append(handle)
        else:
            handle._run()
            if process.turns_left is not None:
                process.turns_left -= 1
                if process.turns_left <= 0:
                    process.kill()

    def bury(self) -> None:
        """End the coroutines of every process, dead ones among them, at the end of a run."""
        for process in self.processes:
            process.alive = False
            for task in process.tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close(task.get_coro())
        self.close()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nobody is told of what becomes of a dead process' tasks."""

    def _process_events(self, event_list: object) -> None: ...

    def _write_to_self(self) -> None: ...


def _make_task(
    loop: asyncio.AbstractEventLoop, what: Coroutine[Any, Any, Any], *, context: Context | None = None
) -> "asyncio.Task[Any]":
    task = asyncio.Task(what, loop=loop, context=context)
    process = (context or copy_context()).get(RUNS_IN)
    if process is not None:
        process.tasks.append(task)
        if len(process.tasks) % 64 == 0:
            process.tasks[:] = [kept for kept in process.tasks if not kept.done()]
    return task


def _close(coroutine: Any) -> None:
    """Close a coroutine whatever its ``finally`` blocks wait for."""
    for _ in range(_BURIAL_TRIES):
        with contextlib.suppress(BaseException):
            coroutine.close()
            return
