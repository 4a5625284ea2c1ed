"""A client order id is the same order for ever: the second request gets the first one's result.

So is the reference of a transfer, which is told from client order ids by its key (contracts/transfers.py).

Three places know an id, asked in turn: the requests of a moment ago (exact, bounded), a Bloom filter over all ids there
ever were (a 'no' is certain, and nearly every new id gets one), and the tables.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from engine.orders.batches import Answer
from engine.orders.seen import BloomFilter, RecentAnswers
from engine.records import CommandKind, Contingency, Reason
from exchange.contracts import commands
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.contracts.transfers import reference_of, transfer_key
from exchange.storage.journal import Entry

RECENT_MAX = 100_000  # at the bound: the oldest that the tables have is forgotten here
FILTER_BITS = 1 << 27  # 16 MiB: one false alarm in 230 at ten million ids; a false alarm costs one look-up
FILTER_HASHES = 4

_PLACING = frozenset((CommandKind.PLACE, CommandKind.CANCEL_REPLACE))
_TRANSFERS = frozenset((CommandKind.DEPOSIT, CommandKind.WITHDRAW))

Key = tuple[int, str]  # account, client order id or the key of a transfer
Request = tuple[Key | None, bytearray]  # None: an order without an id is new every time
Result = tuple[Entry, bool]  # whether an earlier request with the same id had it
Submit = Callable[[bytearray], Answer[Entry]]
SubmitTogether = Callable[[Sequence[bytearray]], list[Answer[Entry]]]


def new_filter() -> BloomFilter:
    """An empty filter, large enough for all ids there will be."""
    return BloomFilter(FILTER_BITS, FILTER_HASHES)


class Placing(Protocol):
    """A request that is decided: its command is in the inbox, or it repeats an earlier one."""

    async def result(self) -> Result:
        """Return (entry, whether an earlier request with the same id had it) once it is durable. Raises Refused."""

    def then(self, call: "Callable[[Placing], None]") -> None:
        """Call when ``taken`` has something to give, in the order of the commands."""

    def taken(self) -> Result:
        """Do what ``result`` does, where it is known already."""


class Repeated:
    """A request that repeats an earlier one, whose ``answer`` it gets."""

    __slots__ = ("_answer", "_command", "_key")

    def __init__(self, answer: Answer[Entry], key: Key, command: bytearray) -> None:
        self._answer = answer
        self._key = key
        self._command = command

    async def result(self) -> Result:
        """Return (entry, True) once it is durable.

        Raises Refused CLIENT_ORDER_ID_REUSED, of a transfer REFERENCE_REUSED, where the earlier one asked for something
        else, and as ``Writer.submit``.
        """
        await self._answer.wait()
        return self.taken()

    def then(self, call: Callable[[Placing], None]) -> None:
        self._answer.then(lambda _: call(self))

    def taken(self) -> Result:
        entry, _ = self._answer.taken()
        return _same_or_refuse(self._key, self._command, entry), True


class ClientOrders:
    """Remembers who asked for what. ``find``: look an id up in the tables, None for one they do not have."""

    def __init__(
        self,
        find: Callable[[int, str], Awaitable[Entry | None]],
        projected: Callable[[], int],
    ) -> None:
        self._find = find
        self._projected = projected
        self._lookups: set[asyncio.Future[None]] = set()  # requests that ask the tables and are not submitted yet
        self._recent: RecentAnswers[Key, Entry] = RecentAnswers()
        self._seen = new_filter()

    async def load(self, ids: AsyncIterator[Key]) -> None:
        """Forget everything, and learn all ids that the tables hold; what the journal has beyond them is learned."""
        self._recent.clear()
        self._seen = new_filter()
        async for key in ids:
            self._seen.add(key)

    def learn(self, entries: Sequence[Entry]) -> None:
        """Take in what the journal has of another leader's, or of an earlier term."""
        learned = [(key, Answer.of(entry)) for entry in entries if (key := _key_of(entry.command)) is not None]
        self._remember_all([key for key, _ in learned], [answer for _, answer in learned])

    async def begin(self, key: Key, command: bytearray, submit: Submit) -> Placing:
        """Submit the command, unless its id was there before; return as soon as that is decided."""
        placing = self.begin_now(key, command, submit)
        if placing is not None:
            return placing
        with self._looking():
            entry = await self._find(*key)
        if entry is not None:
            return Repeated(Answer.of(entry), key, command)
        earlier = self._of_a_moment_ago(key)  # another request may have come in while we looked
        if earlier is not None:
            return Repeated(earlier, key, command)
        answer = submit(command)
        self._remember_all([key], [answer])
        return answer

    def begin_now(self, key: Key, command: bytearray, submit: Submit) -> Placing | None:
        """Do the same at once; None where the tables have to be asked first."""
        earlier = self._of_a_moment_ago(key)
        if earlier is not None:
            return Repeated(earlier, key, command)
        if key in self._seen:
            return None
        answer = submit(command)
        self._remember_all([key], [answer])
        return answer

    async def begin_all(
        self, requests: Sequence[Request], submit: SubmitTogether, *, linked: bool = False
    ) -> list[Placing]:
        """Do the same for several requests; those that are new are submitted together, in their order.

        ``linked``: they hang on each other, so that all of them are new or all were placed before. Raises Refused
        CLIENT_ORDER_ID_REUSED when only some were.
        """
        new = self.begin_all_now(requests, submit)
        if new is not None:
            return [*new]
        found = await self._look_up(requests)
        # From here to the submission nothing awaits: what is new now stays new.
        earlier: list[Answer[Entry] | None] = []
        fresh: dict[Key | int, bytearray] = {}  # by its id, of which the first in this batch counts, or by its place
        for number, (key, command) in enumerate(requests):
            answer = None if key is None else self._of_a_moment_ago(key)
            if answer is None and key in found:
                answer = found[key]
            if answer is None:
                fresh.setdefault(number if key is None else key, command)
            earlier.append(answer)
        if linked and None in earlier and any(earlier):
            detail = "some of these client order ids were used before and some not: new orders need new ids"
            raise refuse(Reason.CLIENT_ORDER_ID_REUSED, detail, field="client_order_id", limit="unique per account")
        answers = dict(zip(fresh, submit(list(fresh.values())), strict=True)) if fresh else {}
        named = {name: answer for name, answer in answers.items() if not isinstance(name, int)}
        self._remember_all([*named], [*named.values()])
        if len(answers) == len(requests):
            return [*answers.values()]
        placings: list[Placing] = []
        for number, (key, command) in enumerate(requests):
            name = number if key is None else key
            if fresh.get(name) is command:
                placings.append(answers[name])
            else:
                assert key is not None, "what has no id repeats nothing"
                placings.append(Repeated(earlier[number] or answers[name], key, command))
        return placings

    def begin_all_now(self, requests: Sequence[Request], submit: SubmitTogether) -> list[Answer[Entry]] | None:
        """Do the same at once; None where one of them may have been there before, which nearly none was."""
        keys = [key for key, _ in requests if key is not None]
        if len(set(keys)) != len(keys) or self._seen.has_any(keys):
            return None
        answers = submit([command for _, command in requests])
        named = answers
        if len(keys) != len(answers):
            named = [answer for (key, _), answer in zip(requests, answers, strict=True) if key is not None]
        self._remember_all(keys, named)
        return answers

    async def settled(self) -> None:
        """Return once every request that had come before this call is submitted, or known, or gone."""
        if self._lookups:
            await asyncio.wait(list(self._lookups))

    @contextmanager
    def _looking(self) -> Iterator[None]:
        looking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lookups.add(looking)
        try:
            yield
        finally:  # who waits for it goes on after what follows here at once: the submission
            self._lookups.discard(looking)
            looking.set_result(None)

    async def _look_up(self, requests: Sequence[Request]) -> dict[Key, Answer[Entry]]:
        """What the tables have of ids that may have been used, but not a moment ago.

        With what was there a moment ago: it may be forgotten here while others are looked up there.
        """
        used = [key for key, _ in requests if key is not None and key in self._seen]
        found = {key: answer for key in used if (answer := self._of_a_moment_ago(key)) is not None}
        keys = [key for key in used if key not in found]
        if keys:
            with self._looking():
                entries = await asyncio.gather(*[self._find(*key) for key in keys])
            found |= {key: Answer.of(entry) for key, entry in zip(keys, entries, strict=True) if entry is not None}
        return found

    def _of_a_moment_ago(self, key: Key) -> Answer[Entry] | None:
        answer = self._recent.get(key)
        if answer is not None and answer.failed:
            # Not placed, or not known: the next request with this id must not meet a dead answer.
            self._recent.drop(key)
            return None
        return answer

    def _remember_all(self, keys: list[Key], answers: list[Answer[Entry]]) -> None:
        self._seen.add_all(keys)
        self._recent.remember_all(keys, answers)
        if len(self._recent) > RECENT_MAX:
            # What the tables do not have yet stays: over the bound for a moment rather than wrong.
            self._recent.forget(RECENT_MAX, self._projected())


