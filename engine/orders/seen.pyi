from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from engine.orders.batches import Answer

Key = TypeVar("Key", bound=Hashable)
Entry = TypeVar("Entry")

class BloomFilter:
    """A set of keys that never forgets and sometimes errs towards 'yes'.

    ``bits``: a power of two, eight to a byte of memory. ``hashes``: how many of them a key sets. ``hash``: 64 bits of a
    key, by default Python's own, which of texts is another one in every process.
    """

    def __init__(self, bits: int, hashes: int, hash: Callable[[Hashable], int] | None = None) -> None:
        """Raises ValueError for a number of bits that is none, MemoryError."""

    def add(self, key: Hashable) -> None: ...
    def __contains__(self, key: Hashable) -> bool: ...
    def add_all(self, keys: list[Key]) -> None:
        """Add several: cheaper than one after the other."""
    def has_any(self, keys: list[Key]) -> bool:
        """Whether one of them is in it."""

class RecentAnswers(Generic[Key, Entry]):
    """The answers to the latest requests by their keys. A key's last answer counts."""

    def clear(self) -> None: ...
    def __len__(self) -> int:
        """How many are kept, dropped ones included until they are the oldest."""
    def get(self, key: Key) -> Answer[Entry] | None: ...
    def drop(self, key: Key) -> None:
        """Know nothing of a key any more. Raises KeyError for one that is not known."""
    def remember_all(self, keys: list[Key], answers: list[Answer[Entry]]) -> None:
        """Remember an answer for each key. Raises ValueError where these are not as many."""
    def forget(self, most: int, sequence: int) -> None:
        """Forget the oldest of more than ``most``, up to the first one that must be kept.

        That is one whose answer is not known yet, or whose entry is beyond ``sequence``. Failed answers may go.
        """
