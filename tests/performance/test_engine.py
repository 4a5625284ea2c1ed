"""The whole state machine's speed: `make bench`. Ratios against the reference engine are what lasts."""

from typing import Any

import pytest

from engine import matching, reference
from tests.performance.state_machine import BATCH, Batches, as_commands, opened, opening
from tests.performance.workloads import workload

COMMANDS = 100_000


@pytest.mark.parametrize("size", [1, 16, BATCH])
def test_the_whole_state_machine_in_batches(benchmark: Any, size: int) -> None:
    """Checks, holds, matching, fees, ledger and events of 100,000 commands, so many a call."""
    operations = workload("realistic", COMMANDS)

    def prepare() -> tuple[tuple[Any, Batches], dict[str, Any]]:
        shard = opened()
        return (shard, as_commands(operations, shard.sequence + 1, size=size)), {}

    def run(shard: Any, batches: Batches) -> Any:
        for batch in batches:
            shard.apply(batch)
        return shard

    shard = benchmark.pedantic(run, setup=prepare, rounds=5)
    benchmark.extra_info["commands"] = COMMANDS
    assert shard.trades > 5_000


def test_the_reference_engine_for_scale(benchmark: Any) -> None:
    """5,000 commands through the specification."""

    def prepare() -> tuple[tuple[Any, bytes], dict[str, Any]]:
        shard = reference.Shard()
        shard.apply(b"".join(opening()))
        return (shard, b"".join(as_commands(workload("sweep", 5_000), shard.sequence + 1))), {}

    benchmark.pedantic(lambda shard, data: shard.apply(data), setup=prepare, rounds=3)
    benchmark.extra_info["commands"] = 5_000


def test_restoring_a_snapshot(benchmark: Any) -> None:
    """100,000 resting orders from their snapshot."""
    shard = opened()
    for batch in as_commands(workload("deep", 195_000)[:COMMANDS], shard.sequence + 1):
        shard.apply(batch)
    assert shard.open_orders == COMMANDS
    image = shard.snapshot()
    restored = benchmark(matching.Shard.restore, image)
    assert restored.digest() == shard.digest()
