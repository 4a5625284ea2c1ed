"""Bounds so low that every run meets them: what a real exchange comes to after a million orders."""

import random
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from unittest.mock import patch
from zlib import crc32

from engine.orders.seen import BloomFilter
from exchange.corridor import client_orders, corridor, live, recovery, replica, writer


def narrow_filter() -> BloomFilter:
    """A filter that errs often, and the same way in every process: Python's own hash of a text does not."""
    return BloomFilter(bits=256, hashes=2, hash=_hash)


def _hash(key: Hashable) -> int:
    text = repr(key).encode()
    return crc32(text) | crc32(text[::-1]) << 32


@contextmanager
def narrowed(rng: random.Random) -> Iterator[None]:
    """Set the corridor's bounds for one run."""
    bounds = [
        (client_orders, "RECENT_MAX", (2, 20, 1_000)),
        (client_orders, "new_filter", (narrow_filter,)),
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
