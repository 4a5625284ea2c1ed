"""Both engines on long seeded flows of everything, compared batch by batch.

EXCHANGE_DIFFERENTIAL_COMMANDS sets the length of the flow (50,000), EXCHANGE_DIFFERENTIAL_SEED another flow (1).
"""

import os
from collections import Counter
from functools import cache
from unittest.mock import patch

import pytest

from engine.records import CASCADE_MAX, EventKind, Mode, OrderType, Reason, SelfTrade
from engine.reference import Shard as ReferenceShard
from engine.reference.market import Market
from tests.support.audit import Audit
from tests.support.commands import Event, read_events
from tests.support.differential import assert_alike, shrink
from tests.support.engines import load_engine
from tests.support.flow import Step, random_flow, stamped
from tests.support.full_flow import crowded_flow, full_flow

COMMANDS = int(os.environ.get("EXCHANGE_DIFFERENTIAL_COMMANDS", "50000"))
SEED = int(os.environ.get("EXCHANGE_DIFFERENTIAL_SEED", "1"))
pytestmark = pytest.mark.timeout(7_200)  # a long flow takes its time

BATCH_SIZES = (1, 7, 64, 300, 2, 1000, 33)

# What a flow cannot cause: what belongs to the edge and above the engine, and what takes a thousand orders.
OUT_OF_REACH = {reason for reason in Reason if reason < Reason.UNKNOWN_KIND} | {
    Reason.CLIENT_ORDER_ID_REUSED,
    Reason.FAUCET_LIMIT,
    Reason.ORDER_ENDED,
    Reason.TRAILING_ORDERS_FULL,
}


def test_a_long_flow_causes_the_same_events_and_digests_in_both_engines() -> None:
    assert_alike(full_flow(SEED, COMMANDS), ReferenceShard, load_engine("matching").Shard, BATCH_SIZES)


def test_a_flow_of_plain_orders_causes_the_same_events_and_digests_in_both_engines() -> None:
    assert_alike(random_flow(SEED, COMMANDS // 5), ReferenceShard, load_engine("matching").Shard, BATCH_SIZES)


def test_a_crowd_of_stops_fires_alike_in_both_engines() -> None:
    flow = crowded_flow(1, 2_600, 100)
    shard = ReferenceShard()
    fires = [events.count(EventKind.TRIGGERED) for events in _kinds(shard, flow)]
    assert fires.count(CASCADE_MAX) >= 1, "some command fires as many as one may"
    assert_alike(flow, ReferenceShard, load_engine("matching").Shard, BATCH_SIZES)


def _kinds(shard: ReferenceShard, flow: list[Step]) -> list[list[EventKind]]:
    return [[event.kind for event in read_events(shard.apply(command))] for command in stamped(flow)]


@cache
def _caused() -> list[list[Event]]:
    """The events of each command of one flow, the same whatever EXCHANGE_DIFFERENTIAL_SEED says."""
    shard = ReferenceShard()
    return [read_events(shard.apply(command)) for command in stamped(full_flow(1, 15_000))]


def _events() -> list[Event]:
    return [event for events in _caused() for event in events]


def test_the_flow_causes_every_kind_of_event_often() -> None:
    seen = Counter(event.kind for event in _events())
    rare = {kind.name: seen[kind] for kind in EventKind if seen[kind] < 40}
    assert rare.keys() == {"ASSET_DEFINED", "MARKET_DEFINED"}
    assert seen[EventKind.TRADED] > 3_000


def test_the_flow_accepts_trades_and_fires_every_type_of_order() -> None:
    accepted = Counter(event.order_type for event in _events() if event.kind is EventKind.ACCEPTED)
    traded = Counter(event.order_type for event in _events() if event.kind is EventKind.TRADED)
    fired = Counter(event.order_type for event in _events() if event.kind is EventKind.TRIGGERED)
    assert all(accepted[kind] > 100 and traded[kind] >= 10 for kind in OrderType)
    assert all(fired[kind] >= 30 for kind in OrderType if kind not in (OrderType.MARKET, OrderType.LIMIT))


def test_the_flow_gives_every_reason_that_it_can() -> None:
    seen = {event.reason for event in _events()}
    assert not {reason.name for reason in set(Reason) - OUT_OF_REACH if reason not in seen}


def test_the_flow_prevents_self_trades_of_every_mode() -> None:
    seen = Counter(event.self_trade for event in _events() if event.kind is EventKind.PREVENTED)
    assert all(seen[mode] > 10 for mode in SelfTrade if mode is not SelfTrade.NONE)


def test_the_flow_has_cascades_auctions_and_bands() -> None:
    fires = Counter(sum(event.kind is EventKind.TRIGGERED for event in events) for events in _caused())
    assert sum(often for depth, often in fires.items() if depth >= 3) > 20
    uncrossed = [event for event in _events() if event.kind is EventKind.UNCROSSED and event.quantity_lots]
    assert len(uncrossed) > 30
    changes = Counter((event.mode, event.reason) for event in _events() if event.kind is EventKind.MODE_CHANGED)
    assert changes[Mode.AUCTION, Reason.PRICE_BAND] > 20 and changes[Mode.OPEN, Reason.AUCTION_ENDED] > 20


def test_the_reference_is_where_its_events_lead_on_a_flow() -> None:
    shard, audit = ReferenceShard(), Audit()
    for number, command in enumerate(stamped(full_flow(SEED + 1, 5_000))):
        audit.follow(command, read_events(shard.apply(command)))
        if number % 20 == 0:
            audit.check(shard)
    audit.check(shard)


class Unbanded(ReferenceShard):
    """An engine that is wrong: nothing stops at the edge of a price band."""

    def apply(self, commands: bytes | bytearray | memoryview) -> bytes:
        with patch.object(Market, "is_stopped_at", return_value=False):
            return super().apply(commands)


def test_an_engine_that_is_wrong_is_found_out_by_a_short_scenario() -> None:
    flow = full_flow(SEED, 1_500)
    with pytest.raises(AssertionError, match="the engines part at step") as failure:
        assert_alike(flow, ReferenceShard, Unbanded, BATCH_SIZES)
    assert "configure" in str(failure.value) and str(failure.value).count("ACCEPTED") < 20
    assert len(shrink(flow, ReferenceShard, Unbanded)) < 30
