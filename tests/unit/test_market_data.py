"""Each rule by which the view of a market follows from event records, event by event."""

import zlib
from typing import Any, TypeVar

import numpy as np
import pytest

from engine.market_data import (
    Action,
    EventsInconsistent,
    Feed,
    FeedSnapshot,
    FeedSnapshotDamaged,
    L1Update,
    L2Update,
    L3Update,
    Level,
    LevelChange,
    Message,
    ModeChange,
    ModeUpdate,
    OrderChange,
    Trade,
    TradesUpdate,
    depth_at,
    events_until,
)
from engine.records import (
    EVENT,
    EVENT_SIZE,
    FLAG_AUCTION,
    FLAG_PRIORITY_KEPT,
    MODE_EVENT,
    ORDER_EVENT,
    EventKind,
    Mode,
    OrderType,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)

BUY, SELL = Side.BUY, Side.SELL
M = TypeVar("M")
LIMIT_ORDER = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, "market": 1}
ADD, CHANGE, EXECUTE, DELETE = Action


def event(kind: EventKind, sequence: int, **fields: Any) -> bytes:
    layout = {EventKind.TRADED: EVENT, EventKind.PREVENTED: EVENT, EventKind.MODE_CHANGED: MODE_EVENT}
    values: Any = np.zeros(1, layout.get(kind, ORDER_EVENT))
    for name, value in {"kind": kind, "sequence": sequence, "timestamp_ns": sequence * 1000, **fields}.items():
        values[name] = value
    return bytes(values.tobytes())


def accepted(order_id: int, side: Side, price_ticks: int, lots: int, **fields: Any) -> bytes:
    terms = {**LIMIT_ORDER, "order_id": order_id, "side": side, "price_ticks": price_ticks}
    terms |= {"quantity_lots": lots, "remaining_lots": lots, "visible_lots": fields.get("display_lots", 0)}
    return event(EventKind.ACCEPTED, order_id, **terms | fields)


def iceberg(order_id: int, side: Side, price_ticks: int, lots: int, display_lots: int) -> bytes:
    return accepted(order_id, side, price_ticks, lots, display_lots=display_lots)


def order_event(
    kind: EventKind, sequence: int, order_id: int, side: Side, price: int, remaining: int, **more: Any
) -> bytes:
    terms = {**LIMIT_ORDER, "order_id": order_id, "side": side, "price_ticks": price, "remaining_lots": remaining}
    return event(kind, sequence, **terms | more)


def traded(
    sequence: int, taker: int, side: Side, maker: int, price: int, lots: int, left: tuple[int, int], **more: Any
) -> bytes:
    terms = {**LIMIT_ORDER, "order_id": taker, "side": side, "maker_order_id": maker, "price_ticks": price}
    terms |= {"quantity_lots": lots, "remaining_lots": left[0], "maker_remaining_lots": left[1]}
    return event(sequence=sequence, **{"kind": EventKind.TRADED, "trade_id": 1, **terms, **more})


def cancelled(sequence: int, order_id: int) -> bytes:
    return event(EventKind.CANCELLED, sequence, market=1, order_id=order_id)


def opened(*events: bytes) -> Feed:
    """A feed with one market and these events."""
    feed = Feed()
    feed.apply(event(EventKind.MARKET_DEFINED, 1, market=1) + b"".join(events))
    return feed


def orders(feed: Feed) -> list[tuple[int, int]]:
    """(order_id, visible_lots) in the order of the book."""
    return [(order.order_id, order.visible_lots) for order in feed.l3_snapshot(1).orders]


def steps(messages: list[Message]) -> list[tuple[int, int, int]]:
    """(action, order_id, visible_lots) of the one L3 message."""
    (update,) = (message for message in messages if isinstance(message, L3Update))
    return [(change.action, change.order_id, change.visible_lots) for change in update.changes]


def of(kind: type[M], messages: list[Message]) -> list[M]:
    return [message for message in messages if isinstance(message, kind)]


# The book


