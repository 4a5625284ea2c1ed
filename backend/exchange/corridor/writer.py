"""The one writer of a shard: the whole path of an order between the edge and the answer.

    submit ─> inbox ─> batch ─> stamp ─> Shard.apply ─> JournalLeader.append ─> publish ─> answers
              bounded           time,    hold, match,   one COPY, fenced        live state,
                                sequence settle                                 streams

From the stamp to the end of apply nothing awaits: the state is in memory and one batch is under way at a time. What
comes in meanwhile makes the next batch, so that the more is asked the more shares one commit. Nobody is answered and
nothing is published before the journal has it.

Time passes for the engine with every command. Where something is due and nobody commands, the writer does: a CLOCK.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from engine.matching import Shard
from engine.orders.batches import ALONE, JOINED, LINKED, Answer, deliver, fail, split, stamp
from exchange.contracts import commands
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.corridor import measure
from exchange.storage.journal import Entry

INBOX_MAX = 10_000  # at the bound: refused with OVERLOADED, nothing is queued
BATCH_MAX = 1_000  # commands a commit; what was submitted together is never divided
CLOCK_EVERY_S = 0.01  # at most so often a CLOCK
CLOCK_LOOK_S = 1.0  # at least so often a look at the clock while something is due later: clocks are set


class Journal(Protocol):
    """Where entries become durable."""

    async def append(self, entries: Sequence[Entry]) -> None: ...

    async def confirm(self) -> None:
        """Return where nobody else may append. Raises what ``append`` would."""


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
        self._inbox: deque[Answer[Entry]] = deque()
        self._arrived = asyncio.Event()
        self._timestamp_ns = 0
        self._underway: Answer[Entry] | None = None  # the last answer of the batch being journaled
        self._asked: list[asyncio.Future[None]] = []  # whether this still leads
        self._stopping = False
        self._alarm: asyncio.TimerHandle | None = None  # when to look whether a CLOCK is due
        self.durable_sequence = shard.sequence

    def submit(self, command: bytearray) -> Answer[Entry]:
        """Queue a command; the answer gives its journal entry once that is durable.

        The answer fails with Refused OUTCOME_UNKNOWN when the append's outcome is not known. Raises Refused OVERLOADED
        when the inbox is full and UNAVAILABLE when the writer is stopping: nothing was queued then.
        """
        if self._stopping:
            raise unavailable()
        inbox = self._inbox
        if not inbox:
            self._arrived.set()
        elif len(inbox) >= INBOX_MAX:
            raise overloaded()
        answer: Answer[Entry] = Answer(command, ALONE)
        inbox.append(answer)
        return answer

    def submit_together(self, batch: Sequence[bytearray], *, linked: bool = False) -> list[Answer[Entry]]:
        """Queue commands that become durable in one commit, in this order; not one of them where ``submit`` raises.

        ``linked``: each names the order that the one before it places, by the ``order_id`` that is written into it
        when that one has its sequence.
        """
        if self._stopping:
            raise unavailable()
        if len(self._inbox) + len(batch) > INBOX_MAX:
            raise overloaded()
        follows = LINKED if linked else JOINED
        answers: list[Answer[Entry]] = [
            Answer(command, follows if number else ALONE) for number, command in enumerate(batch)
        ]
        self._inbox.extend(answers)
        self._arrived.set()
        return answers

    async def barrier(self) -> int:
        """Return the last durable sequence once every command submitted before this call is durable or has failed.

        No other leader had answered anybody when this was called: what the journal lacks then had not arrived.
        Raises Refused UNAVAILABLE where that cannot be told.
        """
        waiting = self._inbox[-1] if self._inbox else self._underway
        if waiting is not None:
            await waiting.wait()
        sequence = self.durable_sequence
        await self._confirmed()
        return sequence

    async def _confirmed(self) -> None:
        """Return once the journal has said, after this call, that this leads: with the next append, or when asked."""
        if self._stopping:
            raise unavailable()
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(confirmed)
        self._arrived.set()
        await confirmed

    async def run(self) -> None:
        """Process batches until stopped.

        Raises what the journal raised: memory is then ahead of the log and the term is over.
        """
        while True:
            self._set_alarm()
            await self._arrived.wait()
            asked, self._asked = self._asked, []
            batch = self._take_batch()
            try:
                if batch:
                    await self._process(batch)
                elif asked:
                    await self._journal.confirm()
            except BaseException:
                self._fail(batch, asked)
                raise
            for confirmed in asked:
                if not confirmed.done():
                    confirmed.set_result(None)
            if self._stopping and not self._inbox and not self._asked:
                self._clear_alarm()
                return

    def _take_batch(self) -> list[Answer[Entry]]:
        inbox = self._inbox
        batch = [inbox.popleft() for _ in range(min(len(inbox), BATCH_MAX))]
        while inbox and inbox[0].follows != ALONE:
            batch.append(inbox.popleft())
        if not inbox:
            self._arrived.clear()
        return batch

    # The clock

    def _set_alarm(self) -> None:
        """See that time passes: wake up when the engine says that something is due."""
        self._clear_alarm()
        due_ns = self._shard.next_due_ns
        if due_ns is not None and not self._stopping:
            wait_s = (due_ns - self._clock_ns()) / 1_000_000_000
            delay_s = min(max(wait_s, CLOCK_EVERY_S), CLOCK_LOOK_S)
            self._alarm = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _clear_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _ring(self) -> None:
        if self._inbox or self._underway is not None or self._stopping:
            return  # the next command takes the time along, and the alarm is set anew after it
        due_ns = self._shard.next_due_ns
        if due_ns is not None and due_ns <= self._clock_ns():
            self.submit(commands.clock())
        else:
            self._set_alarm()

    def stop(self) -> None:
        """Take nothing more; ``run`` returns when what was taken is durable and answered."""
        self._stopping = True
        self._arrived.set()

    async def _process(self, batch: list[Answer[Entry]]) -> None:
        started = time.perf_counter()
        self._underway = batch[-1]
        entries = self._apply(batch)
        applied = time.perf_counter()
        await self._journal.append(entries)
        self._underway = None
        committed = time.perf_counter()
        self.durable_sequence = entries[-1].sequence
        try:
            self._publish(entries)
        finally:  # what is durable is answered, whatever becomes of telling others
            deliver(batch, entries)
        measure.observe_batch(entries, applied - started, committed - applied, time.perf_counter() - started)

    def _apply(self, batch: list[Answer[Entry]]) -> list[Entry]:
        """The hot section: no await, no I/O."""
        self._timestamp_ns = max(self._timestamp_ns, self._clock_ns())
        stamped = stamp(batch, self._shard.sequence, self._timestamp_ns)
        return split(stamped, self._shard.apply(stamped), Entry)

    def _fail(self, batch: list[Answer[Entry]], asked: "list[asyncio.Future[None]]") -> None:
        """The batch's fate is not known, what still waits was never taken, and whether this leads cannot be told."""
        self._stopping = True
        for confirmed in (*asked, *self._asked):
            if not confirmed.done():
                confirmed.set_exception(unavailable())
        self._asked.clear()
        fail(batch, outcome_unknown())
        fail(self._inbox, unavailable())
        self._inbox.clear()


def split_entries(batch: Sequence[bytes | bytearray], events: bytes) -> list[Entry]:
    """Return an entry a stamped command, with its share of the batch's events. A CLOCK may have caused none."""
    return split(b"".join(batch), events, Entry)


def overloaded() -> Refused:
    """Nothing was placed."""
    return refuse(
        EdgeReason.OVERLOADED, f"{INBOX_MAX} commands are waiting already; nothing was placed", retry_after_s=1
    )


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
