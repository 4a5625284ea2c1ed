"""The fast engine (Cython). `Shard` is the whole state machine; docs/engine.md says what it does."""

from engine.matching.shard import SequenceError, Shard, SnapshotError

__all__ = ["SequenceError", "Shard", "SnapshotError"]
