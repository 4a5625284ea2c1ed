"""What a shard promises its caller beyond the answers to commands: sequence, batches, snapshots, stated sizes."""

import pytest

from engine.records import COMMAND_SIZE, EventKind
from tests.support import commands
from tests.support.commands import Sequencer, read_events, stamp
from tests.support.engines import ENGINES, EngineModule, Shard, load_engine
from tests.support.flow import random_flow, stamped

FLOW = stamped(random_flow(seed=7, count=400))


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


def test_a_batch_causes_what_its_commands_cause_one_by_one(engine: EngineModule) -> None:
    at_once, one_by_one = engine.Shard(), engine.Shard()
    assert at_once.apply(b"".join(FLOW)) == b"".join(one_by_one.apply(command) for command in FLOW)
    assert at_once.digest() == one_by_one.digest()


def test_a_restored_shard_goes_on_as_the_one_that_was_saved(engine: EngineModule) -> None:
    whole = engine.Shard()
    events = [whole.apply(command) for command in FLOW]
    for cut in range(0, len(FLOW), 57):
        first = engine.Shard()
        first.apply(b"".join(FLOW[:cut]))
        second = engine.Shard.restore(first.snapshot())
        assert (second.sequence, second.trades, second.digest()) == (cut, first.trades, first.digest())
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
    z = ((5 ^ 1) * 0x9E3779B97F4A7C15) % 2**64
    z ^= z >> 32
    z = z * 0xD6E8FEB86659FD93 % 2**64
    assert shard.digest() == z ^ (z >> 32)


def test_a_balance_that_never_was_is_zero(shard: Shard) -> None:
    assert shard.balance(10**18, 1) == (0, 0)
    assert shard.balance(2, 77) == (0, 0)