def _key_of(command: bytes) -> Key | None:
    name: str | None = None
    if command[commands.KIND] in _PLACING:
        name = commands.client_order_id(command)
    elif command[commands.KIND] in _TRANSFERS and (reference := commands.reference(command)) is not None:
        name = transfer_key(reference)
    return None if name is None else (commands.account_of(command), name)


def what_is_asked(command: bytes | bytearray) -> bytes:
    """The record without what the sequencer writes into it: sequence, time, and the order that a linked one names."""
    linked = command[commands.KIND] == CommandKind.PLACE and command[commands.CONTINGENCY] in (
        Contingency.ONE_CANCELS_OTHER,
        Contingency.ONE_TRIGGERS_OTHER,
    )
    return bytes(command[1:8]) + bytes(command[24:32]) + bytes(command[40:] if linked else command[32:])


def _is_same(asked: bytearray, first: bytes) -> bool:
    if first[commands.VERSION] == 1:  # it knew no self-trade prevention: what is asked by default today does not matter
        asked = asked.copy()
        asked[commands.SELF_TRADE] = 0
    return what_is_asked(asked) == what_is_asked(first)


def _same_or_refuse(key: Key, asked: bytearray, first: Entry) -> Entry:
    if _is_same(asked, first.command):
        return first
    reference = reference_of(key[1])
    if reference is not None:
        detail = f"reference {reference!r} was used for a different transfer (sequence {first.sequence})"
        raise refuse(EdgeReason.REFERENCE_REUSED, detail, field="reference", limit="unique per account")
    detail = (
        f"client_order_id {key[1]!r} was used for a different order (sequence {first.sequence}); "
        "a new order needs a new id"
    )
    raise refuse(Reason.CLIENT_ORDER_ID_REUSED, detail, field="client_order_id", limit="unique per account")
