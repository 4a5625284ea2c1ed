"""Market data out of the engine: books, messages and snapshots made of nothing but event records.

`Feed` turns a shard's events into messages and snapshots; `L2Mirror` and `L3Mirror` are what a consumer makes of them;
`depth_at` answers for the past. Pure Python, no I/O. docs/market_data.md has the streams' rules.
"""

from engine.market_data.decoding import events_until
from engine.market_data.feed import Feed
from engine.market_data.history import EventSource, depth_at, feed_at
from engine.market_data.messages import (
    Action,
    BookOrder,
    L1Update,
    L2Snapshot,
    L2Update,
    L3Snapshot,
    L3Update,
    Level,
    LevelChange,
    Message,
    ModeChange,
    ModeUpdate,
    OrderChange,
    StreamSequences,
    Trade,
    TradesUpdate,
)
from engine.market_data.mirror import Damaged, Gap, L2Mirror, L3Mirror, OutOfStep, depth_checksum
from engine.market_data.snapshot import FeedSnapshot, FeedSnapshotDamaged
from engine.market_data.view import BookView, EventsInconsistent

__all__ = [
    "Action",
    "BookOrder",
    "BookView",
    "Damaged",
    "EventSource",
    "EventsInconsistent",
    "Feed",
    "FeedSnapshot",
    "FeedSnapshotDamaged",
    "Gap",
    "L1Update",
    "L2Mirror",
    "L2Snapshot",
    "L2Update",
    "L3Mirror",
    "L3Snapshot",
    "L3Update",
    "Level",
    "LevelChange",
    "Message",
    "ModeChange",
    "ModeUpdate",
    "OrderChange",
    "OutOfStep",
    "StreamSequences",
    "Trade",
    "TradesUpdate",
    "depth_at",
    "depth_checksum",
    "events_until",
    "feed_at",
]
