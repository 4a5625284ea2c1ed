"""Exchanges that are broken on purpose, each in one place. What the oracle misses in them, it would miss."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

from engine.orders.batches import Answer, deliver
from exchange.corridor.client_orders import ClientOrders, Key
from exchange.corridor.corridor import Corridor, Told
from exchange.corridor.replica import Replica
from exchange.corridor.writer import Writer
from exchange.gateway.context import Exchange
from exchange.storage.journal import Entry
from tests.simulation.postgres import Postgres, SimulatedLeader

Mutant = Callable[[], AbstractContextManager[Any]]


async def _answer_first(self: Writer, batch: list[Answer[Entry]]) -> None:
    entries = self._apply(batch)
    self.durable_sequence = entries[-1].sequence
    self._publish(entries)
    deliver(batch, entries)
    await self._journal.append(entries)


_append = SimulatedLeader.append


async def _append_and_hope(self: SimulatedLeader, entries: Sequence[Entry]) -> None:
    try:
        await _append(self, entries)
    except Exception:
        self._chain = b"\0" * 16


async def _load_nothing(self: ClientOrders, ids: AsyncIterator[Key]) -> None:
    self._recent.clear()


def _remember_what_is_done(self: ClientOrders, keys: list[Key], answers: list[Any]) -> None:
    def remember(key: Key, answer: Any) -> None:
        self._seen.add(key)
        self._recent.remember_all([key], [answer])

    for key, answer in zip(keys, answers, strict=True):
        answer.then(partial(remember, key))


async def _look_at_once(self: Corridor) -> int:
    return self._leading().durable_sequence


async def _read_at_once(self: Exchange, sequence: int) -> None: ...


async def _read_anywhere(self: Exchange, account: int) -> None:
    await self.caught_up(await self.corridor.told(account))


def _both(*patches: Any) -> Mutant:
    def enter() -> AbstractContextManager[Any]:
        stack = ExitStack()
        for target, name, value in patches:
            stack.enter_context(patch.object(target, name, value))
        return stack

    return enter


#: By what is wrong with it.
MUTANTS: dict[str, Mutant] = {
    "answers before it has appended": _both((Writer, "_process", _answer_first)),
    "takes a failed append for done": _both((SimulatedLeader, "append", _append_and_hope)),
    "has no fence": _both((Postgres, "fenced", False)),
    "goes on with the memory of a term that failed": _both((Replica, "forget", lambda self: None)),
    "begins a term without the client order ids": _both(
        (ClientOrders, "load", _load_nothing), (ClientOrders, "learn", lambda self, entries: None)
    ),
    "remembers a client order id once it is answered": _both((ClientOrders, "_remember_all", _remember_what_is_done)),
    "says NOT_RECEIVED without waiting for what is under way": _both((Corridor, "barrier", _look_at_once)),
    "reads without waiting for the tables": _both((Exchange, "caught_up", _read_at_once)),
    "forgets what it told": _both((Told, "of", lambda self, account: 0)),
    "answers reads without leading": _both((Exchange, "read_your_writes", _read_anywhere)),
}
