"""The live markets are what the slow fold (tests/support/slow_live.py) makes of the same entries, batch by batch."""

from collections.abc import Iterator
from copy import copy
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.matching import Shard
from engine.records import COMMAND_SIZE, EVENT_SIZE, EventKind
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.commands import CLIENT_ORDER_ID
from exchange.contracts.events import Event, read_events, write_event
from exchange.contracts.order_state import OrderState
from exchange.corridor import live as live_module
from exchange.corridor.live import Changes, Live, Minute
from exchange.corridor.writer import split_entries
from exchange.storage.journal import Entry
from tests.properties import strategies
from tests.properties.strategies import DEFINITIONS
from tests.support import commands
from tests.support.commands import Sequencer, split_commands
from tests.support.flow import random_flow, stamped
from tests.support.full_flow import full_flow
from tests.support.slow_live import SlowChanges, SlowLive, SlowMarket

ENDED_MAX = 25


@pytest.fixture(autouse=True, scope="module")
def _few_ended_orders_are_remembered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_module, "ENDED_MAX", ENDED_MAX)
        yield


@cache
def _journal(seed: int) -> list[Entry]:
    batch = stamped((random_flow if seed % 3 == 0 else full_flow)(seed, 500))
    return split_entries(batch, Shard().apply(b"".join(batch)))


def _fields(order: Any) -> list[object]:
    return [getattr(order, name) for name in OrderState.FIELDS]


def _of(orders: Any) -> dict[int, list[object]]:
    return {order_id: _fields(order) for order_id, order in orders.items()}


def _minutes(minutes: Any) -> list[tuple[int, ...]]:
    names = ("opened_ns", "open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots", "trades")
    return [tuple(getattr(minute, name) for name in names) for minute in minutes]


def _agree(live: Live, slow: SlowLive) -> None:
    assert (live.sequence, live.timestamp_ns) == (slow.sequence, slow.timestamp_ns)
    assert list(_of(live.orders).items()) == list(_of(slow.orders).items()), "in the order in which they came"
    assert list(_of(live.ended).items()) == list(_of(slow.ended).items())
    assert {account: _of(orders) for account, orders in live.orders_of.items()} == {
        account: _of(orders) for account, orders in slow.orders_of.items()
    }
    assert live.markets.keys() == slow.markets.keys()
    for number, market in slow.markets.items():
        _agree_on_market(live, number, market)


def _agree_on_market(live: Live, number: int, slow: SlowMarket) -> None:
    market = live.markets[number]
    assert [(side, list(levels.items())) for side, levels in market.levels.items()] == [
        (side, list(levels.items())) for side, levels in slow.levels.items()
    ]
    for side, levels in market.levels.items():
        assert list(levels) == sorted(dict.keys(levels)), "what is sorted is what is there"
        assert market.depth(side, 3) == sorted(levels.items(), reverse=side == 1)[:3]
    assert live.latest_trades(number) == list(slow.latest_trades)
    assert _minutes(market.minutes) == _minutes(slow.minutes)
    assert (market.mode, market.last_price_ticks) == (slow.mode, slow.last_price_ticks)


def _agree_on_changes(changes: Changes, slow: SlowChanges) -> None:
    assert (changes.sequence, changes.timestamp_ns) == (slow.sequence, slow.timestamp_ns)
    assert (changes.levels, changes.accounts, changes.modes) == (slow.levels, slow.accounts, slow.modes)
    assert {market: list(trades) for market, trades in changes.trades.items()} == slow.trades
    for market, trades in changes.trades.items():
        assert len(trades) == len(slow.trades[market]) and trades[-1] == slow.trades[market][-1]
        assert trades[:2] == tuple(slow.trades[market][:2])
        assert trades.minutes == {t.timestamp_ns - t.timestamp_ns % live_module.MINUTE_NS for t in slow.trades[market]}
    assert changes.fills == slow.fills
    assert {account: list(_of(orders).items()) for account, orders in changes.orders.items()} == {
        account: list(_of(orders).items()) for account, orders in slow.orders.items()
    }
    assert changes.entries is slow.entries


@given(st.integers(1, 12), st.lists(st.integers(1, 80), min_size=1), st.integers(0, 500))
def test_batches_do_what_the_slow_fold_says(seed: int, sizes: list[int], restart: int) -> None:
    journal, start = _journal(seed), 0
    live, slow = Live(Catalogue()), SlowLive(Catalogue(), ENDED_MAX)
    while start < len(journal):
        for size in sizes:
            batch = journal[start : start + size]
            start += size
            if batch:
                _agree_on_changes(live.apply(batch), slow.apply(batch))
        _agree(live, slow)
        if 0 <= start - restart < sum(sizes):
            live = _begun_anew(live)
            slow.ended.clear()