def test_an_accepted_limit_order_rests_behind_the_others_at_its_price() -> None:
    feed = opened(accepted(2, BUY, 100, 5), accepted(3, BUY, 100, 7))
    messages = feed.apply(accepted(4, BUY, 99, 1))
    assert orders(feed) == [(2, 5), (3, 7), (4, 1)]
    assert feed.l2_snapshot(1).bids == (Level(100, 12, 2), Level(99, 1, 1))
    assert of(L3Update, messages)[0].changes == (OrderChange(ADD, 4, BUY, 99, 1, 0, 0),)
    assert of(L2Update, messages)[0].levels == (LevelChange(BUY, 99, 1, 1),)


def test_bids_and_asks_stand_best_first() -> None:
    feed = opened(
        *(accepted(n, side, 100 + n * (1 if side == SELL else -1), 1) for n, side in enumerate((BUY, SELL) * 2, 2))
    )
    depth = feed.l2_snapshot(1)
    assert [level.price_ticks for level in depth.bids] == [98, 96]
    assert [level.price_ticks for level in depth.asks] == [103, 105]


def test_a_taker_is_added_after_its_trades_with_what_remains() -> None:
    feed = opened(accepted(2, SELL, 100, 5))
    messages = feed.apply(accepted(3, BUY, 101, 8) + traded(3, 3, BUY, 2, 100, 5, (3, 0)))
    assert steps(messages) == [(EXECUTE, 2, 0), (ADD, 3, 3)]
    assert of(L2Update, messages)[0].levels == (LevelChange(SELL, 100, 0, 0), LevelChange(BUY, 101, 3, 1))
    assert of(TradesUpdate, messages)[0].trades == (Trade(1, BUY, 100, 5),)
    assert of(L1Update, messages)[0][4:] == (101, 3, 0, 0)


def test_a_taker_that_is_filled_never_stands_in_the_book() -> None:
    feed = opened(accepted(2, SELL, 100, 5))
    messages = feed.apply(accepted(3, BUY, 101, 3) + traded(3, 3, BUY, 2, 100, 3, (0, 2)))
    assert steps(messages) == [(EXECUTE, 2, 2)]
    assert orders(feed) == [(2, 2)]


@pytest.mark.parametrize(
    "terms",
    [
        {"time_in_force": TimeInForce.IOC},
        {"time_in_force": TimeInForce.FOK},
        {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC},
        {"order_type": OrderType.STOP_LIMIT, "asset": 1},
        {"order_type": OrderType.TRAILING_STOP, "asset": 1},
        {"asset": 2},
    ],
)
def test_an_order_that_may_not_rest_or_waits_is_not_seen(terms: dict[str, int]) -> None:
    feed = opened()
    assert feed.apply(accepted(2, BUY, 100, 5, **terms)) == []
    assert feed.apply(cancelled(3, 2)) == []
    assert orders(feed) == []


@pytest.mark.parametrize("lasting", [TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY])
def test_every_lasting_limit_order_rests(lasting: TimeInForce) -> None:
    assert orders(opened(accepted(2, BUY, 100, 5, time_in_force=lasting))) == [(2, 5)]


@pytest.mark.parametrize(
    ("kind", "order_type", "rests"),
    [
        (EventKind.TRIGGERED, OrderType.STOP_LIMIT, True),
        (EventKind.TRIGGERED, OrderType.TAKE_PROFIT_LIMIT, True),
        (EventKind.TRIGGERED, OrderType.STOP, False),
        (EventKind.TRIGGERED, OrderType.TAKE_PROFIT, False),
        (EventKind.TRIGGERED, OrderType.TRAILING_STOP, False),
        (EventKind.ACTIVATED, OrderType.LIMIT, True),
        (EventKind.ACTIVATED, OrderType.STOP_LIMIT, False),
        (EventKind.ACTIVATED, OrderType.STOP, False),
    ],
)
def test_a_waiting_order_comes_to_the_book_as_a_limit_order_only(
    kind: EventKind, order_type: OrderType, rests: bool
) -> None:
    feed = opened(accepted(2, BUY, 100, 5, order_type=order_type, asset=1 if kind == EventKind.TRIGGERED else 2))
    feed.apply(order_event(kind, 3, 2, BUY, 100, 4, order_type=order_type))
    assert orders(feed) == ([(2, 4)] if rests else [])


