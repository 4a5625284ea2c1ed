"""The live state is what the engine's books are, entry after entry."""

from collections.abc import Callable
from copy import copy

import pytest

from engine.matching import Shard
from engine.records import EventKind, Mode, Side
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import read_events
from exchange.corridor.live import Live
from exchange.corridor.writer import split_entries
from tests.support.flow import Step, random_flow, stamped
from tests.support.full_flow import full_flow

Levels = dict[int, dict[int, int]]
FLOWS = pytest.mark.parametrize("flow", [random_flow, full_flow], ids=["plain", "full"])
Flow = Callable[[int, int], list[Step]]


def levels_of(shard: Shard, market: int) -> Levels:
    """What every price shows, by side."""
    bids, asks = shard.depth(market)
    return {
        Side.BUY: {price_ticks: lots for price_ticks, lots, _ in bids},
        Side.SELL: {price_ticks: lots for price_ticks, lots, _ in asks},
    }


def live_levels(live: Live, market: int) -> Levels:
    return {side: dict(levels) for side, levels in live.markets[market].levels.items()}


@FLOWS
def test_books_orders_and_modes_follow_the_engine(flow: Flow) -> None:
    shard, live = Shard(), Live(Catalogue())
    batch = stamped(flow(3, 3_000))
    modes = set()
    for start in range(0, len(batch), 16):
        part = batch[start : start + 16]
        changes = live.apply(split_entries(part, shard.apply(b"".join(part))))
        assert changes.sequence == live.sequence == shard.sequence
        for market in live.markets:
            assert live_levels(live, market) == levels_of(shard, market)
            assert live.mode(market) == shard.state(market).mode
            modes.add(live.mode(market))
        orders = shard.orders()
        assert {order_id: order.remaining_lots for order_id, order in live.orders.items()} == {
            order.order_id: order.remaining_lots for order in orders
        }
    for order in orders:
        found = live.orders[order.order_id]
        assert (found.waiting, found.visible_lots) == (order.waiting, order.visible_lots)
        assert (found.account, found.quantity_lots, found.price_ticks) == (
            order.account, order.quantity_lots, order.price_ticks,
        )  # fmt: skip
        assert live.orders_of[order.account][order.order_id] is found
    assert sum(len(of_account) for of_account in live.orders_of.values()) == len(orders)
    assert shard.trades > 300
    assert flow is random_flow or modes >= {Mode.OPEN, Mode.AUCTION, Mode.HALTED, Mode.POST_ONLY}


@FLOWS
def test_changes_name_every_level_order_fill_and_account_that_changed(flow: Flow) -> None:
    shard, live = Shard(), Live(Catalogue())
    fills = 0
    before: dict[int, Levels] = {}
    for command in stamped(flow(5, 1_500)):
        entries = split_entries([command], shard.apply(command))
        changes = live.apply(entries)
        fills += sum(len(of_account) for of_account in changes.fills.values())
        for market in live.markets:
            now = levels_of(shard, market)
            was = before.get(market, {Side.BUY: {}, Side.SELL: {}})
            for side in (Side.BUY, Side.SELL):
                changed = {p for p in now[side].keys() | was[side].keys() if now[side].get(p) != was[side].get(p)}
                named = {price for at, price in changes.levels.get(market, set()) if at == side}
                assert changed <= named  # one that changed and changed back is named too
            before[market] = now
        for event in read_events(entries[0].events):
            if event.kind in (EventKind.TRADED, EventKind.PREVENTED):
                assert {event.account, event.maker_account} <= changes.accounts
                assert event.maker_order_id in changes.orders[event.maker_account]
            elif event.kind not in (EventKind.REJECTED, EventKind.CANCEL_REJECTED) and event.order_id:
                assert event.account in changes.accounts
                assert event.order_id in changes.orders[event.account]
    assert fills == 2 * shard.trades


def test_a_term_that_begins_from_the_tables_is_where_the_one_before_was() -> None:
    shard, before = Shard(), Live(Catalogue())
    flow = stamped(full_flow(11, 2_600))
    batch, more = flow[:2_000], flow[2_000:]
    before.apply(split_entries(batch, shard.apply(b"".join(batch))))
    catalogue = Catalogue(shard.definitions())
    after = Live(catalogue)
    modes = {market: shard.state(market).mode for market in catalogue.markets}
    after.begin(shard.sequence, before.timestamp_ns, map(copy, before.orders.values()), {}, {}, modes)
    entries = split_entries(more, shard.apply(b"".join(more)))
    for live in (before, after):
        live.apply(entries)
    assert after.catalogue.markets == before.catalogue.markets
    for market in catalogue.markets:
        assert live_levels(after, market) == live_levels(before, market) == levels_of(shard, market)
        assert after.mode(market) == before.mode(market)
    assert after.orders == before.orders


def test_a_command_without_events_moves_the_sequence_only() -> None:
    live = Live(Catalogue())
    changes = live.apply(split_entries([stamped([Step(0, bytes([2, 12]) + bytes(142))])[0]], b""))
    assert (live.sequence, changes.sequence) == (1, 1)
    assert not (changes.accounts or changes.levels or changes.orders)


def test_depth_is_best_first_and_the_ticker_knows_the_touch() -> None:
    shard, live = Shard(), Live(Catalogue())
    batch = stamped(random_flow(7, 2_000))
    live.apply(split_entries(batch, shard.apply(b"".join(batch))))
    for market in live.markets:
        sequence, bids, asks = live.depth(market, 5)
        assert sequence == shard.sequence
        assert [price for price, _ in bids] == sorted((price for price, _ in bids), reverse=True)
        assert [price for price, _ in asks] == sorted(price for price, _ in asks)
        ticker = live.ticker(market)
        assert ticker.best_bid_ticks == (bids[0][0] if bids else None)
        assert ticker.best_ask_ticks == (asks[0][0] if asks else None)
        assert ticker.volume_24h_lots == sum(minute.volume_lots for minute in live.markets[market].minutes)
