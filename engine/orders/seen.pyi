from collections.abc import Callable, Hashable

class BloomFilter:
    """A set of keys that never forgets and sometimes errs towards 'yes'.

    ``bits``: a power of two, eight to a byte of memory. ``hashes``: how many of them a key sets. ``hash``: 64 bits of a
    key, by default Python's own, which of texts is another one in every process.
    """

    def __init__(self, bits: int, hashes: int, hash: Callable[[Hashable], int] | None = None) -> None:
        """Raises ValueError for a number of bits that is none, MemoryError."""

    def add(self, key: Hashable) -> None: ...
    def __contains__(self, key: Hashable) -> bool: ...
