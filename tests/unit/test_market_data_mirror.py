"""A consumer's books: kept from a snapshot and messages, and out of step is noticed."""

import random
import zlib
from collections.abc import Iterator

import pytest

from engine.market_data import (
    Damaged,
    Feed,
    Gap,
    L2Mirror,
    L2Update,
    L3Mirror,
    L3Update,
    Level,
    LevelChange,
    OrderChange,
    OutOfStep,
    depth_checksum,
)
from engine.records import Side
from tests.unit.test_market_data import accepted, cancelled, opened

MIRRORS: list[tuple[type, type]] = [(L2Mirror, L2Update), (L3Mirror, L3Update)]


def flow(seed: int, count: int) -> Iterator[bytes]:
    """Orders that never cross come and go."""
    rng = random.Random(seed)
    live: list[int] = []
    for sequence in range(2, 2 + count):
        if live and rng.random() < 0.4:
            yield cancelled(sequence, live.pop(rng.randrange(len(live))))
            continue
        side = rng.choice((Side.BUY, Side.SELL))
        away = rng.randint(1, 15)
        live.append(sequence)
        yield accepted(sequence, side, 100 - away if side == Side.BUY else 100 + away, rng.randint(1, 9))


def snapshot(feed: Feed, mirror: type) -> tuple[object, ...]:
    return feed.l2_snapshot(1) if mirror is L2Mirror else feed.l3_snapshot(1)


@pytest.mark.parametrize(("mirror", "update"), MIRRORS)
def test_a_mirror_is_the_book_from_any_snapshot_on(mirror: type, update: type) -> None:
    feed, mirrors = opened(), []
    for number, events in enumerate(flow(1, 300)):
        if number % 20 == 0:
            mirrors.append(mirror(snapshot(feed, mirror)))
        messages = [message for message in feed.apply(events) if isinstance(message, update)]
        depth = feed.l2_snapshot(1)
        for each in mirrors:
            assert [each.apply(message) for message in messages] == [True] * len(messages)
            assert each.depth() == (list(depth.bids), list(depth.asks))
            assert each.depth(3) == (list(depth.bids)[:3], list(depth.asks)[:3])
    assert len(mirrors) == 15


def test_the_order_mirror_knows_the_queue() -> None:
    feed = opened()
    mirror = L3Mirror(feed.l3_snapshot(1))
    for events in flow(2, 200):
        for message in feed.apply(events):
            if isinstance(message, L3Update):
                mirror.apply(message)
        assert mirror.orders() == list(feed.l3_snapshot(1).orders)


@pytest.mark.parametrize(("mirror", "update"), MIRRORS)
def test_messages_that_a_snapshot_includes_are_passed_over(mirror: type, update: type) -> None:
    feed = opened()
    messages = [m for events in flow(3, 50) for m in feed.apply(events) if isinstance(m, update)]
    late = mirror(snapshot(feed, mirror))
    assert not any(late.apply(message) for message in messages)


@pytest.mark.parametrize(("mirror", "update"), MIRRORS)
def test_any_missing_message_is_a_gap(mirror: type, update: type) -> None:
    feed = opened()
    start = snapshot(feed, mirror)
    messages = [m for events in flow(4, 60) for m in feed.apply(events) if isinstance(m, update)]
    for missing in range(len(messages) - 1):
        kept = mirror(start)
        for message in messages[:missing]:
            kept.apply(message)
        with pytest.raises(Gap, match=f"the message before {messages[missing + 1].sequence} was"):
            kept.apply(messages[missing + 1])


def test_a_wrong_number_in_a_level_of_the_best_ten_is_damage() -> None:
    feed = opened()
    mirror = L2Mirror(feed.l2_snapshot(1))
    (good,) = (m for m in feed.apply(accepted(2, Side.BUY, 100, 5)) if isinstance(m, L2Update))
    bad = good._replace(levels=(LevelChange(Side.BUY, 100, 6, 1),))
    with pytest.raises(Damaged, match="market 1 at 2: the checksum is"):
        mirror.apply(bad)
    with pytest.raises(Damaged, match="side 3"):
        L2Mirror(feed.l2_snapshot(1)).apply(good._replace(sequence=9, levels=(LevelChange(3, 100, 6, 1),)))


@pytest.mark.parametrize(
    "change",
    [
        OrderChange(1, 2, Side.BUY, 100, 5, 0, 0),  # added twice
        OrderChange(1, 9, Side.BUY, 100, 0, 0, 0),  # added with nothing
        OrderChange(2, 9, Side.BUY, 100, 5, 0, 0),  # never added
        OrderChange(3, 2, Side.SELL, 100, 4, 1, 1),  # on the other side
        OrderChange(3, 2, Side.BUY, 101, 4, 1, 1),  # at another price
        OrderChange(3, 2, Side.BUY, 100, -1, 6, 1),  # more than there is
        OrderChange(2, 2, Side.BUY, 100, 4, 0, 0),  # possible, but not what the checksum says
    ],
)
def test_a_step_that_cannot_be_is_damage(change: OrderChange) -> None:
    feed = opened(accepted(2, Side.BUY, 100, 5))
    mirror = L3Mirror(feed.l3_snapshot(1))
    (good,) = (m for m in feed.apply(accepted(3, Side.BUY, 99, 5)) if isinstance(m, L3Update))
    with pytest.raises(Damaged):
        mirror.apply(good._replace(changes=(change, *good.changes)))


def test_a_damaged_snapshot_is_found() -> None:
    feed = opened(accepted(2, Side.BUY, 100, 5))
    with pytest.raises(OutOfStep):
        L2Mirror(feed.l2_snapshot(1)._replace(bids=(Level(100, 4, 1),)))
    with pytest.raises(OutOfStep):
        L3Mirror(feed.l3_snapshot(1)._replace(orders=()))


def test_a_message_of_another_market_is_a_callers_mistake() -> None:
    feed = opened()
    mirror = L2Mirror(feed.l2_snapshot(1))
    (update,) = (m for m in feed.apply(accepted(2, Side.BUY, 100, 5)) if isinstance(m, L2Update))
    with pytest.raises(ValueError, match="an update of market 2"):
        mirror.apply(update._replace(market=2))


def test_a_side_without_a_level_is_left_out_of_the_checksum() -> None:
    assert depth_checksum([], []) == 0
    bids, asks = [Level(100, 5, 9), Level(99, 1, 9)], [Level(101, 2, 9)]
    assert depth_checksum(bids, asks) == zlib.crc32(b"100:5:101:2:99:1")
    assert depth_checksum(bids[:1], []) == zlib.crc32(b"100:5")
