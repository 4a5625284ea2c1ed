"""The projections in a process of their own: what the tables cost is not taken from the core that takes orders.

    this process                                  child: python -m exchange.projections.process
    wait_for(7) ── "7\\n" on its standard input ──> hurry to entry 7
    watermark   <── "7\\n" on its standard output ── reached entry 7

The child looks for more journal by itself; it ends when its input closes, so it never outlives its parent.
"""

import asyncio
import contextlib
import logging
import os
import sys

import uvloop

from exchange.observability.garbage import calm_garbage_collection
from exchange.observability.logging import configure_logging
from exchange.observability.rights import step_back
from exchange.projections.runner import ProjectionRunner
from exchange.projections.slice import ProjectionError

logger = logging.getLogger(__name__)

DSN_VARIABLE = "EXCHANGE_PROJECTIONS_DSN"  # in the environment, which only the same user can read, unlike arguments
RESTART_S = 0.5
STOP_TIMEOUT_S = 5.0
NICENESS = 5  # orders first: the tables may lag for a moment, their readers wait
UNKNOWN = -1  # a watermark that no entry is at: who waits for any waits until a child tells
EXIT_BROKEN = 3  # the tables cannot follow the journal; starting again would not help


class ProjectionProcess:
    """Runs the projections of one shard in a child process, and knows how far they are."""

    def __init__(self, dsn: str, shard: int) -> None:
        self._dsn = dsn
        self._shard = shard
        self._child: asyncio.subprocess.Process | None = None
        self._waiters: set[tuple[int, asyncio.Future[None]]] = set()
        self.watermark = UNKNOWN

    async def wait_for(self, sequence: int, timeout_s: float | None) -> None:
        """Return when the tables include ``sequence``. Raises TimeoutError; ``timeout_s`` None waits for ever."""
        if sequence <= self.watermark:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter := (sequence, reached))
        self._hurry(sequence)
        try:
            await asyncio.wait_for(reached, timeout_s)
        except TimeoutError:
            text = f"the tables have not reached entry {sequence} within {timeout_s} s; they are at {self.watermark}"
            raise TimeoutError(text) from None
        finally:
            self._waiters.discard(waiter)

    async def run(self) -> None:
        """Keep a child following the journal until cancelled. Raises ProjectionError when the tables cannot follow."""
        while True:
            self._child = await self._start()
            try:
                await self._listen(self._child)
                code = await self._child.wait()
            finally:
                await self._stop(self._child)
            if code == EXIT_BROKEN:
                raise ProjectionError("the tables cannot follow the journal; the log of the projections says why")
            logger.warning("the projections' process ended with %d; starting it again in %.1f s", code, RESTART_S)
            await asyncio.sleep(RESTART_S)

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "exchange.projections.process", str(self._shard),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, DSN_VARIABLE: self._dsn},
            start_new_session=True,  # Ctrl-C reaches it through its parent
        )  # fmt: skip

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        """Take the child's watermarks until it ends. They go back when another process has set the tables back."""
        assert child.stdout is not None
        for sequence, _ in self._waiters:
            self._hurry(sequence)
        async for line in child.stdout:
            self.watermark = int(line)
            for sequence, reached in self._waiters:
                if sequence <= self.watermark and not reached.done():
                    reached.set_result(None)

    def _hurry(self, sequence: int) -> None:
        child = self._child
        if child is not None and child.stdin is not None and not child.stdin.is_closing():
            child.stdin.write(b"%d\n" % sequence)

    async def _stop(self, child: asyncio.subprocess.Process) -> None:
        self._child = None
        # Without a child nothing is known: Postgres may lose the latest of the tables in a crash, and make it again.
        self.watermark = UNKNOWN
        if child.stdin is not None:
            child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            child.kill()
            await child.wait()


async def follow(dsn: str, shard: int) -> None:
    """In the child: follow the journal, tell every watermark, hurry when asked, end when the input ends."""
    runner = ProjectionRunner(dsn, shard, on_reached=lambda watermark: print(watermark, flush=True))  # noqa: T201
    running = asyncio.create_task(runner.run())
    asked = asyncio.create_task(_hurry_when_asked(runner))
    await asyncio.wait((running, asked), return_when=asyncio.FIRST_COMPLETED)
    for task in (asked, running):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _hurry_when_asked(runner: ProjectionRunner) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    waiting: set[asyncio.Task[None]] = set()
    async for line in reader:
        task = asyncio.create_task(runner.wait_for(int(line), None))
        waiting.add(task)
        task.add_done_callback(waiting.discard)


def main() -> None:
    configure_logging(os.environ.get("LOG_LEVEL", "INFO").upper())
    step_back(NICENESS)
    calm_garbage_collection()
    try:
        uvloop.run(follow(os.environ.pop(DSN_VARIABLE), int(sys.argv[1])))
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        os._exit(0)  # the parent is gone
    except Exception:
        logger.critical("the projections cannot follow the journal", exc_info=True)
        sys.exit(EXIT_BROKEN)


if __name__ == "__main__":
    main()