def test_an_order_that_came_to_rest_may_trade_as_the_maker_of_the_same_command() -> None:
    feed = opened(iceberg(2, BUY, 100, 9, 3), accepted(3, SELL, 90, 1, order_type=OrderType.STOP, asset=1))
    fired = order_event(EventKind.TRIGGERED, 4, 3, SELL, 0, 4, order_type=OrderType.STOP)
    first = traded(4, 3, SELL, 2, 100, 3, (1, 6))
    refreshed = order_event(EventKind.REFRESHED, 4, 2, BUY, 100, 6, display_lots=3, visible_lots=3)
    second = traded(4, 3, SELL, 4, 100, 1, (0, 1), trade_id=2)
    messages = feed.apply(accepted(4, BUY, 100, 2) + fired + first + refreshed + second)
    assert steps(messages) == [(ADD, 4, 2), (EXECUTE, 2, 0), (ADD, 2, 3), (EXECUTE, 4, 1)]
    assert orders(feed) == [(4, 1), (2, 3)]


def test_orders_that_arrive_during_one_command_stand_in_the_order_of_their_arrival() -> None:
    feed = opened(accepted(2, BUY, 100, 5, order_type=OrderType.STOP_LIMIT, asset=1))
    fired = order_event(EventKind.TRIGGERED, 3, 2, BUY, 100, 5, order_type=OrderType.STOP_LIMIT)
    assert steps(feed.apply(accepted(3, BUY, 100, 7) + fired)) == [(ADD, 3, 7), (ADD, 2, 5)]
    assert orders(feed) == [(3, 7), (2, 5)]


def test_an_iceberg_shows_its_slice_and_goes_behind_the_others_with_the_next() -> None:
    feed = opened(iceberg(2, SELL, 100, 20, 5), accepted(3, SELL, 100, 2))
    assert orders(feed) == [(2, 5), (3, 2)]
    refreshed = order_event(EventKind.REFRESHED, 4, 2, SELL, 100, 15, display_lots=5, visible_lots=5)
    messages = feed.apply(accepted(4, BUY, 100, 5) + traded(4, 4, BUY, 2, 100, 5, (0, 15)) + refreshed)
    assert steps(messages) == [(EXECUTE, 2, 0), (ADD, 2, 5)]
    assert orders(feed) == [(3, 2), (2, 5)]
    assert not of(L2Update, messages) and not of(L1Update, messages)  # the level is what it was


def test_an_iceberg_that_arrives_as_the_taker_shows_no_more_than_remains() -> None:
    feed = opened(accepted(2, SELL, 100, 17))
    feed.apply(iceberg(3, BUY, 100, 20, 5) + traded(3, 3, BUY, 2, 100, 17, (3, 0)))
    assert orders(feed) == [(3, 3)]


def test_a_cancelled_order_leaves_and_a_takers_cancelled_rest_was_never_there() -> None:
    feed = opened(accepted(2, BUY, 100, 5))
    assert steps(feed.apply(cancelled(3, 2))) == [(DELETE, 2, 0)]
    assert feed.apply(accepted(4, BUY, 100, 5) + cancelled(4, 4)) == []
    assert orders(feed) == []


# Amending


def amended(sequence: int, order_id: int, price: int, remaining: int, **more: Any) -> bytes:
    return order_event(EventKind.AMENDED, sequence, order_id, BUY, price, remaining, **more)


def test_an_amend_that_keeps_priority_changes_the_order_at_its_place() -> None:
    feed = opened(accepted(2, BUY, 100, 5), accepted(3, BUY, 100, 5))
    assert steps(feed.apply(amended(4, 2, 100, 4, flags=FLAG_PRIORITY_KEPT))) == [(CHANGE, 2, 4)]
    assert orders(feed) == [(2, 4), (3, 5)]


def test_an_amend_that_loses_priority_takes_the_order_behind_the_others() -> None:
    feed = opened(accepted(2, BUY, 100, 5), accepted(3, BUY, 100, 5))
    assert steps(feed.apply(amended(4, 2, 100, 6))) == [(DELETE, 2, 0), (ADD, 2, 6)]
    assert orders(feed) == [(3, 5), (2, 6)]


