"""What a shard promises beyond the answers to commands: sequence, batches, snapshots, what it tells, stated sizes."""

import time
import zlib
from typing import Any

import numpy as np
import pytest

from engine.records import CASCADE_MAX, COMMAND_SIZE, TRAILING_ORDERS_MAX, CommandKind, EventKind, OrderType, Reason
from tests.support import commands
from tests.support.commands import BUY, SELL, Sequencer, read_events, split_commands, stamp
from tests.support.engines import ENGINES, EngineModule, Shard, load_engine
from tests.support.flow import stamped
from tests.support.full_flow import full_flow

FLOW = stamped(full_flow(seed=7, count=900))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> EngineModule:
    return load_engine(request.param)


@pytest.fixture
def shard(engine: EngineModule) -> Shard:
    """A shard with orders, trades and balances."""
    used = engine.Shard()
    used.apply(b"".join(FLOW))
    return used


def test_a_new_shard_is_at_sequence_zero_with_digest_zero(engine: EngineModule) -> None:
    shard = engine.Shard()
    assert (shard.sequence, shard.trades, shard.digest()) == (0, 0, 0)


def test_an_empty_batch_changes_nothing(shard: Shard) -> None:
    before = shard.digest()
    assert shard.apply(b"") == b""
    assert (shard.sequence, shard.digest()) == (len(FLOW), before)


@pytest.mark.parametrize("size", [1, COMMAND_SIZE - 1, COMMAND_SIZE + 1])
def test_a_buffer_that_is_no_whole_number_of_commands_is_an_error(shard: Shard, size: int) -> None:
    before = shard.digest()
    with pytest.raises(ValueError):
        shard.apply(bytes(size))
    assert shard.digest() == before


@pytest.mark.parametrize("found", [0, len(FLOW), len(FLOW) + 2, 2**63, 2**64 - 1])
def test_a_command_out_of_sequence_is_an_error(engine: EngineModule, shard: Shard, found: int) -> None:
    before = shard.digest()
    with pytest.raises(engine.SequenceError):
        shard.apply(stamp(commands.deposit(2, 1, 5), found, 0))
    assert (shard.sequence, shard.digest()) == (len(FLOW), before)


def test_a_batch_whose_last_command_is_out_of_sequence_is_not_applied_at_all(
    engine: EngineModule, shard: Shard
) -> None:
    before = shard.digest()
    batch = [stamp(commands.deposit(2, 1, 5), len(FLOW) + after, 0) for after in (1, 2, 2)]
    with pytest.raises(engine.SequenceError):
        shard.apply(b"".join(batch))
    assert (shard.sequence, shard.digest()) == (len(FLOW), before)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_batch_may_be_any_buffer_of_bytes(engine: EngineModule, kind: type) -> None:
    batch = b"".join(FLOW)
    assert engine.Shard().apply(kind(batch)) == engine.Shard().apply(batch)


def test_the_reference_of_a_transfer_changes_nothing(engine: EngineModule) -> None:
    one, other = engine.Shard(), engine.Shard()
    for shard, words in ((one, b""), (other, b"\xff" * 36)):
        transfers = [
            commands.deposit(2, 1, 9, words),
            commands.withdraw(2, 1, 5, words),
            commands.deposit(2, 2, 1, words),
        ]
        shard.apply(Sequencer().stamp(commands.define_asset(1, "USD"), *transfers))
    assert (one.digest(), one.snapshot()) == (other.digest(), other.snapshot())
    assert one.balances() == {(0, 1): (-4, 0), (2, 1): (4, 0)}


def test_a_batch_causes_what_its_commands_cause_one_by_one(engine: EngineModule) -> None:
    at_once, one_by_one = engine.Shard(), engine.Shard()
    assert at_once.apply(b"".join(FLOW)) == b"".join(one_by_one.apply(command) for command in FLOW)
    assert at_once.digest() == one_by_one.digest()


