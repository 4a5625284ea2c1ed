"""A client order id is the same order for ever: the second request gets the first one's result.

So is the reference of a transfer, which is told from client order ids by its key (contracts/transfers.py).

Three places know an id, asked in turn: the requests of a moment ago (exact, bounded), a Bloom filter over all ids there
ever were (a 'no' is certain, and nearly every new id gets one), and the tables.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from engine.records import CommandKind, Contingency, Reason
from exchange.contracts import commands
from exchange.contracts.refusals import EdgeReason, Refused, refuse
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
Submit = Callable[[bytearray], "asyncio.Future[Entry]"]
SubmitTogether = Callable[[Sequence[bytearray]], "list[asyncio.Future[Entry]]"]


class BloomFilter:
    """A set of keys that never forgets and sometimes errs towards 'yes'."""

    def __init__(self, bits: int = FILTER_BITS, hashes: int = FILTER_HASHES) -> None:
        self._bytes = bytearray(bits // 8)
        self._mask = bits - 1
        self._hashes = hashes

    def _positions(self, key: Key) -> list[int]:
        # Double hashing (Kirsch and Mitzenmacher 2006): two independent hashes make as many as are needed.
        first, second = hash(key), hash(key[::-1]) | 1
        return [(first + i * second) & self._mask for i in range(self._hashes)]

    def add(self, key: Key) -> None:
        for position in self._positions(key):
            self._bytes[position >> 3] |= 1 << (position & 7)

    def __contains__(self, key: Key) -> bool:
        return all(self._bytes[position >> 3] >> (position & 7) & 1 for position in self._positions(key))


class ClientOrders:
    """Remembers who asked for what. ``find``: look an id up in the tables, None for one they do not have."""

    def __init__(
        self,
        find: Callable[[int, str], Awaitable[Entry | None]],
        projected: Callable[[], int],
    ) -> None:
        self._find = find
        self._projected = projected
        self._recent: OrderedDict[Key, asyncio.Future[Entry]] = OrderedDict()
        self._seen = BloomFilter()

    async def load(self, ids: AsyncIterator[Key]) -> None:
        """Forget everything, and learn all ids that the tables hold; what the journal has beyond them is learned."""
        self._recent.clear()
        self._seen = BloomFilter()
        async for key in ids:
            self._seen.add(key)

    def learn(self, entries: Sequence[Entry]) -> None:
        """Take in what the journal has of another leader's, or of an earlier term."""
        for entry in entries:
            key = _key_of(entry.command)
            if key is not None:
                answer: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
                answer.set_result(entry)
                self._remember(key, answer)

    async def place(self, key: Key, command: bytearray, submit: Submit) -> Result:
        """Return (entry, whether it was there before): submit the command, or the result of the first one with its id.

        Raises Refused CLIENT_ORDER_ID_REUSED, of a transfer REFERENCE_REUSED, when the first one asked for something
        else.
        """
        earlier = await self._earlier(key)
        if earlier is not None:
            return _same_or_refuse(key, command, earlier), True
        answer = submit(command)
        self._remember(key, answer)
        return await asyncio.shield(answer), False

    async def place_all(self, requests: Sequence[Request], submit: SubmitTogether) -> list[Result | Refused]:
        """Do the same for each of several requests; those that are new are submitted together, in their order."""
        earlier = await asyncio.gather(*[self._earlier_result(*request) for request in requests])
        results: dict[int, Result | Refused] = {n: result for n, result in enumerate(earlier) if result is not None}
        # From here to the submission nothing awaits: what is new now stays new.
        answers: dict[int, asyncio.Future[Entry]] = {}
        keys = {key for number, (key, _) in enumerate(requests) if number not in results and key in self._recent}
        fresh = []
        for number, (key, command) in enumerate(requests):
            if number not in results and (key is None or key not in keys):
                fresh.append((number, key, command))
                if key is not None:
                    keys.add(key)
        if fresh:
            submitted = submit([command for _, _, command in fresh])
            for (number, key, _), answer in zip(fresh, submitted, strict=True):
                answers[number] = answer
                if key is not None:
                    self._remember(key, answer)
        for number, (key, command) in enumerate(requests):
            if number in answers:
                results[number] = await _result_of(answers[number])
            elif number not in results:  # the id of another request of a moment ago, maybe in the same batch
                results[number] = await self._earlier_result(key, command) or _lost()
        return [results[number] for number in range(len(requests))]

    async def place_linked(self, requests: Sequence[Request], submit: SubmitTogether) -> list[Result | Refused]:
        """Place orders that hang on each other: all of them now, or all of them were placed before.

        Raises Refused CLIENT_ORDER_ID_REUSED when only some were.
        """
        earlier = await asyncio.gather(*[self._earlier_result(*request) for request in requests])
        found = [result for result in earlier if result is not None]
        if found and len(found) < len(requests):
            detail = "some of these client order ids were used before and some not: new orders need new ids"
            raise refuse(Reason.CLIENT_ORDER_ID_REUSED, detail, field="client_order_id", limit="unique per account")
        return found or await self.place_all(requests, submit)

    async def _earlier_result(self, key: Key | None, command: bytearray) -> Result | Refused | None:
        if key is None:
            return None
        try:
            earlier = await self._earlier(key)
            return None if earlier is None else (_same_or_refuse(key, command, earlier), True)
        except Refused as refused:
            return refused

    async def _earlier(self, key: Key) -> Entry | None:
        """The result of the first request with an id, once it is known; None where there was none."""
        known = self._recent.get(key)
        if known is None and key in self._seen:
            entry = await self._find(*key)
            if entry is not None:
                return entry
            known = self._recent.get(key)  # another request may have come in while we looked
        return None if known is None else await asyncio.shield(known)

    def _remember(self, key: Key, answer: "asyncio.Future[Entry]") -> None:
        self._seen.add(key)
        self._recent[key] = answer
        answer.add_done_callback(lambda done: self._forget_failed(key, done))
        while len(self._recent) > RECENT_MAX:
            oldest, first = next(iter(self._recent.items()))
            if not first.done() or _sequence_of(first) > self._projected():
                break  # the tables do not have it yet: over the bound for a moment rather than wrong
            del self._recent[oldest]

    def _forget_failed(self, key: Key, answer: "asyncio.Future[Entry]") -> None:
        # Not placed, or not known: the next request with this id must not meet a dead answer.
        failed = answer.cancelled() or answer.exception() is not None
        if failed and self._recent.get(key) is answer:
            del self._recent[key]


def _key_of(command: bytes) -> Key | None:
    name: str | None = None
    if command[commands.KIND] in _PLACING:
        name = commands.client_order_id(command)
    elif command[commands.KIND] in _TRANSFERS and (reference := commands.reference(command)) is not None:
        name = transfer_key(reference)
    return None if name is None else (commands.account_of(command), name)


def _sequence_of(answer: "asyncio.Future[Entry]") -> int:
    failed = answer.cancelled() or answer.exception() is not None
    return 0 if failed else answer.result().sequence


async def _result_of(answer: "asyncio.Future[Entry]") -> Result | Refused:
    try:
        return await asyncio.shield(answer), False
    except Refused as refused:
        return refused


def _lost() -> Refused:
    return refuse(EdgeReason.OUTCOME_UNKNOWN, "the first request with this client_order_id failed; send it again")


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
