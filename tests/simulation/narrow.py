"""Bounds so low that every run meets them: what a real exchange comes to after a million orders."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch
from zlib import crc32

from exchange.corridor import client_orders, corridor, live, recovery, replica, writer
from exchange.corridor.client_orders import BloomFilter, Key


class NarrowFilter(BloomFilter):
    """A filter that errs often, and the same way in every process: Python's own hash of a text does not."""

    def __init__(self) -> None:
        super().__init__(bits=256, hashes=2)

    @staticmethod
    def _hash(key: Key) -> int:
        text = repr(key).encode()
        return crc32(text) | crc32(text[::-1]) << 32


@contextmanager
def narrowed(rng: random.Random) -> Iterator[None]:
    """Set the corridor's bounds for one run."""
    bounds = [
        (client_orders, "RECENT_MAX", (2, 20, 1_000)),
        (client_orders, "BloomFilter", (NarrowFilter,)),
        (corridor, "SNAPSHOT_EVERY", (5, 25, 1_000)),
        (corridor, "TOLD_MAX", (1, 100)),
        (writer, "INBOX_MAX", (16, 1_000)),
        (writer, "BATCH_MAX", (1, 3, 100)),
        (live, "ENDED_MAX", (2, 1_000)),
        (recovery, "SLICE", (7, 1_000)),
        (replica, "FOLLOW_SLICE", (3, 1_000)),
    ]
    patches = [patch.object(module, name, rng.choice(values)) for module, name, values in bounds]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()
