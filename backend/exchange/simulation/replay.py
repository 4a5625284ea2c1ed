"""Plays a recording through a market, as many orders at a time as can be in flight without changing the result.

Two steps may overtake each other only where the book comes out the same either way: orders that rest, at different
prices; cancels of different orders. What must keep its place does: a cancel waits for its own order's answer; orders
at one price and side follow each other (their time priority); an order that may trade waits until all before it are
answered, and all after it wait for its answer. "May trade" is judged by the prices of all orders not known to have
ended, so never too rarely.
"""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sortedcontainers import SortedDict

from exchange.simulation.bitstamp_tape import Cancel, Place, Replace, Side, Step, TapeBook, TapeEvent, TapeTranslator
from exchange.simulation.replay_report import COMPARED_LEVELS, ReplayReport
from exchange.simulation.venue import CancelOutcome, Venue

RUN_NAME = re.compile(r"[a-z0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """`run` names the orders (`<run>-<tape id>`): the same run played again never places an order twice."""

    run: str
    in_flight: int = 32
    speed: float | None = None  # times real time; None: as fast as it goes
    compare_every: int = 10  # of the venue's snapshots after the warm-up; 0: never
    warm_up_s: float = 7200.0  # of the recording: until then orders that it never created may rest in the venue's book

    def __post_init__(self) -> None:
        if not RUN_NAME.fullmatch(self.run):
            raise ValueError(f"run {self.run!r} must be 1 to 12 of a-z and 0-9")
        if (
            self.in_flight < 1
            or self.compare_every < 0
            or self.warm_up_s < 0
            or (self.speed is not None and self.speed <= 0)
        ):
            raise ValueError("in_flight and speed must be above 0, compare_every and warm_up_s not below 0")


@dataclass(slots=True)
class _Playing:
    """An order of the recording, until the recording deletes it."""

    account: int
    side: Side
    price: Decimal
    order_id: str | None = None  # None until accepted, and for a refused order
    may_rest: bool = True
    placing: asyncio.Task[None] | None = None


class RestingPrices:
    """The prices of all orders that may rest in the book, by side."""

    def __init__(self) -> None:
        self._counts: dict[Side, SortedDict[Decimal, int]] = {"Buy": SortedDict(), "Sell": SortedDict()}

    def add(self, side: Side, price: Decimal) -> None:
        counts = self._counts[side]
        counts[price] = counts.get(price, 0) + 1

    def remove(self, side: Side, price: Decimal) -> None:
        counts = self._counts[side]
        counts[price] -= 1
        if not counts[price]:
            del counts[price]

    def may_trade(self, side: Side, price: Decimal) -> bool:
        """Whether an order at this price could meet one of the other side."""
        if side == "Buy":
            asks = self._counts["Sell"]
            return bool(asks) and asks.peekitem(0)[0] <= price
        bids = self._counts["Buy"]
        return bool(bids) and bids.peekitem(-1)[0] >= price


class Replay:
    """One playing of one recording. `report` is filled as it goes and is true at any moment."""

    def __init__(
        self, venue: Venue, settings: ReplaySettings, report: ReplayReport, progress: Callable[[], None] = lambda: None
    ) -> None:
        self.report = report
        self._venue = venue
        self._settings = settings
        self._progress = progress  # called once an event
        self._translator = TapeTranslator(report.gaps)
        self._playing: dict[int, _Playing] = {}
        self._resting = RestingPrices()
        self._last_at_price: dict[tuple[Side, Decimal], asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(settings.in_flight)
        self._pending: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._repeated = False  # since the last snapshot, something was answered that an earlier run had sent
        self._first_ms: int | None = None

    async def run(self, events: Iterable[TapeEvent]) -> None:
        """Play all events; returns when every order is answered. Raises what stopped it; the report holds then too."""
        started = time.monotonic()
        try:
            for event in events:
                await self._pace(event.timestamp_ms, started)
                step = self._translator.translate(event)
                if step is not None:
                    await self._play(step)
                self.report.events += 1
                self._progress()
            await self._drain()
        finally:
            for task in self._pending:
                task.cancel()
            await asyncio.gather(*self._pending, return_exceptions=True)
            self.report.venue_trades = self._translator.trades
            self.report.duration_s = time.monotonic() - started

    async def _pace(self, timestamp_ms: int, started: float) -> None:
        if self._first_ms is None:
            self._first_ms = timestamp_ms
        if self._settings.speed is not None:
            due = started + (timestamp_ms - self._first_ms) / 1000 / self._settings.speed
            await asyncio.sleep(max(due - time.monotonic(), 0))

    async def _play(self, step: Step) -> None:
        match step:
            case Place():
                await self._start(step)
            case Cancel():
                await self._spawn(self._cancel(self._playing.pop(step.order_id), step.filled))
            case Replace():
                await self._drain()
                await self._replace(step)
            case TapeBook():
                await self._compare(step)

    async def _start(self, step: Place) -> None:
        order = _Playing(step.order_id % self._venue.accounts, step.side, step.price)
        self._playing[step.order_id] = order
        client_order_id = f"{self._settings.run}-{step.order_id}"
        may_trade = self._resting.may_trade(step.side, step.price)
        self._resting.add(step.side, step.price)
        if may_trade:
            await self._drain()
            await self._place(order, client_order_id, step.quantity)
            return
        level = (step.side, step.price)
        ahead = self._last_at_price.get(level)
        order.placing = await self._spawn(self._place(order, client_order_id, step.quantity, ahead))
        self._last_at_price[level] = order.placing
        order.placing.add_done_callback(lambda task: self._leave_level(level, task))

    def _leave_level(self, level: tuple[Side, Decimal], task: asyncio.Task[None]) -> None:
        if self._last_at_price.get(level) is task:
            del self._last_at_price[level]

    async def _place(
        self, order: _Playing, client_order_id: str, quantity: Decimal, ahead: asyncio.Task[None] | None = None
    ) -> None:
        if ahead is not None:
            await asyncio.wait([ahead])
        self.report.orders_sent += 1
        sent_ns = time.perf_counter_ns()
        outcome = await self._venue.place(order.account, client_order_id, order.side, order.price, quantity)
        self.report.latency.add(time.perf_counter_ns() - sent_ns)
        self.report.placed(outcome)
        self._repeated |= outcome.repeated
        order.order_id = outcome.order_id
        # A repeated answer tells how the order began, not how it is now.
        if not outcome.is_open and not outcome.repeated:
            self._rests_no_more(order)

    async def _cancel(self, order: _Playing, filled: bool) -> CancelOutcome | None:
        if order.placing is not None:
            await asyncio.wait([order.placing])
        if order.order_id is None:
            self.report.cancels_unsent += 1
            self._rests_no_more(order)
            return None
        self.report.cancels_sent += 1
        sent_ns = time.perf_counter_ns()
        outcome = await self._venue.cancel(order.account, order.order_id)
        self.report.latency.add(time.perf_counter_ns() - sent_ns)
        self.report.cancelled(outcome, filled)
        self._rests_no_more(order)
        return outcome

    async def _replace(self, step: Replace) -> None:
        order = self._playing[step.order_id]
        outcome = await self._cancel(order, filled=False)
        left = min(step.quantity, outcome.left) if outcome is not None else Decimal(0)
        order.order_id, order.price = None, step.price
        if left:
            order.may_rest = True
            self._resting.add(order.side, order.price)
            await self._place(order, f"{self._settings.run}-{step.order_id}-{step.revision}", left)

    def _rests_no_more(self, order: _Playing) -> None:
        if order.may_rest:
            order.may_rest = False
            self._resting.remove(order.side, order.price)

    async def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        await self._slots.acquire()
        if self._failure is not None:
            work.close()
            self._slots.release()
            raise self._failure
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._pending.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error

    async def _drain(self) -> None:
        """Return when everything sent is answered."""
        while self._pending:
            await asyncio.wait(self._pending)
            await asyncio.sleep(0)  # lets `_finished` run for the last of them
        if self._failure is not None:
            raise self._failure

    async def _compare(self, snapshot: TapeBook) -> None:
        assert self._first_ms is not None
        every = self._settings.compare_every
        if not every or snapshot.timestamp_ms - self._first_ms < self._settings.warm_up_s * 1000:
            return
        self.report.snapshots += 1
        if self.report.snapshots % every:
            return
        await self._drain()
        if self._repeated:  # the market is already past this moment
            self._repeated = False
            self.report.snapshots_passed += 1
            return
        bids, asks = await self._venue.book(COMPARED_LEVELS)
        self.report.agreement.compare((bids, asks), (snapshot.bids, snapshot.asks))
