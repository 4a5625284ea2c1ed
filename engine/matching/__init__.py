"""The fast engine (Cython). `Shard` is the whole state machine; docs/engine.md says what it does.

`Book` is one market's resting orders and their matching, without accounts or money.
"""

from engine.errors import SequenceError, SnapshotError
from engine.matching.bare import Book
from engine.matching.shard import Shard

__all__ = ["Book", "SequenceError", "Shard", "SnapshotError"]