def _begun_anew(before: Live) -> Live:
    """Another one that begins where this is, as after a change of leaders."""
    live = Live(before.catalogue)
    minutes = {number: [Minute(*minute) for minute in _minutes(m.minutes)] for number, m in before.markets.items()}
    latest = {number: before.latest_trades(number) for number in before.markets}
    modes = {number: market.mode for number, market in before.markets.items()}
    for _ in range(2):  # what was there is forgotten
        orders = list(map(copy, before.orders.values()))
        live.begin(before.sequence, before.timestamp_ns, orders, minutes, latest, modes)
    return live


@given(st.lists(st.lists(strategies.any_command() | strategies.odd_commands(), max_size=8), max_size=8))
def test_whatever_an_engine_is_told_the_folds_agree(batches: list[list[bytes]]) -> None:
    shard, sequencer = Shard(), Sequencer()
    live, slow = Live(Catalogue()), SlowLive(Catalogue(), ENDED_MAX)
    funds = [commands.deposit(account, asset, 2**62 - 1) for account in range(2, 6) for asset in range(1, 4)]
    for batch in [[*DEFINITIONS, *funds], *batches]:
        stamped_batch = sequencer.stamp(*map(_with_an_ascii_name, batch))
        entries = split_entries(split_commands(stamped_batch), shard.apply(stamped_batch))
        _agree_on_changes(live.apply(entries), slow.apply(entries))
        _agree(live, slow)


def _with_an_ascii_name(command: bytes) -> bytes:
    """As the edge sends it: the engine takes any bytes for the name of an order."""
    name = bytes(byte & 127 for byte in command[CLIENT_ORDER_ID])
    return command[: CLIENT_ORDER_ID.start] + name + command[CLIENT_ORDER_ID.stop :]


def _trade_at(number: int, timestamp_ns: int, lots: int = 1) -> Entry:
    """An entry in which two orders come and trade with each other."""
    event = Event(*[0] * 24)._replace(market=1, price_ticks=number, quantity_lots=lots, timestamp_ns=timestamp_ns)
    buy, sell = (event._replace(kind=EventKind.ACCEPTED, order_id=number + at, side=at, account=at) for at in (1, 2))
    names = {"order_id": number + 1, "maker_order_id": number + 2, "account": 1, "maker_account": 2, "side": 1}
    trade = event._replace(kind=EventKind.TRADED, trade_id=number, **names)
    return Entry(number, bytes(COMMAND_SIZE), b"".join(map(write_event, (buy, sell, trade))))


def _with_a_market() -> tuple[Live, SlowLive]:
    both = Live(Catalogue()), SlowLive(Catalogue(), ENDED_MAX)
    defined = Sequencer().stamp(*DEFINITIONS)
    entries = split_entries(split_commands(defined), Shard().apply(defined))
    for one in both:
        one.apply(entries)
    return both


def test_volumes_are_exact_beyond_64_bits() -> None:
    live, slow = _with_a_market()
    entries = [_trade_at(number, 0, 2**62 - 1) for number in range(10, 50, 10)]
    _agree_on_changes(live.apply(entries), slow.apply(entries))
    _agree(live, slow)
    assert live.ticker(1).volume_24h_lots == 4 * (2**62 - 1) > 2**63


_DAY_NS = live_module.DAY_MINUTES * live_module.MINUTE_NS


@given(st.lists(st.sampled_from([0, 1, _DAY_NS // 2, _DAY_NS]) | st.integers(-_DAY_NS, 3 * _DAY_NS), max_size=30))
def test_minutes_are_those_of_the_last_24_hours(times: list[int]) -> None:
    live, slow = _with_a_market()
    for number, at in enumerate(times, 1):
        timestamp_ns = at - at % live_module.MINUTE_NS * (number % 2)  # every other one when a minute begins
        entries = [_trade_at(10 * number, timestamp_ns)]
        _agree_on_changes(live.apply(entries), slow.apply(entries))
        _agree(live, slow)


@pytest.mark.parametrize("size", [1, EVENT_SIZE - 1, EVENT_SIZE + 1])
def test_what_is_no_whole_number_of_records_is_refused(size: int) -> None:
    live = Live(Catalogue())
    with pytest.raises(ValueError, match="136 bytes each"):
        live.apply([Entry(1, bytes(144), bytes(size))])
    with pytest.raises(ValueError, match="a command record has 144 bytes"):
        live.apply([Entry(1, bytes(size), bytes([EventKind.ACCEPTED]) + bytes(EVENT_SIZE - 1))])
    with pytest.raises(KeyError):
        live.apply([Entry(1, bytes(144), bytes([EventKind.CANCELLED]) + bytes(EVENT_SIZE - 1))])
    with pytest.raises(KeyError):
        live.apply([Entry(1, bytes(144), bytes([EventKind.MODE_CHANGED]) + bytes(EVENT_SIZE - 1))])


def test_an_event_is_written_as_it_was_read() -> None:
    records = b"".join(entry.events for entry in _journal(1))
    assert b"".join(map(write_event, read_events(records))) == records