def test_a_restored_shard_goes_on_as_the_one_that_was_saved(engine: EngineModule) -> None:
    whole = engine.Shard()
    events = [whole.apply(command) for command in FLOW]
    for cut in range(0, len(FLOW), 113):
        first = engine.Shard()
        first.apply(b"".join(FLOW[:cut]))
        second = engine.Shard.restore(first.snapshot())
        assert (second.sequence, second.trades, second.digest()) == (cut, first.trades, first.digest())
        assert (second.orders(), second.next_due_ns) == (first.orders(), first.next_due_ns)
        assert second.snapshot() == first.snapshot()
        assert second.apply(b"".join(FLOW[cut:])) == b"".join(events[cut:])
        assert second.digest() == whole.digest()


def test_a_snapshot_with_any_bit_flipped_is_refused(engine: EngineModule) -> None:
    shard = engine.Shard()
    shard.apply(b"".join(FLOW[:40]))
    saved = shard.snapshot()
    for at in range(len(saved)):
        damaged = bytearray(saved)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(engine.SnapshotError):
            engine.Shard.restore(bytes(damaged))


def test_a_snapshot_of_another_length_is_refused(engine: EngineModule, shard: Shard) -> None:
    saved = shard.snapshot()
    for size in [*range(0, 80), len(saved) // 2, len(saved) - 1]:
        with pytest.raises(engine.SnapshotError):
            engine.Shard.restore(saved[:size])
    with pytest.raises(engine.SnapshotError):
        engine.Shard.restore(saved + b"\0")


def test_one_engine_refuses_the_snapshot_of_the_other(shard: Shard) -> None:
    refusals = 0
    for name in ENGINES:
        module = load_engine(name)
        if not isinstance(shard, module.Shard):
            with pytest.raises(module.SnapshotError):
                module.Shard.restore(shard.snapshot())
            refusals += 1
    assert refusals == 1


def test_a_shard_has_at_most_256_assets_and_1024_markets(engine: EngineModule) -> None:
    sequencer = Sequencer()
    assets = [commands.define_asset(asset, f"A{asset}") for asset in range(1, 258)]
    pairs = [(base, quote) for base in range(1, 34) for quote in range(1, 34) if base != quote][:1025]
    markets = [commands.define_market(n, f"A{pair[0]}/A{pair[1]}", *pair) for n, pair in enumerate(pairs, 1)]
    events = read_events(engine.Shard().apply(sequencer.stamp(*assets, *markets)))
    kinds = [event.kind for event in events]
    assert kinds[:257] == [EventKind.ASSET_DEFINED] * 256 + [EventKind.REJECTED]
    assert kinds[257:] == [EventKind.MARKET_DEFINED] * 1024 + [EventKind.REJECTED]


def test_the_digest_of_a_sequence_alone_is_the_one_on_the_page(engine: EngineModule) -> None:
    shard = engine.Shard()
    shard.apply(stamp(commands.cancel(2, 1), 1, 0))
    assert shard.digest() == _item(5, 1)


def _item(tag: int, *words: int) -> int:
    """As the page says it."""
    found = tag
    for word in words:
        z = ((found ^ word) * 0x9E3779B97F4A7C15) % 2**64
        z ^= z >> 32
        z = z * 0xD6E8FEB86659FD93 % 2**64
        found = z ^ (z >> 32)
    return found


def test_a_balance_that_never_was_is_zero(shard: Shard) -> None:
    assert shard.balance(10**18, 1) == (0, 0)
    assert shard.balance(2, 77) == shard.balance(2, 2**32 + 1) == (0, 0)


# Accounts


def _accounts_section(saved: bytes, count: int) -> Any:
    """The last so many records of accounts of the fast engine's snapshot (engine/matching/snapshot.pxi), as a copy."""
    layout = [("account", "<u8"), ("cancel_after", "<i8"), ("maker", "<u4"), ("taker", "<u4")]
    return np.frombuffer(saved[-4 - 24 * count : -4], layout).copy()


def _with_accounts(saved: bytes, records: Any, digest: int) -> bytes:
    """The snapshot with these records of accounts, with a checksum and a digest that fit."""
    content = bytearray(saved[: -4 - records.nbytes] + records.tobytes())
    content[24:32] = digest.to_bytes(8, "little")
    return bytes(content) + zlib.crc32(content).to_bytes(4, "little")


def _accounts_digest(records: Any) -> int:
    shares = sum(_item(11, int(r["account"]), int(r["maker"]), int(r["taker"])) for r in records)
    return int(shares + sum(_item(12, int(r["account"]), int(r["cancel_after"])) for r in records))


@pytest.mark.parametrize(
    ("at", "change"),
    [
        (0, {"account": 0}),
        (0, {"account": 1}),
        (1, {"account": 5}),
        (1, {"maker": 1_000_001}),
        (0, {"taker": 2**32 - 1}),
    ],
)
def test_a_snapshot_with_accounts_that_cannot_be_is_refused(at: int, change: dict[str, int]) -> None:
    matching = load_engine("matching")
    shard = matching.Shard()
    told = [commands.set_fees(account, 10 * account, 7) for account in (5, 9)]
    told += [commands.cancel_after(account, 10**9) for account in (5, 9)]
    shard.apply(Sequencer().stamp(*told))
    saved = shard.snapshot()
    records = _accounts_section(saved, 2)
    assert records["account"].tolist() == [5, 9] and records["maker"].tolist() == [50, 90]
    rest = (shard.digest() - _accounts_digest(records)) % 2**64
    as_it_was = _with_accounts(saved, records, shard.digest())
    assert as_it_was == saved and matching.Shard.restore(as_it_was).cancel_after(9) == 10**9
    for name, value in change.items():
        records[at][name] = value
    with pytest.raises(matching.SnapshotError):
        matching.Shard.restore(_with_accounts(saved, records, (rest + _accounts_digest(records)) % 2**64))


def test_a_thousand_timers_at_once_cost_nothing_like_a_thousand_times_one() -> None:
    shard, sequencer = load_engine("matching").Shard(), Sequencer()
    opening = [commands.define_asset(1, "USD"), commands.define_asset(2, "BTC")]
    opening.append(commands.define_market(1, "BTC/USD", 2, 1))
    opening += [commands.deposit(account, 1, 10**12) for account in range(2, 1_003)]
    shard.apply(sequencer.stamp(*opening))
    shard.apply(sequencer.stamp(*[commands.place(2, 1, BUY, 50, 1)] * 200_000))

    def fire_ns(count: int) -> int:
        """Processor time in which the timers of so many accounts fire, each of which has an order."""
        expire_ns = sequencer.timestamp_ns + 10**9
        accounts = range(3, 3 + count)
        shard.apply(sequencer.stamp(*[commands.place(account, 1, BUY, 60, 1) for account in accounts]))
        shard.apply(sequencer.stamp(*[commands.cancel_after(account, expire_ns) for account in accounts]))
        clock = sequencer.stamp(commands.clock(), timestamp_ns=expire_ns)
        started = time.process_time_ns()
        events = shard.apply(clock)
        taken = time.process_time_ns() - started
        assert len(read_events(events)) == 2 * count
        return taken

    one = min(fire_ns(1) for _ in range(5))
    thousand = min(fire_ns(1_000) for _ in range(3))
    assert thousand < 100 * one


# What can be asked


def test_orders_are_told_one_by_one_by_account_and_by_market(shard: Shard) -> None:
    live = shard.orders()
    assert [order.order_id for order in live] == sorted(order.order_id for order in live)
    assert len(live) == shard.open_orders > 20
    assert all(shard.order(order.order_id) == order for order in live)
    assert shard.order(0) is shard.order(len(FLOW) + 1) is None
    for account in range(11):
        assert shard.orders(account) == [order for order in live if account in (0, order.account)]
        for market in range(5):
            assert shard.orders(account, market) == [o for o in shard.orders(account) if market in (0, o.market)]


def test_depth_and_checksum_are_those_of_the_book(shard: Shard) -> None:
    for market in range(1, 5):
        book = [shard.order(row[0]) for row in shard.book(market)]
        sides = shard.depth(market)
        for side, levels in zip((BUY, SELL), sides, strict=True):
            shown = [
                (o.price_ticks, o.visible_lots if o.display_lots else o.remaining_lots) for o in book if o.side == side
            ]
            prices = list(dict.fromkeys(price for price, _ in shown))
            at = {price: [lots for its, lots in shown if its == price] for price in prices}
            assert levels == [(price, sum(at[price]), len(at[price])) for price in prices]
        assert shard.depth(market, 2) == (sides[0][:2], sides[1][:2])
        for count in (1, 3, 10):
            rows = [row for level in zip(*(_padded(levels, count) for levels in sides), strict=True) for row in level]
            text = ":".join(f"{price}:{lots}" for price, lots, _ in filter(None, rows))
            assert shard.checksum(market, count) == zlib.crc32(text.encode())
        assert shard.checksum(market) == shard.checksum(market, 10)


def _padded(levels: list[tuple[int, int, int]], count: int) -> list[tuple[int, int, int] | None]:
    return [*levels[:count], *[None] * (count - len(levels))]


@pytest.mark.parametrize("market", [-1, 0, 5, 2**32 - 1, 2**32, 2**32 + 1, 2**64, 10**30])
@pytest.mark.parametrize("question", ["book", "depth", "state", "indicative", "checksum"])
def test_a_question_about_an_unknown_market_is_an_error(shard: Shard, question: str, market: int) -> None:
    with pytest.raises(KeyError):
        getattr(shard, question)(market)
    if market != 0:  # any
        with pytest.raises(KeyError):
            shard.orders(market=market)


def test_its_definitions_make_another_shard_with_the_same_assets_and_markets(
    engine: EngineModule, shard: Shard
) -> None:
    definitions = shard.definitions()
    other = engine.Shard()
    other.apply(Sequencer().stamp(*definitions))
    kinds = [record[1] for record in definitions]
    assert kinds == sorted(kinds, key=[1, 2, 10].index) and kinds.count(10) >= 1
    assert [record[24:] for record in other.definitions()] == [record[24:] for record in definitions]


def test_both_engines_tell_the_same_of_the_same_state() -> None:
    one, other = (load_engine(name).Shard() for name in ENGINES)
    one.apply(b"".join(FLOW))
    other.apply(b"".join(FLOW))
    assert one.definitions() == other.definitions()
    assert (one.balances(), one.orders()) == (other.balances(), other.orders())
    assert (one.open_orders, one.next_due_ns, one.trades) == (other.open_orders, other.next_due_ns, other.trades)
    for market in range(1, 5):
        for question in ("book", "depth", "state", "indicative", "checksum"):
            assert getattr(one, question)(market) == getattr(other, question)(market)


# Stated bounds


def _opened(engine: EngineModule) -> tuple[Shard, Sequencer]:
    shard, sequencer = engine.Shard(), Sequencer()
    opening = [commands.define_asset(1, "USD"), commands.define_asset(2, "BTC")]
    opening += [commands.define_market(1, "BTC/USD", 2, 1), commands.define_market(2, "BTC/USD2", 2, 1)]
    opening += [commands.deposit(account, asset, 10**12) for account in (2, 3) for asset in (1, 2)]
    shard.apply(sequencer.stamp(*opening))
    return shard, sequencer


def _stop(account: int = 2, trigger_price_ticks: int = 90) -> bytes:
    terms = {"order_type": OrderType.STOP, "trigger_price_ticks": trigger_price_ticks}
    return commands.place(account, 1, SELL, 0, 1, **terms)


def test_a_command_fires_at_most_a_thousand_orders_and_the_next_goes_on(engine: EngineModule) -> None:
    shard, sequencer = _opened(engine)
    shard.apply(sequencer.stamp(*[_stop()] * (CASCADE_MAX + 300)))
    shard.apply(sequencer.stamp(commands.place(3, 1, BUY, 90, 2)))
    first = read_events(shard.apply(sequencer.stamp(commands.place(3, 1, SELL, 90, 1))))
    assert [event.kind for event in first].count(EventKind.TRIGGERED) == CASCADE_MAX
    assert shard.open_orders == 300 and shard.next_due_ns == -(2**63)
    shard = engine.Shard.restore(shard.snapshot())
    assert shard.next_due_ns == -(2**63)
    refused = read_events(shard.apply(sequencer.stamp(_stop(trigger_price_ticks=95))))
    assert [event.kind for event in refused[:600:2]] == [EventKind.TRIGGERED] * 300, "before the command itself"
    assert [event.order_id for event in refused[:600:2]] == sorted(event.order_id for event in refused[:600:2])
    assert refused[-1].reason == Reason.TRIGGER_ALREADY_MET
    assert shard.open_orders == 0 and shard.next_due_ns is None


def test_what_is_left_to_fire_counts_against_the_next_command_too(engine: EngineModule) -> None:
    shard, sequencer = _opened(engine)
    shard.apply(sequencer.stamp(*[_stop()] * (2 * CASCADE_MAX + 5), commands.place(3, 1, BUY, 90, 1)))
    shard.apply(sequencer.stamp(commands.place(3, 1, SELL, 90, 1)))
    for left in (CASCADE_MAX + 5, 5, 0):
        assert shard.open_orders == left
        assert shard.next_due_ns == (-(2**63) if left else None)
        shard.apply(sequencer.stamp(commands.clock()))


def test_a_market_has_at_most_a_thousand_trailing_orders(engine: EngineModule) -> None:
    shard, sequencer = _opened(engine)
    trailing = {"order_type": OrderType.TRAILING_STOP, "trail_ticks": 5, "trigger_price_ticks": 90}
    orders = [
        commands.place(2, 1, SELL, 0, 1, **trailing, contingency=3 if number % 2 else 0)
        for number in range(TRAILING_ORDERS_MAX)
    ]
    events = read_events(shard.apply(sequencer.stamp(*orders)))
    assert {event.kind for event in events} == {EventKind.ACCEPTED}
    for contingency in (0, 3):
        full = read_events(
            shard.apply(sequencer.stamp(commands.override(orders[0], account=3, contingency=contingency)))
        )
        assert [event.reason for event in full] == [Reason.TRAILING_ORDERS_FULL]
    elsewhere = read_events(shard.apply(sequencer.stamp(commands.override(orders[0], market=2))))
    assert [event.kind for event in elsewhere] == [EventKind.ACCEPTED]
    shard = engine.Shard.restore(shard.snapshot())
    replaced = commands.cancel_replace(events[0].order_id, orders[0])
    assert [e.kind for e in read_events(shard.apply(sequencer.stamp(replaced)))][1:] == [EventKind.ACCEPTED]
    shard.apply(sequencer.stamp(commands.cancel(2, events[1].order_id)))
    again = read_events(shard.apply(sequencer.stamp(orders[0], orders[0])))
    assert [event.reason for event in again] == [Reason.NONE, Reason.TRAILING_ORDERS_FULL]


# Content is never an exception


_EXTREMES = [0, 1, 2, 3, 4, 7, 8, 127, 255, 2**31, 2**32 - 1, 2**32, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
_USUAL = [
    commands.define_asset(4, "DOGE"),
    commands.define_market(5, "DOGE/USD", 2, 1),
    commands.deposit(2, 1, 5),
    commands.withdraw(2, 1, 5),
    commands.place(2, 1, BUY, 100, 5),
    commands.place_market(2, 1, SELL, 5),
    commands.place(3, 1, SELL, 105, 9, display_lots=2, self_trade=4, group=1, time_in_force=6, expire_ns=2**62),
    commands.place(3, 2, BUY, 0, 9, order_type=OrderType.STOP, trigger_price_ticks=130),
    commands.place(3, 2, SELL, 0, 9, order_type=OrderType.TRAILING_STOP, trail_ticks=7),
    commands.cancel(2, 30),
    commands.amend(2, 30, price_ticks=100, quantity_lots=9),
    commands.cancel_replace(30, commands.place(2, 1, BUY, 99, 5), flags=4),
    commands.mass_cancel(2, 1, BUY, 1, 5, b"desk"),
    commands.configure_market(3, quantity_lots_max=400, band_ppm=1_000, band_auction_ns=5),
    commands.set_mode(3, 4, 2**62),
    commands.clock(),
]


def _extreme(usual: bytes) -> list[bytes]:
    """The command with each of its fields, one at a time, at every extreme that it can hold."""
    found = []
    layout = commands.layout_of(usual)
    for name in layout.names or ():
        kind = layout[name]
        if name in ("sequence", "timestamp_ns") or kind.kind not in "iu":
            continue
        values = {value % 2 ** (8 * kind.itemsize) for extreme in _EXTREMES for value in (extreme, -extreme)}
        for value in sorted(values):
            field = usual[: layout.fields[name][1]], value.to_bytes(kind.itemsize, "little")  # type: ignore[index]
            found.append(b"".join(field) + usual[len(field[0]) + kind.itemsize :])
    return found


def _without_sequence(shard: Shard) -> int:
    """The digest less what the sequence alone adds to it."""
    return (shard.digest() - _item(5, shard.sequence)) % 2**64


@pytest.mark.parametrize("usual", _USUAL, ids=lambda usual: CommandKind(usual[1]).name)
def test_any_extreme_in_any_field_is_an_event_or_a_refusal_that_changes_nothing(
    engine: EngineModule, usual: bytes
) -> None:
    saved = _after_the_flow(engine)
    refused = 0
    for number, command in enumerate(_extreme(usual)):
        if number % 50 == 0:
            shard, sequencer = engine.Shard.restore(saved), Sequencer(len(FLOW))
            sequencer.timestamp_ns = int.from_bytes(FLOW[-1][16:24], "little", signed=True)
        before = _without_sequence(shard)
        events = read_events(shard.apply(sequencer.stamp(command, timestamp_ns=sequencer.timestamp_ns)))
        assert events or command[1] == CommandKind.CLOCK
        if [event.kind for event in events] == [EventKind.REJECTED]:
            refused += 1
            assert events[0].reason >= Reason.UNKNOWN_KIND and _without_sequence(shard) == before
    assert refused > 20


def _after_the_flow(engine: EngineModule) -> bytes:
    """The snapshot of a shard after the flow, with nothing due any more."""
    shard = engine.Shard()
    shard.apply(b"".join(FLOW))
    return shard.snapshot()


@pytest.mark.parametrize("timestamp_ns", [-(2**63), -1, 0, 1, 2**62, 2**63 - 1])
def test_a_command_may_come_at_any_time(engine: EngineModule, shard: Shard, timestamp_ns: int) -> None:
    due = shard.next_due_ns
    assert due is not None
    events = read_events(shard.apply(stamp(commands.clock(), len(FLOW) + 1, timestamp_ns)))
    assert bool(events) == (due <= timestamp_ns)
    assert all(event.timestamp_ns == timestamp_ns for event in events)
    assert shard.next_due_ns is None or shard.next_due_ns > timestamp_ns


def test_the_flow_of_these_tests_has_every_kind_of_command() -> None:
    kinds = {command[1] for command in split_commands(b"".join(FLOW)) if command[0] == 2}
    assert kinds >= set(CommandKind)
