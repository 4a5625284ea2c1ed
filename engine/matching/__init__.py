"""The fast engine (Cython). `Shard` is the whole state machine; docs/engine.md says what it does."""

from engine.errors import SequenceError, SnapshotError
from engine.matching.shard import Shard

__all__ = ["SequenceError", "Shard", "SnapshotError"]