def test_an_amended_order_may_trade_before_it_rests_again() -> None:
    feed = opened(accepted(2, BUY, 100, 5), accepted(3, SELL, 102, 2))
    messages = feed.apply(amended(4, 2, 103, 5) + traded(4, 2, BUY, 3, 102, 2, (3, 0)))
    assert steps(messages) == [(DELETE, 2, 0), (EXECUTE, 3, 0), (ADD, 2, 3)]


def test_an_amend_of_hidden_lots_or_of_a_waiting_order_tells_nothing() -> None:
    feed = opened(iceberg(2, BUY, 100, 20, 5), accepted(3, BUY, 100, 5, asset=2))
    hidden = amended(4, 2, 100, 12, display_lots=5, visible_lots=5, flags=FLAG_PRIORITY_KEPT)
    assert feed.apply(hidden + amended(5, 3, 101, 7)) == []
    assert orders(feed) == [(2, 5)]


# Self-trades that were prevented


def prevented(self_trade: SelfTrade, lots: int, left: tuple[int, int]) -> bytes:
    return traded(4, 4, BUY, 2, 100, lots, left, kind=EventKind.PREVENTED, trade_id=0, self_trade=self_trade)


def test_a_prevented_trade_takes_nothing_away_unless_it_decrements() -> None:
    feed = opened(accepted(2, SELL, 100, 5))
    messages = feed.apply(accepted(4, BUY, 100, 3) + prevented(SelfTrade.CANCEL_NEWEST, 3, (3, 5)) + cancelled(4, 4))
    assert messages == [] and orders(feed) == [(2, 5)]


def test_a_decremented_maker_shows_less_and_leaves_when_nothing_is_left() -> None:
    feed = opened(accepted(2, SELL, 100, 5), accepted(3, SELL, 101, 1))
    messages = feed.apply(accepted(4, BUY, 100, 8) + prevented(SelfTrade.DECREMENT, 5, (3, 0)) + cancelled(4, 2))
    assert steps(messages) == [(DELETE, 2, 0), (ADD, 4, 3)]
    assert of(TradesUpdate, messages) == []


def test_a_decremented_iceberg_shows_its_next_slice() -> None:
    feed = opened(iceberg(2, SELL, 100, 20, 5))
    refreshed = order_event(EventKind.REFRESHED, 4, 2, SELL, 100, 15, display_lots=5, visible_lots=5)
    messages = feed.apply(
        accepted(4, BUY, 100, 5) + prevented(SelfTrade.DECREMENT, 5, (0, 15)) + refreshed + cancelled(4, 4)
    )
    assert steps(messages) == [(DELETE, 2, 0), (ADD, 2, 5)]


# Auctions


def test_in_an_auction_both_orders_rested_and_hidden_lots_trade_without_showing() -> None:
    feed = opened(accepted(2, BUY, 105, 40), iceberg(3, SELL, 100, 100, 10), accepted(4, SELL, 100, 1))
    assert feed.l2_snapshot(1).bids[0].price_ticks > feed.l2_snapshot(1).asks[0].price_ticks
    uncrossed = event(EventKind.UNCROSSED, 5, market=1, price_ticks=102, quantity_lots=40, side=SELL, remaining_lots=61)
    trade = traded(5, 2, BUY, 3, 102, 40, (0, 60), flags=FLAG_AUCTION)
    opens = {"mode": Mode.OPEN, "previous_mode": Mode.AUCTION, "reason": Reason.BY_OPERATOR}
    messages = feed.apply(uncrossed + trade + event(EventKind.MODE_CHANGED, 5, market=1, **opens))
    assert steps(messages) == [(EXECUTE, 2, 0), (EXECUTE, 3, 10)]
    assert orders(feed) == [(3, 10), (4, 1)]
    assert of(TradesUpdate, messages)[0].trades == (Trade(1, 0, 102, 40),)
    expected = ModeChange(Mode.OPEN, Mode.AUCTION, 0, 0, Reason.BY_OPERATOR, 102, 40, SELL, 61)
    assert of(ModeUpdate, messages)[0].changes == (expected,)


