"""The slow, obvious engine: `docs/engine.md` as plain Python, which `engine.matching` is held against."""

from engine.errors import SequenceError, SnapshotError
from engine.reference.shard import Shard

__all__ = ["SequenceError", "Shard", "SnapshotError"]
