"""How fast a market is told out of its events: `make bench`. Hold it against the rate at which orders are taken."""

from typing import Any

import pytest

from engine import matching, records
from engine.market_data import Feed, FeedSnapshot, L2Mirror, L2Update, L3Mirror, L3Update, Message
from tests.performance.state_machine import as_commands, opening
from tests.performance.workloads import workload

COMMANDS = 100_000


def realistic_events(batch: int) -> tuple[bytes, list[bytes]]:
    """The opening's events, and those of 100,000 commands in batches of so many."""
    shard = matching.Shard()
    opened = b"".join(map(shard.apply, opening()))
    batches = as_commands(workload("realistic", COMMANDS), shard.sequence + 1, size=batch)
    return opened, [shard.apply(commands) for commands in batches]


def opened_feed(opened: bytes) -> Feed:
    feed = Feed()
    feed.apply(opened)
    return feed


@pytest.mark.parametrize("batch", [1, 16, 1_000])
def test_events_into_messages(benchmark: Any, batch: int) -> None:
    """Books, L1, L2, L3, trades and checksums, a message a command and stream."""
    opened, batches = realistic_events(batch)

    def run(feed: Feed) -> int:
        return sum(len(feed.apply(events)) for events in batches)

    told = benchmark.pedantic(run, setup=lambda: ((opened_feed(opened),), {}), rounds=3)
    benchmark.extra_info["events"] = sum(map(len, batches)) // records.EVENT_SIZE
    benchmark.extra_info["commands"], benchmark.extra_info["messages"] = COMMANDS, told
    assert told > COMMANDS


@pytest.mark.parametrize("mirror", [L2Mirror, L3Mirror])
def test_messages_into_a_consumers_mirror(benchmark: Any, mirror: type[L2Mirror] | type[L3Mirror]) -> None:
    """Continuity and checksum of every message proven."""
    opened, batches = realistic_events(1_000)
    feed = opened_feed(opened)
    starts: dict[Any, Any] = {L2Mirror: feed.l2_snapshot(1), L3Mirror: feed.l3_snapshot(1)}
    kind: Any = L2Update if mirror is L2Mirror else L3Update
    messages: list[Any] = [m for events in batches for m in feed.apply(events) if isinstance(m, kind)]

    def run(book: Any) -> Any:
        for message in messages:
            book.apply(message)
        return book

    book = benchmark.pedantic(run, setup=lambda: ((mirror(starts[mirror]),), {}), rounds=3)
    benchmark.extra_info["messages"] = len(messages)
    depth = feed.l2_snapshot(1)
    assert book.depth() == (list(depth.bids), list(depth.asks))


def test_a_snapshot_to_bytes_and_back(benchmark: Any) -> None:
    """Some 50,000 orders."""
    opened, batches = realistic_events(1_000)
    feed = opened_feed(opened)
    told: list[Message] = [message for events in batches for message in feed.apply(events)]
    restored = benchmark(lambda: Feed.restore(FeedSnapshot.from_bytes(feed.snapshot().to_bytes())))
    benchmark.extra_info["orders"] = len(restored.view(1).book)
    assert told and restored.snapshot() == feed.snapshot()