def test_an_order_that_arrived_before_the_uncross_of_the_same_command_rests_first() -> None:
    feed = opened(accepted(2, SELL, 100, 5), accepted(3, BUY, 101, 5, asset=2))
    activated = order_event(EventKind.ACTIVATED, 4, 3, BUY, 101, 5)
    messages = feed.apply(activated + traded(4, 3, BUY, 2, 100, 4, (1, 1), flags=FLAG_AUCTION))
    assert steps(messages) == [(ADD, 3, 5), (EXECUTE, 3, 1), (EXECUTE, 2, 1)]


def test_a_mode_is_told_with_the_end_and_the_reference_of_a_volatility_auction() -> None:
    feed = opened()
    to_auction = {"mode": Mode.AUCTION, "until_ns": 77, "reference_price_ticks": 100, "reason": Reason.PRICE_BAND}
    (message,) = feed.apply(event(EventKind.MODE_CHANGED, 2, market=1, **to_auction))
    assert message == ModeUpdate(1, 2, 0, 2000, (ModeChange(Mode.AUCTION, 0, 77, 100, Reason.PRICE_BAND, 0, 0, 0, 0),))
    assert feed.l2_snapshot(1).mode == Mode.AUCTION


# Messages


def test_the_best_prices_are_told_only_when_they_change() -> None:
    feed = opened(accepted(2, BUY, 100, 5))
    assert of(L1Update, feed.apply(accepted(3, BUY, 99, 5))) == []
    assert of(L1Update, feed.apply(accepted(4, BUY, 100, 5))) == [L1Update(1, 4, 2, 4000, 100, 10, 0, 0)]


def test_every_stream_names_its_own_message_before() -> None:
    feed = opened()
    messages = feed.apply(accepted(2, BUY, 100, 5) + accepted(3, BUY, 99, 5) + accepted(5, BUY, 101, 1))
    assert [(m.sequence, m.prev_sequence) for m in of(L2Update, messages)] == [(2, 0), (3, 2), (5, 3)]
    assert [(m.sequence, m.prev_sequence) for m in of(L1Update, messages)] == [(2, 0), (5, 2)]


def test_the_checksum_is_the_crc_of_the_best_ten_levels_as_text() -> None:
    feed = opened(*(accepted(n, BUY, 100 + n, n) for n in range(2, 14)), accepted(14, SELL, 200, 7))
    asks = ["200:7"]
    bids = [f"{100 + n}:{n}" for n in range(13, 3, -1)]
    text = ":".join([bids[0], asks[0], *bids[1:]])
    assert feed.l2_snapshot(1).checksum == zlib.crc32(text.encode())
    (update,) = of(L2Update, feed.apply(cancelled(15, 2)))  # the twelfth level: no part of it
    assert update.checksum == zlib.crc32(text.encode())


def test_markets_are_told_apart() -> None:
    feed = opened(event(EventKind.MARKET_DEFINED, 2, market=2))
    messages = feed.apply(accepted(3, BUY, 100, 5) + accepted(4, BUY, 50, 1, market=2))
    assert [(m.market, m.sequence, m.prev_sequence) for m in of(L2Update, messages)] == [(1, 3, 0), (2, 4, 0)]
    assert feed.markets == [1, 2]


def test_a_refused_command_changes_nothing_even_with_an_orders_number() -> None:
    feed = opened(accepted(2, BUY, 100, 5))
    assert feed.apply(event(EventKind.REJECTED, 3, market=1, order_id=2, reason=Reason.UNKNOWN_ORDER)) == []
    assert (feed.sequence, orders(feed)) == (3, [(2, 5)])


def test_an_orders_place_in_the_queue_is_known() -> None:
    book = opened(accepted(2, BUY, 100, 5), iceberg(3, BUY, 100, 20, 6), accepted(4, BUY, 100, 1)).view(1).book
    assert [book.ahead(order_id) for order_id in (2, 3, 4)] == [(0, 0), (1, 5), (2, 11)]
    assert 4 in book and 5 not in book and len(book) == 3


# Events that do not go together


def test_events_that_were_applied_before_are_passed_over() -> None:
    feed = opened(accepted(2, BUY, 100, 5))
    messages = feed.apply(accepted(2, BUY, 100, 5) + accepted(3, BUY, 100, 5))
    assert steps(messages) == [(ADD, 3, 5)]


