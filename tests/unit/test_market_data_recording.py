"""Five hours of a real venue's order log through the engine; the book made of the engine's events against the venue's.

Two ways to let the log be orders of ours:

- *As told*: the market is in AUCTION, where nothing trades, and the log is the truth. created is PLACE, changed AMEND,
  deleted CANCEL. This is the plain rebuild of a book from order messages, by way of engine and events.
- *Matched*: the market is OPEN, and the engine makes the trades itself. created is PLACE; changed at the same price is
  the trace of a fill, which the engine has made too (AMEND where it has not); changed at another price, a market order
  that the venue walks on, is AMEND; deleted is CANCEL, where the engine has not filled the order. One thing the engine
  cannot know: the last lots of a market order for an amount of money, which the venue rounded away. They are given back
  to the maker that the engine took them from (AMEND) when the venue, the taker deleted, says what the maker has.
"""

import os
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from engine.market_data import Feed, L2Mirror, L2Update, L3Mirror, L3Update
from engine.records import EventKind, LiveOrder, Mode, Side
from exchange.simulation.bitstamp_tape import OrderChange, TapeBook, TapeOrder, read_tape
from tests.support import commands
from tests.support.engines import Shard, load_engine
from tests.support.replay_market import DEFINITIONS

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("EXCHANGE_DATA_DIR") or REPOSITORY.parent / "shared" / "data")
RECORDING = DATA / "orderflow" / "bitstamp_btcusd_l3_2015-05-01.log.xz"
TRADER = 1000
WARM_UP_MS = 2 * 3_600_000
LEVELS = 5

Price = tuple[int, int]  # price_ticks, lots


class Rebuild:
    """The log's orders in our market, and what became of them."""

    def __init__(self, mode: Mode) -> None:
        self.shard: Shard = load_engine("matching").Shard()
        self.feed = Feed()
        self.counts: Counter[str] = Counter()
        self._orders: dict[int, int] = {}  # the venue's order id -> ours
        self._ended: set[int] = set()  # the venue's order ids
        self._deleted: set[int] = set()  # ours
        self._takers: dict[int, int] = {}  # our maker -> its last taker
        for definition in DEFINITIONS:
            self._send(bytes(definition))
        for asset in (1, 2):
            self._send(commands.deposit(TRADER, asset, 2**61))
        self._mirrors = L2Mirror(self.feed.l2_snapshot(1)), L3Mirror(self.feed.l3_snapshot(1))
        self._send(commands.set_mode(1, mode))

    def play(self, order: TapeOrder) -> None:
        """Let one event of the log happen."""
        lots = int(order.quantity.scaleb(8))
        if order.change == OrderChange.CREATED:
            if order.order_id not in self._ended:
                self._place(order, lots)
            return
        live = self.shard.order(self._orders.get(order.order_id, 0))
        if order.change == OrderChange.CHANGED:
            if live is not None:
                self._change(live, int(order.price.scaleb(2)), lots)
            return
        self._ended.add(order.order_id)
        self._deleted.add(self._orders.get(order.order_id, 0))
        if live is not None:
            self._send(commands.cancel(TRADER, live.order_id))

    def assert_consistent(self) -> None:
        """View and mirrors are the engine's own book."""
        levels, orders = self._mirrors
        depth = self.feed.l2_snapshot(1)
        engine = [(order_id, side, price, lots) for order_id, _, side, price, lots, _ in self.shard.book(1)]
        assert list(self.feed.l3_snapshot(1).orders) == orders.orders() == engine
        assert (list(depth.bids), list(depth.asks)) == levels.depth() == self.shard.depth(1)
        assert depth.checksum == self.shard.checksum(1)

    def _place(self, order: TapeOrder, lots: int) -> None:
        side = Side.BUY if order.side == "Buy" else Side.SELL
        self._send(commands.place(TRADER, 1, side, int(order.price.scaleb(2)), lots))
        self._orders[order.order_id] = self.shard.sequence

    def _change(self, live: LiveOrder, price_ticks: int, lots: int) -> None:
        more = lots - live.remaining_lots
        if more > 0 and self._takers.get(live.order_id) in self._deleted:
            self.counts["lots given back"] += more
        else:
            lots = min(lots, live.remaining_lots)
        if not lots:
            self._send(commands.cancel(TRADER, live.order_id))
        elif (price_ticks, lots) != (live.price_ticks, live.remaining_lots):
            filled = live.quantity_lots - live.remaining_lots
            self._send(commands.amend(TRADER, live.order_id, price_ticks=price_ticks, quantity_lots=filled + lots))

    def _send(self, command: bytes) -> None:
        sequence = self.shard.sequence + 1
        events = self.shard.apply(commands.stamp(command, sequence, sequence))
        for event in commands.read_events(events):
            self.counts[event.kind.name] += 1
            if event.kind == EventKind.TRADED:
                self._takers[event.maker_order_id] = event.order_id
        for message in self.feed.apply(events):
            if isinstance(message, L2Update):
                self._mirrors[0].apply(message)
            elif isinstance(message, L3Update):
                self._mirrors[1].apply(message)


def venue_side(levels: list[tuple[Decimal, Decimal]]) -> list[Price]:
    return [(int(price.scaleb(2)), int(quantity.scaleb(8))) for price, quantity in levels]


def play_recording(mode: Mode) -> tuple[Rebuild, Counter[str]]:
    """The rebuild at the end of the recording; how often its best prices and levels were the venue's."""
    rebuild, equal = Rebuild(mode), Counter[str]()
    started_ms = None
    for event in read_tape(RECORDING):
        started_ms = started_ms or event.timestamp_ms
        if isinstance(event, TapeOrder):
            rebuild.play(event)
        elif isinstance(event, TapeBook) and event.timestamp_ms - started_ms >= WARM_UP_MS:
            depth = rebuild.feed.l2_snapshot(1, 50)
            ours, theirs = (depth.bids, depth.asks), (venue_side(event.bids), venue_side(event.asks))
            equal["books"] += 1
            equal["best prices"] += all(
                our[0].price_ticks == their[0][0] for our, their in zip(ours, theirs, strict=True)
            )
            for our, their in zip(ours, theirs, strict=True):
                known = {level.price_ticks: level.visible_lots for level in our}
                equal["levels"] += sum(known.get(price) == lots for price, lots in their[:LEVELS])
            if equal["books"] % 100 == 0:
                rebuild.assert_consistent()
    rebuild.assert_consistent()
    return rebuild, equal


pytestmark = pytest.mark.skipif(
    not RECORDING.exists(), reason=f"the recording {RECORDING} is not there; set EXCHANGE_DATA_DIR"
)


def test_the_log_as_told_gives_the_venues_book_as_often_as_any_rebuild_of_it_can() -> None:
    rebuild, equal = play_recording(Mode.AUCTION)
    assert (rebuild.counts["ACCEPTED"], rebuild.counts["REJECTED"], rebuild.counts["TRADED"]) == (24_889, 0, 0)
    assert equal == {"books": 2_853, "best prices": 2_851, "levels": 28_522}


def test_matched_by_the_engine_the_log_gives_the_venues_book_just_as_often() -> None:
    rebuild, equal = play_recording(Mode.OPEN)
    counts = rebuild.counts
    assert (counts["ACCEPTED"], counts["REJECTED"], counts["TRADED"]) == (24_889, 0, 549)
    assert 0 < counts["lots given back"] < 100_000  # of 10**-8 BTC
    assert equal["books"] == 2_853
    assert equal["best prices"] >= 2_851
    assert equal["levels"] >= 28_522
