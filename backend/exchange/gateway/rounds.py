"""Rounds of turns: everybody who is behind on a public channel gets what is newer, once a round.

    channels that were told something ──> who is behind ─┬─ cohorts: the same bytes for all ──> a thread writes them
                                                         └─ who is apart: written here

What runs here, beside orders, is taken in slices (slices.py). The writes of cohorts, which are most of the work, are
made by a thread that runs when nobody else wants the processor (engine/wire/fanout.pyx); where nobody leaves it
anything, they are made here after LATE_S. Rounds have a share of a processor's time, SHARE: a few subscribers are told
at once, a thousand every 100 ms, all that came since in one message, and more of them less often.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Set
from itertools import chain
from typing import TypeVar

from engine.wire.fanout import Fanout
from exchange.gateway import slices
from exchange.gateway.channels import Channel
from exchange.gateway.cohorts import Cohorts
from exchange.gateway.subscriber import Job, Reader, Subscriber
from exchange.observability import metrics

SHARE = 0.06  # of a processor, for rounds and their writes: the next one begins no sooner
ROUNDS_MAX_S = 0.25  # from one to the next, where the first has ended by then: logs must not forget what was not told
FEW = 16  # writes that are made here: to have them made costs as much
LATE_S = 0.1  # after which writes are made here, too
AT_ONCE = 50  # subscribers, in one step

T = TypeVar("T")


class Rounds:
    """See the module. ``heartbeat`` makes a message as of now."""

    def __init__(self, connections: Set[Subscriber], heartbeat: Callable[[], bytes]) -> None:
        self._connections = connections
        self._heartbeat = heartbeat
        self._told: dict[Channel, None] = {}  # channels with something new since the last round
        self._beat_due = False
        self._wake = asyncio.Event()
        self._cohorts = Cohorts()
        self._jobs: list[Job] = []  # that have not ended
        self._left: dict[int, dict[int, int]] | None = None  # by job, what its end is told; None: nothing was written
        self._ending: Iterator[None] = iter(())  # of the jobs, maybe not to the end of it

    def touch(self, channel: Channel) -> None:
        """A channel has something new: its subscribers get it in their turn."""
        self._told[channel] = None
        self._wake.set()

    def beat(self) -> None:
        """Everybody gets a heartbeat in the next round."""
        self._beat_due = True
        self._wake.set()

    def begin_anew(self) -> None:
        """Forget all channels: there are others from now on."""
        self._told.clear()
        self._cohorts.clear()

    async def run(self) -> None:
        """Take rounds within the share of time, until cancelled.

        By the wall's clock: on a busy machine, where this process gets less, rounds get less of it too.
        """
        fanout = Fanout()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                begun = time.perf_counter()
                took_s = await slices.take(self.turns())
                took_s += await self._write(fanout)
                ended = time.perf_counter()
                metrics.STREAM_ROUND_SECONDS.observe(ended - begun)
                await asyncio.sleep(max(begun + min(took_s / SHARE, ROUNDS_MAX_S) - ended, 0))
        finally:
            fanout.close()
            if fanout.under_way:
                self._end(fanout)
            for _ in chain(self._ending, self.end_jobs()):
                pass

    # In steps, between which others may have the loop

    def turns(self) -> Iterator[None]:
        """Find out who is behind and give each a turn. That of a cohort is a job, which somebody has to write and end.

        A heartbeat is of the moment at which the channels are lined up, so it is never ahead of what they lead to.
        """
        told, self._told = self._told, {}
        for channel in told:
            channel.line_up()
        beat, self._beat_due = self._heartbeat() if self._beat_due else b"", False
        self._cohorts.prune()
        behind: dict[Reader, None] = {}
        for channel in told:
            for some in _parts(channel.subscribers):
                for reader in some:
                    reader.mark(channel)
                behind.update(dict.fromkeys(some))
                yield
        if beat:
            apart = [subscriber for subscriber in self._connections if subscriber.cohort is None]
            for some in _parts((*self._cohorts, *apart)):
                for reader in some:
                    reader.beat(beat)
                behind.update(dict.fromkeys(some))
                yield
        for reader in behind:
            yield from reader.prepare_turn()
            self._jobs += reader.take_turn()
            yield
        for reader in behind:  # who is apart may be where others are now
            if isinstance(reader, Subscriber):
                self._cohorts.admit(reader)
                yield

    def end_jobs(self) -> Iterator[None]:
        """End all jobs; what was not written goes the way of all else that is written to a socket."""
        while self._jobs:
            job = self._jobs.pop()
            nothing = dict.fromkeys(range(len(job.sockets)), 0)
            yield from job.end(nothing if self._left is None else self._left.get(len(self._jobs), {}))
        self._left = None

    # The writes of cohorts

    async def _write(self, fanout: Fanout) -> float:
        """Have all jobs written; return the seconds of a processor that it took, here and in the thread."""
        took_s = 0.0
        if sum(len(job.sockets) for job in self._jobs) > FEW:
            fanout.begin([(job.frames, job.sockets) for job in self._jobs])
            took_s += await self._ended(fanout)
            took_s += self._end(fanout)
        self._ending = self.end_jobs()
        return took_s + await slices.take(self._ending)

    async def _ended(self, fanout: Fanout) -> float:
        """Wait for the thread, and help it where it is late; return the seconds of that."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(fanout, ended.set)
        try:
            async with asyncio.timeout(LATE_S):
                await ended.wait()
            return 0
        except TimeoutError:
            took_s = await slices.take(iter(fanout.help, False))
            await ended.wait()
            return took_s
        finally:
            loop.remove_reader(fanout)

    def _end(self, fanout: Fanout) -> float:
        left, took_s = fanout.end()
        self._left = {}
        for number, place, written in left:
            self._left.setdefault(number, {})[place] = written
        return took_s


def _parts(subscribers: Iterable[T]) -> Iterator[list[T]]:
    """Those that there are now, some at a time."""
    everybody = list(subscribers)
    for at in range(0, len(everybody), AT_ONCE):
        yield everybody[at : at + AT_ONCE]
