"""Depth snapshots of the past: the nearest saved snapshot before, and the events from there."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from engine.market_data.decoding import Buffer, events_until
from engine.market_data.feed import Feed
from engine.market_data.messages import L2Snapshot
from engine.market_data.snapshot import FeedSnapshot


class EventSource(Protocol):
    """Where a shard's events are kept: its journal."""

    def __call__(self, after: int, until: int) -> Iterable[Buffer]:
        """Buffers of whole commands, in order, with at least the events of the commands after < sequence <= until.

        It may give events from before and from behind as well.
        """
        ...


def feed_at(sequence: int, snapshots: Sequence[FeedSnapshot], source: EventSource) -> Feed:
    """The feed as it was when it had applied the command `sequence`; snapshots in any order, none is needed."""
    earlier = [snapshot for snapshot in snapshots if snapshot.sequence <= sequence]
    feed = Feed.restore(max(earlier, key=lambda snapshot: snapshot.sequence)) if earlier else Feed()
    for events in source(feed.sequence, sequence):
        feed.apply(events_until(events, sequence))
    return feed


def depth_at(
    market: int, sequence: int, snapshots: Sequence[FeedSnapshot], source: EventSource, levels: int = 0
) -> L2Snapshot:
    """A market's depth as of a sequence, so many levels at most (0: all). KeyError: it was not defined then."""
    return feed_at(sequence, snapshots, source).l2_snapshot(market, levels)._replace(sequence=sequence)
