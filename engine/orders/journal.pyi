from collections.abc import Iterable
from typing import Protocol

CHAIN_SIZE: int

class _Entry(Protocol):
    @property
    def sequence(self) -> int: ...
    @property
    def command(self) -> bytes: ...
    @property
    def events(self) -> bytes: ...

def sealed_rows(shard: int, epoch: int, entries: Iterable[_Entry], chain: bytes) -> tuple[bytearray, bytes]:
    """Return a whole COPY, in its binary format, of the entries' (shard, sequence, epoch, command, events, chain), and
    the chain value of the last.

    ``chain``: the value before the first. Each next one is a keyed hash over the entry (exchange.storage.journal.seal).
    Raises ValueError and OverflowError for a value that is beyond its column.
    """

def count_outcomes(entries: Iterable[_Entry]) -> dict[tuple[int, bool], int]:
    """Return how many there are of each (kind of the command, whether it was refused).

    Raises ValueError for what is no command record.
    """
