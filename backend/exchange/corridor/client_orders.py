"""A client order id is the same order for ever: the second request gets the first one's result.

Three places know an id, asked in turn: the requests of a moment ago (exact, bounded), a Bloom filter over all ids there
ever were (a 'no' is certain, and nearly every new id gets one), and the tables.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable

from engine.records import Reason
from exchange.contracts.refusals import refuse
from exchange.storage.journal import Entry

RECENT_MAX = 100_000  # at the bound: the oldest that the tables have is forgotten here
FILTER_BITS = 1 << 27  # 16 MiB: one false alarm in 230 at ten million ids; a false alarm costs one look-up
FILTER_HASHES = 4

Key = tuple[int, str]  # account, client order id


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
        self._recent: OrderedDict[Key, tuple[bytes, asyncio.Future[Entry]]] = OrderedDict()
        self._seen = BloomFilter()

    async def load(self, ids: AsyncIterator[Key]) -> None:
        """Learn all ids that the tables hold; they must be as far as the journal."""
        async for key in ids:
            self._seen.add(key)

    async def place(
        self, key: Key, command: bytearray, submit: "Callable[[bytearray], asyncio.Future[Entry]]"
    ) -> tuple[Entry, bool]:
        """Return (entry, whether it was there before): submit the command, or the result of the first one with its id.

        Raises Refused CLIENT_ORDER_ID_REUSED when the first one asked for something else.
        """
        asked = _what_is_asked(command)
        known = self._recent.get(key)
        if known is None and key in self._seen:
            entry = await self._find(*key)
            if entry is not None:
                return _same_or_refuse(key, asked, _what_is_asked(entry.command), entry), True
            known = self._recent.get(key)  # another request may have come in while we looked
        if known is not None:
            first_asked, answer = known
            return _same_or_refuse(key, asked, first_asked, await asyncio.shield(answer)), True
        answer = submit(command)
        self._remember(key, asked, answer)
        return await asyncio.shield(answer), False

    def _remember(self, key: Key, asked: bytes, answer: "asyncio.Future[Entry]") -> None:
        self._seen.add(key)
        self._recent[key] = (asked, answer)
        answer.add_done_callback(lambda done: self._forget_failed(key, done))
        while len(self._recent) > RECENT_MAX:
            oldest, (_, first) = next(iter(self._recent.items()))
            if not first.done() or _sequence_of(first) > self._projected():
                break  # the tables do not have it yet: over the bound for a moment rather than wrong
            del self._recent[oldest]

    def _forget_failed(self, key: Key, answer: "asyncio.Future[Entry]") -> None:
        # Not placed, or not known: the next request with this id must not meet a dead answer.
        if answer.cancelled() or answer.exception() is not None:
            self._recent.pop(key, None)


def _sequence_of(answer: "asyncio.Future[Entry]") -> int:
    failed = answer.cancelled() or answer.exception() is not None
    return 0 if failed else answer.result().sequence


def _what_is_asked(command: bytes | bytearray) -> bytes:
    """The record without what the sequencer writes into it."""
    return bytes(command[:8]) + bytes(command[24:])


def _same_or_refuse(key: Key, asked: bytes, first_asked: bytes, entry: Entry) -> Entry:
    if asked != first_asked:
        detail = (
            f"client_order_id {key[1]!r} was used for a different order (sequence {entry.sequence}); "
            "a new order needs a new id"
        )
        raise refuse(Reason.CLIENT_ORDER_ID_REUSED, detail, field="client_order_id", limit="unique per account")
    return entry