@pytest.mark.parametrize(
    ("events", "what"),
    [
        (traded(3, 9, BUY, 2, 100, 1, (0, 4), trade_id=2), "trade 2 comes where trade 1"),
        (traded(3, 9, BUY, 8, 100, 1, (0, 4)), "TRADED for order 8, which is not in the book of market 1"),
        (accepted(3, BUY, 100, 5, market=7), "market 7 was not defined"),
        (accepted(5, BUY, 100, 5) + accepted(4, BUY, 100, 5), "command 4 comes after those of command 5"),
    ],
)
def test_events_that_do_not_follow_are_found(events: bytes, what: str) -> None:
    with pytest.raises(EventsInconsistent, match=what):
        opened(accepted(2, SELL, 100, 5)).apply(events)


def test_a_buffer_that_is_no_whole_number_of_records_is_refused() -> None:
    with pytest.raises(ValueError, match=f"a multiple of {EVENT_SIZE} bytes, this one has {EVENT_SIZE + 1}"):
        Feed().apply(bytes(EVENT_SIZE + 1))


# Snapshots and the past


def test_a_snapshot_comes_back_from_its_bytes() -> None:
    snapshot = opened(accepted(2, BUY, 100, 5), iceberg(3, SELL, 102, 9, 2)).snapshot()
    assert FeedSnapshot.from_bytes(snapshot.to_bytes()) == snapshot
    assert Feed.restore(snapshot).snapshot() == snapshot


def test_damaged_bytes_are_no_snapshot() -> None:
    data = bytearray(opened(accepted(2, BUY, 100, 5)).snapshot().to_bytes())
    data[-3] ^= 1
    with pytest.raises(FeedSnapshotDamaged, match="the checksum"):
        FeedSnapshot.from_bytes(bytes(data))
    with pytest.raises(FeedSnapshotDamaged, match="of 0 bytes"):
        FeedSnapshot.from_bytes(b"")


def test_a_snapshot_of_another_version_is_refused() -> None:
    text = b"[9,1,0,[]]"
    with pytest.raises(FeedSnapshotDamaged, match="version 9, this build reads version 1"):
        FeedSnapshot.from_bytes(zlib.crc32(text).to_bytes(4, "little") + text)


def test_a_snapshot_whose_orders_are_not_those_of_its_checksum_is_not_restored() -> None:
    snapshot = opened(accepted(2, BUY, 100, 5)).snapshot()
    with pytest.raises(ValueError, match="market 1 at 2 is damaged"):
        Feed.restore(snapshot._replace(markets=(snapshot.markets[0]._replace(checksum=1),)))


def test_a_depth_of_the_past_is_made_of_the_nearest_snapshot_and_the_events_from_there() -> None:
    journal = [event(EventKind.MARKET_DEFINED, 1, market=1)]
    journal += [accepted(n, BUY, 100 + n, 1) + accepted(n + 1, BUY, 100 + n, 2) for n in range(2, 20, 2)]
    snapshots = [opened(*journal[1:count]).snapshot() for count in (3, 7)]
    asked: list[tuple[int, int]] = []

    def source(after: int, until: int) -> list[bytes]:
        asked.append((after, until))
        return journal

    depth = depth_at(1, 16, snapshots, source, levels=2)
    assert (depth.sequence, depth.bids) == (16, (Level(116, 1, 1), Level(114, 3, 2)))
    assert depth_at(1, 4, snapshots, source).bids == (Level(104, 1, 1), Level(102, 3, 2))
    assert asked == [(13, 16), (0, 4)]
    with pytest.raises(KeyError):
        depth_at(1, 0, snapshots, source)


def test_events_are_cut_off_behind_a_commands_last() -> None:
    events = [accepted(2, BUY, 100, 5), traded(4, 3, BUY, 2, 100, 1, (0, 4)), cancelled(4, 2), cancelled(6, 3)]
    assert [len(events_until(b"".join(events), s)) // EVENT_SIZE for s in range(1, 8)] == [0, 1, 1, 3, 3, 4, 4]
