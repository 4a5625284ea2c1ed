"""The engine's side: takes what API processes ask for into the corridor, and tells everybody what is durable.

Entries are spoken before the answers to who asked, so that an API process knows what it is told.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from exchange.cluster.channels import Channels
from exchange.cluster.messages import (
    Answer,
    Answers,
    Ask,
    Asks,
    Leading,
    NotUnderstood,
    Outcome,
    Way,
    decoder,
    encode,
    entries_message,
    outcome_of,
    problem_of,
)
from exchange.cluster.relay import Relay
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.storage.journal import Entry

logger = logging.getLogger("exchange.cluster")

HEARTBEAT_S = 0.25
LATE_AFTER_NS = 5_000_000_000  # an Ask that is older was given up by its caller: it is refused
UNDERWAY_MAX = 20_000  # Asks; at the bound the next is refused with OVERLOADED

_read = decoder(Asks)


class Placing(Protocol):
    """A command that was taken into the corridor."""

    async def result(self) -> tuple[Entry, bool]: ...


class Corridor(Protocol):
    """The path of an order, in this process (corridor/corridor.py)."""

    @property
    def role(self) -> str: ...

    @property
    def epoch(self) -> int: ...

    @property
    def sequence(self) -> int: ...

    async def submit(self, command: bytearray) -> Entry: ...

    async def place(self, command: bytearray, account: int, client_order_id: str | None) -> tuple[Entry, bool]: ...

    async def begin_all(
        self, account: int, requests: Sequence[tuple[bytearray, str | None]], *, linked: bool = False
    ) -> Sequence[Placing]: ...

    async def barrier(self) -> int: ...


class Desk:
    """See the module. ``run`` beside the corridor; ``publish`` for every durable batch."""

    def __init__(
        self, relay: Relay, corridor: Corridor, shard: int, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._relay = relay
        self._corridor = corridor
        self._channels = Channels(shard)
        self._clock_ns = clock_ns
        self._underway: set[asyncio.Task[None]] = set()
        self._answers: dict[str, list[Answer]] = {}
        self._epoch = 0  # whose commands are listened to

    def publish(self, entries: Sequence[Entry]) -> None:
        """Tell everybody what is durable."""
        self._relay.speak(self._channels.entries, entries_message(self._corridor.epoch, entries))

    async def run(self) -> None:
        """Listen while this process leads, and say so, until cancelled."""
        try:
            while True:
                await self._listen_to(self._corridor.epoch if self._corridor.role == "leader" else 0)
                if self._epoch:
                    leading = encode(Leading(self._epoch, self._corridor.sequence))
                    self._relay.speak(self._channels.leading, leading)
                await asyncio.sleep(HEARTBEAT_S)
        finally:
            await self._listen_to(0)

    async def _listen_to(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        before, self._epoch = self._epoch, epoch
        if before:
            await self._relay.ignore(self._channels.commands(before))
        if epoch:
            await self._relay.listen({self._channels.commands(epoch): self._take})

    # Asks

    def _take(self, message: bytes) -> None:
        try:
            asks = _read(message)
        except NotUnderstood as error:
            logger.error("what an API process asks is not understood, its callers time out: %s", error)
            return
        for ask in asks.asks:
            task = asyncio.create_task(self._carry_out(asks.sender, ask))
            self._underway.add(task)
            task.add_done_callback(self._underway.discard)

    async def _carry_out(self, sender: str, ask: Ask) -> None:
        try:
            if self._clock_ns() - ask.asked_ns > LATE_AFTER_NS:
                raise refuse(EdgeReason.UNAVAILABLE, "the request came too late; nothing was placed", retry_after_s=1)
            if len(self._underway) > UNDERWAY_MAX:
                detail = f"{UNDERWAY_MAX} requests are under way already; nothing was placed"
                raise refuse(EdgeReason.OVERLOADED, detail, retry_after_s=1)
            answer = await _WAYS[Way(ask.way)](self._corridor, ask)
        except Refused as refused:
            answer = Answer(ask.tag, 0, [], problem_of(refused.refusal))
        waiting = self._answers.get(sender)
        if waiting is None:
            waiting = self._answers[sender] = []
            asyncio.get_running_loop().call_soon(self._answer, sender)
        waiting.append(answer)

    def _answer(self, sender: str) -> None:
        self._relay.speak(self._channels.answers(sender), encode(Answers(self._answers.pop(sender))))


async def _submit(corridor: Corridor, ask: Ask) -> Answer:
    ((command, _),) = ask.commands
    return Answer(ask.tag, 0, [outcome_of(await corridor.submit(bytearray(command)), False)], None)


async def _place(corridor: Corridor, ask: Ask) -> Answer:
    ((command, name),) = ask.commands
    entry, was_there = await corridor.place(bytearray(command), ask.account, name)
    return Answer(ask.tag, 0, [outcome_of(entry, was_there)], None)


async def _place_all(corridor: Corridor, ask: Ask) -> Answer:
    requests = [(bytearray(command), name) for command, name in ask.commands]
    placings = await corridor.begin_all(ask.account, requests, linked=ask.way == Way.PLACE_LINKED)
    return Answer(ask.tag, 0, [await _outcome(placing) for placing in placings], None)


async def _outcome(placing: Placing) -> Outcome:
    try:
        return outcome_of(*await placing.result())
    except Refused as refused:
        return Outcome(b"", b"", False, problem_of(refused.refusal))


async def _barrier(corridor: Corridor, ask: Ask) -> Answer:
    return Answer(ask.tag, await corridor.barrier(), [], None)


_WAYS: dict[Way, Callable[[Corridor, Ask], Awaitable[Answer]]] = {
    Way.SUBMIT: _submit,
    Way.PLACE: _place,
    Way.PLACE_ALL: _place_all,
    Way.PLACE_LINKED: _place_all,
    Way.BARRIER: _barrier,
}
