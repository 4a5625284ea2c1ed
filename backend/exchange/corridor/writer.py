"""The one writer of a shard: the whole path of an order between the edge and the answer.

    submit ─> inbox ─> batch ─> stamp ─> Shard.apply ─> JournalLeader.append ─> publish ─> answers
              bounded           time,    hold, match,   one COPY, fenced        live state,
                                sequence settle                                 streams

From the stamp to the end of apply nothing awaits: the state is in memory and one batch is under way at a time. What
comes in meanwhile makes the next batch, so that the more is asked the more shares one commit. Nobody is answered and
nothing is published before the journal has it.
"""

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from engine.matching import Shard
from engine.records import EVENT_SIZE
from exchange.contracts import commands
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.corridor import measure
from exchange.storage.journal import Entry

INBOX_MAX = 10_000  # at the bound: refused with OVERLOADED, nothing is queued
BATCH_MAX = 1_000  # commands a commit

_EVENT_SEQUENCE = struct.Struct("<8xQ120x")
assert _EVENT_SEQUENCE.size == EVENT_SIZE


class Journal(Protocol):
    """Where entries become durable."""

    async def append(self, entries: Sequence[Entry]) -> None: ...


class Writer:
    """Sequences, applies and journals the commands of one shard for one term of leadership."""

    def __init__(
        self,
        journal: Journal,
        shard: Shard,
        publish: Callable[[Sequence[Entry]], None],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._journal = journal
        self._shard = shard
        self._publish = publish
        self._clock_ns = clock_ns
        self._inbox: deque[tuple[bytearray, asyncio.Future[Entry]]] = deque()
        self._arrived = asyncio.Event()
        self._timestamp_ns = 0
        self._underway: asyncio.Future[Entry] | None = None  # the last answer of the batch being journaled
        self._stopping = False
        self.durable_sequence = shard.sequence

    def submit(self, command: bytearray) -> "asyncio.Future[Entry]":
        """Queue a command; the future gives its journal entry once that is durable.

        The future fails with Refused OUTCOME_UNKNOWN when the append's outcome is not known. Raises Refused OVERLOADED
        when the inbox is full and UNAVAILABLE when the writer is stopping: nothing was queued then.
        """
        if self._stopping:
            raise unavailable()
        if len(self._inbox) >= INBOX_MAX:
            raise refuse(
                EdgeReason.OVERLOADED, f"{INBOX_MAX} commands are waiting already; nothing was placed", retry_after_s=1
            )
        answer: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._inbox.append((command, answer))
        self._arrived.set()
        return answer

    async def barrier(self) -> int:
        """Return the last durable sequence once every command submitted before this call is durable or has failed."""
        waiting = self._inbox[-1][1] if self._inbox else self._underway
        if waiting is not None:
            await asyncio.wait([waiting])
        return self.durable_sequence

    async def run(self) -> None:
        """Process batches until stopped.

        Raises what the journal raised: memory is then ahead of the log and the term is over.
        """
        while True:
            await self._arrived.wait()
            batch = [self._inbox.popleft() for _ in range(min(len(self._inbox), BATCH_MAX))]
            if not self._inbox:
                self._arrived.clear()
            if batch:
                await self._process(batch)
            if self._stopping and not self._inbox:
                return

    def stop(self) -> None:
        """Take nothing more; ``run`` returns when what was taken is durable and answered."""
        self._stopping = True
        self._arrived.set()

    async def _process(self, batch: "list[tuple[bytearray, asyncio.Future[Entry]]]") -> None:
        started = time.perf_counter()
        self._underway = batch[-1][1]
        entries = self._apply([command for command, _ in batch])
        applied = time.perf_counter()
        try:
            await self._journal.append(entries)
        except BaseException:
            self._fail(batch)
            raise
        self._underway = None
        committed = time.perf_counter()
        self.durable_sequence = entries[-1].sequence
        try:
            self._publish(entries)
        finally:  # what is durable is answered, whatever becomes of telling others
            for (_, answer), entry in zip(batch, entries, strict=True):
                if not answer.done():  # a caller that went away has cancelled it
                    answer.set_result(entry)
        measure.observe_batch(entries, applied - started, committed - applied, time.perf_counter() - started)

    def _apply(self, batch: list[bytearray]) -> list[Entry]:
        """The hot section: no await, no I/O."""
        sequence = self._shard.sequence
        self._timestamp_ns = max(self._timestamp_ns, self._clock_ns())
        for command in batch:
            sequence += 1
            commands.stamp(command, sequence, self._timestamp_ns)
        events = self._shard.apply(b"".join(batch))
        return split_entries(batch, events)

    def _fail(self, batch: "list[tuple[bytearray, asyncio.Future[Entry]]]") -> None:
        """The batch's fate is not known, what still waits was never taken."""
        self._stopping = True
        for _, answer in batch:
            if not answer.done():
                answer.set_exception(outcome_unknown())
        for _, answer in self._inbox:
            if not answer.done():
                answer.set_exception(unavailable())
        self._inbox.clear()


def split_entries(batch: Sequence[bytes | bytearray], events: bytes) -> list[Entry]:
    """Return an entry a stamped command, with its share of the batch's events. Every command causes at least one."""
    entries = []
    start = 0
    end = 0
    sequences = [sequence for (sequence,) in _EVENT_SEQUENCE.iter_unpack(events)]
    for command in batch:
        sequence = int.from_bytes(command[8:16], "little")
        while end < len(sequences) and sequences[end] == sequence:
            end += 1
        entries.append(Entry(sequence, bytes(command), events[start * EVENT_SIZE : end * EVENT_SIZE]))
        start = end
    return entries


def unavailable() -> Refused:
    """Nothing was placed, and trying again is safe."""
    return refuse(EdgeReason.UNAVAILABLE, "the exchange is not taking orders now; nothing was placed", retry_after_s=2)


def outcome_unknown() -> Refused:
    """It may have been placed or not; its client order id tells."""
    return refuse(
        EdgeReason.OUTCOME_UNKNOWN,
        "the answer was lost on the way to the journal; "
        "send the same client_order_id again, or ask for it, to learn the outcome",
        retry_after_s=2,
    )
