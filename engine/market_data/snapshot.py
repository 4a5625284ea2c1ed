"""A feed's whole state as a value and as bytes, so that a feed need not begin at the beginning."""

import json
import zlib
from typing import NamedTuple, Self

from engine.market_data.messages import BookOrder, L3Snapshot, StreamSequences

VERSION = 1
_CHECKSUM_SIZE = 4


class FeedSnapshotDamaged(Exception):
    """Bytes that no snapshot of this version has."""


class FeedSnapshot(NamedTuple):
    """All markets of a shard as of a sequence."""

    sequence: int
    trades: int  # so far in the shard
    markets: tuple[L3Snapshot, ...]

    def to_bytes(self) -> bytes:
        """The CRC-32 of the rest, little-endian, and the rest: JSON."""
        text = json.dumps([VERSION, *self], separators=(",", ":")).encode()
        return zlib.crc32(text).to_bytes(_CHECKSUM_SIZE, "little") + text

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What `to_bytes` wrote. Raises FeedSnapshotDamaged for anything else."""
        text = data[_CHECKSUM_SIZE:]
        if len(data) <= _CHECKSUM_SIZE or zlib.crc32(text) != int.from_bytes(data[:_CHECKSUM_SIZE], "little"):
            raise FeedSnapshotDamaged(
                f"the checksum of {len(data)} bytes is wrong: they are no snapshot, or a damaged one"
            )
        version, *content = json.loads(text)
        if version != VERSION:
            raise FeedSnapshotDamaged(f"the snapshot has version {version}, this build reads version {VERSION}")
        sequence, trades, markets = content
        return cls(sequence, trades, tuple(_market(*market) for market in markets))


def _market(
    market: int, sequence: int, mode: int, checksum: int, streams: list[int], orders: list[list[int]]
) -> L3Snapshot:
    placed = tuple(BookOrder(*order) for order in orders)
    return L3Snapshot(market, sequence, mode, checksum, StreamSequences(*streams), placed)
