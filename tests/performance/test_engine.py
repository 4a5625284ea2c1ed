"""The engine's own speed: `make bench`. Ratios against the empty call and the reference engine are what lasts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine import matching, records, reference
from tests.support import commands
from tests.support.commands import Sequencer

BATCH = 1_000
TRADERS = range(2, 102)


def opening() -> list[bytes]:
    """One market, a hundred traders with all they need."""
    defined = [commands.define_asset(1, "USD", 10), commands.define_asset(2, "BTC", 8)]
    terms = {"lot_units": 1, "tick_lot_units": 1, "quantity_lots_max": 10**12, "price_ticks_max": 2**32 - 1}
    defined.append(commands.define_market(1, "BTC/USD", 2, 1, maker_fee_ppm=1_000, taker_fee_ppm=2_000, **terms))
    return defined + [commands.deposit(trader, asset, 2**60) for trader in TRADERS for asset in (1, 2)]


def realistic(first_sequence: int, count: int, seed: int = 1) -> np.ndarray[Any, Any]:
    """Limit orders near the touch, one in four of them crossing, and 40 % cancels of recent orders."""
    rng = np.random.default_rng(seed)
    batch = np.zeros(count, records.ORDER_COMMAND)
    batch["version"], batch["kind"], batch["market"] = records.LAYOUT_VERSION, records.CommandKind.PLACE, 1
    batch["side"], batch["order_type"], batch["time_in_force"] = rng.integers(1, 3, count), 2, 1
    batch["account"] = rng.choice(np.array(TRADERS), count)
    away = rng.geometric(0.05, count) - 3
    batch["price_ticks"] = np.where(batch["side"] == 1, 20_000 - away, 20_000 + away)
    batch["quantity_lots"] = rng.integers(1, 100, count)
    batch["sequence"] = np.arange(first_sequence, first_sequence + count)
    cancels = rng.random(count) < 0.4
    batch["kind"][cancels] = records.CommandKind.CANCEL
    batch["order_id"][cancels] = (batch["sequence"] - rng.integers(1, 5_000, count))[cancels].clip(min=1)
    return batch


def opened(make: Callable[[], Any]) -> Any:
    shard, sequencer = make(), Sequencer()
    for command in opening():
        shard.apply(sequencer.stamp(command))
    return shard


@pytest.mark.parametrize("size", [1, 16, BATCH])
def test_the_whole_state_machine_in_batches(benchmark: Any, size: int) -> None:
    """Checks, holds, matching, fees, ledger and events of 100,000 commands, so many a call."""

    def prepare() -> tuple[tuple[Any, list[bytes]], dict[str, Any]]:
        shard = opened(matching.Shard)
        data = realistic(shard.sequence + 1, 100_000).tobytes()
        step = size * records.COMMAND_SIZE
        return (shard, [data[at : at + step] for at in range(0, len(data), step)]), {}

    def run(shard: Any, batches: list[bytes]) -> Any:
        for batch in batches:
            shard.apply(batch)
        return shard

    shard = benchmark.pedantic(run, setup=prepare, rounds=5)
    benchmark.extra_info["commands"] = 100_000
    assert shard.trades > 5_000


def test_the_reference_engine_for_scale(benchmark: Any) -> None:
    """The same flow, 5,000 commands of it, through the specification."""

    def prepare() -> tuple[tuple[Any, bytes], dict[str, Any]]:
        shard = opened(reference.Shard)
        return (shard, realistic(shard.sequence + 1, 5_000).tobytes()), {}

    benchmark.pedantic(lambda shard, data: shard.apply(data), setup=prepare, rounds=3)
    benchmark.extra_info["commands"] = 5_000


def test_restoring_a_snapshot(benchmark: Any) -> None:
    """100,000 resting orders from their snapshot."""
    shard = opened(matching.Shard)
    batch = realistic(shard.sequence + 1, 100_000)
    batch["kind"] = records.CommandKind.PLACE
    batch["price_ticks"] = np.where(
        batch["side"] == 1, batch["price_ticks"].clip(max=19_990), batch["price_ticks"].clip(min=20_010)
    )
    shard.apply(batch.tobytes())
    image = shard.snapshot()
    restored = benchmark(matching.Shard.restore, image)
    assert restored.digest() == shard.digest()
