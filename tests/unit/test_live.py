"""The live state is what the engine's books are, entry after entry."""

from collections import defaultdict

from engine.matching import Shard
from engine.records import Side
from exchange.contracts.catalogue import Catalogue
from exchange.corridor.live import Live
from exchange.corridor.writer import split_entries
from tests.support.flow import random_flow, stamped


def levels_of(shard: Shard, market: int) -> dict[int, dict[int, int]]:
    levels: dict[int, dict[int, int]] = {Side.BUY: defaultdict(int), Side.SELL: defaultdict(int)}
    for _, _, side, price_ticks, remaining_lots, _ in shard.book(market):
        levels[side][price_ticks] += remaining_lots
    return levels


def test_books_and_open_orders_follow_the_engine() -> None:
    shard, live = Shard(), Live(Catalogue())
    batch = stamped(random_flow(3, 4_000))
    for start in range(0, len(batch), 64):
        part = batch[start : start + 64]
        changes = live.apply(split_entries(part, shard.apply(b"".join(part))))
        assert changes.sequence == live.sequence == shard.sequence
        for market in live.markets:
            assert {side: dict(levels) for side, levels in live.markets[market].levels.items()} == levels_of(
                shard, market
            )
    resting = {row[0]: row[4] for market in live.markets for row in shard.book(market)}
    assert {order_id: order.remaining_lots for order_id, order in live.orders.items()} == resting
    assert shard.trades > 500
    assert sum(len(orders) for orders in live.orders_of.values()) == len(resting)


def test_changes_name_every_level_order_and_fill_that_changed() -> None:
    shard, live = Shard(), Live(Catalogue())
    fills = 0
    before: dict[int, dict[int, dict[int, int]]] = {}
    for command in stamped(random_flow(5, 1_500)):
        changes = live.apply(split_entries([command], shard.apply(command)))
        fills += sum(len(of_account) for of_account in changes.fills.values())
        for market in live.markets:
            now = levels_of(shard, market)
            was = before.get(market, {Side.BUY: {}, Side.SELL: {}})
            for side in (Side.BUY, Side.SELL):
                changed = {p for p in now[side].keys() | was[side].keys() if now[side].get(p) != was[side].get(p)}
                assert {(side, price) for price in changed} <= changes.levels.get(market, set())
            before[market] = {side: dict(levels) for side, levels in now.items()}
    assert fills == 2 * shard.trades


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
