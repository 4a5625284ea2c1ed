"""The whole state machine on the project's own flows, in units of an empty Python call.

Checks, holds, matching, fees, ledger, events and digest of every command, applied in batches. Each figure is the least
processor time of several rounds; what is compared runs in turns, so that a noisy machine disturbs both alike. Last come
the aims. Run it: `python -m tests.performance.state_machine`.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from engine import records
from engine.book_records import OperationKind
from engine.matching import Shard
from engine.records import CommandKind, OrderType, SelfTrade, Side, TimeInForce
from tests.performance.workloads import Operations, workload
from tests.performance.yardsticks import Result, empty_call_ns, print_table
from tests.support import commands
from tests.support.commands import Sequencer, split_commands

TRADERS = range(2, 102)
BATCH = 1_000
FUNDS = 2**61
RESTING = 1_000_000

Batches = list[bytes]


def opening(*, features: bool = False) -> list[bytes]:
    """A market and a hundred traders who have all they need, stamped; with features, all there and none at work."""
    terms: dict[str, Any] = {"lot_units": 1, "tick_lot_units": 1, "quantity_lots_max": 10**12}
    terms["price_ticks_max"] = 2**32 - 1
    defined = [commands.define_asset(1, "USD", 10), commands.define_asset(2, "BTC", 8)]
    defined.append(commands.define_market(1, "BTC/USD", 2, 1, maker_fee_ppm=1_000, taker_fee_ppm=2_000, **terms))
    defined += [commands.deposit(trader, asset, FUNDS) for trader in TRADERS for asset in (1, 2)]
    return split_commands(Sequencer().stamp(*defined, *(dormant() if features else [])))


def opened(*, features: bool = False) -> Shard:
    """A shard that has done the opening."""
    shard = Shard()
    shard.apply(b"".join(opening(features=features)))
    return shard


def dormant() -> list[bytes]:
    """A band too wide to reach, limits too high to meet, stops and icebergs too far away to take part."""
    far = 1_000_000
    fees = {"maker_fee_ppm": 1_000, "taker_fee_ppm": 2_000}
    limits = {"quantity_lots_min": 1, "quantity_lots_max": 10**12}
    limits |= {"open_orders_max": 10**9, "position_lots_max": 2**62 - 1}
    band = {"band_ppm": 1_000_000, "band_interval_ns": 10**9, "reference_price_ticks": 20_000}
    first = [commands.record(CommandKind.CONFIGURE_MARKET, market=1, **fees, **limits, **band)]
    stop = {"order_type": OrderType.STOP, "trigger_price_ticks": far}
    first += [commands.place(trader, 1, Side.BUY, 0, 1, **stop) for trader in TRADERS]
    trailing = {"order_type": OrderType.TRAILING_STOP, "trigger_price_ticks": 1, "trail_ticks": far}
    first += [commands.place(trader, 1, Side.SELL, 0, 1, **trailing) for trader in list(TRADERS)[:10]]
    day = {"time_in_force": TimeInForce.DAY}
    return first + [commands.place(trader, 1, Side.SELL, far, 50, display_lots=5, **day) for trader in TRADERS]


def as_commands(
    operations: Operations, first_sequence: int, self_trade: int = SelfTrade.NONE, size: int = BATCH
) -> Batches:
    """The operations as batches of commands of random traders; an order goes by the sequence that placed it."""
    rng = np.random.default_rng(7)
    count = len(operations)
    batch = np.zeros(count, records.ORDER_COMMAND)
    sequences = np.arange(first_sequence, first_sequence + count)
    batch["version"], batch["sequence"], batch["market"] = records.LAYOUT_VERSION, sequences, 1
    batch["timestamp_ns"] = sequences
    placed = np.isin(operations["kind"], (OperationKind.LIMIT, OperationKind.MARKET))
    owner_of: dict[int, tuple[int, int]] = {}
    accounts = rng.choice(np.array(TRADERS), count).tolist()
    order_ids, owners = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    for at, (order_id, places) in enumerate(zip(operations["order_id"].tolist(), placed.tolist(), strict=True)):
        if places:
            owner_of[order_id] = first_sequence + at, accounts[at]
        order_ids[at], owners[at] = owner_of[order_id]
    batch["account"] = owners
    batch["order_id"][~placed] = order_ids[~placed]
    kinds = {OperationKind.CANCEL: CommandKind.CANCEL, OperationKind.REPLACE: CommandKind.AMEND}
    for operation, kind in kinds.items():
        batch["kind"][operations["kind"] == operation] = kind
    batch["kind"][placed] = CommandKind.PLACE
    is_market = operations["kind"] == OperationKind.MARKET
    batch["order_type"][placed], batch["order_type"][is_market] = OrderType.LIMIT, OrderType.MARKET
    batch["side"][placed] = operations["side"][placed]
    batch["time_in_force"] = np.where(is_market, TimeInForce.IOC, operations["time_in_force"])
    batch["price_ticks"], batch["quantity_lots"] = operations["price_ticks"], operations["quantity_lots"]
    batch["self_trade"][placed] = self_trade
    data = batch.tobytes()
    step = size * records.COMMAND_SIZE
    return [data[at : at + step] for at in range(0, len(data), step)]


def cpu_ns(work: Callable[[], object]) -> int:
    started = time.process_time_ns()
    work()
    return time.process_time_ns() - started


def apply_ns(shard: Shard, batches: Batches) -> float:
    """Processor time a command."""
    commands_in_all = sum(map(len, batches)) / records.COMMAND_SIZE
    return cpu_ns(lambda: [shard.apply(batch) for batch in batches]) / commands_in_all


def flow(name: str, count: int, *, features: bool) -> tuple[Shard, Batches]:
    shard = opened(features=features)
    self_trade = SelfTrade.CANCEL_OLDEST if features else SelfTrade.NONE
    return shard, as_commands(workload(name, count), shard.sequence + 1, self_trade)


def measure_flow(name: str, count: int, rounds: int) -> list[Result]:
    """A flow plain and with dormant features, in turns."""
    plain, dressed, empty = [], [], []
    for _ in range(rounds):
        empty.append(empty_call_ns())
        plain.append(apply_ns(*flow(name, count, features=False)))
        dressed.append(apply_ns(*flow(name, count, features=True)))
    cost = (min(dressed) / min(plain) - 1) * 100
    calls = min(plain) / min(empty)
    print(f"{name:10} {min(plain):7.0f} ns a command = {calls:4.1f} empty calls ({min(empty):.0f} ns);", end=" ")
    print(f"features present but at rest: {min(dressed):7.0f} ns ({cost:+.0f} %)")
    return [
        Result(f"{name}, a command in a batch, in empty calls", calls, 10),
        Result(f"{name}, cost of features at rest, in %", cost, 15),
    ]


def measure_latency(count: int) -> list[Result]:
    """One command a call: the median and the slowest in a thousand."""
    shard = opened()
    batches = as_commands(workload("realistic", count), shard.sequence + 1)
    data = b"".join(batches)
    size = records.COMMAND_SIZE
    single = [data[at : at + size] for at in range(0, len(data), size)]
    taken = np.zeros(len(single), np.int64)
    for at, command in enumerate(single):
        started = time.perf_counter_ns()
        shard.apply(command)
        taken[at] = time.perf_counter_ns() - started
    median, slow = np.percentile(taken[10_000:], (50, 99.9))
    print(f"one command a call: median {median:.0f} ns, p99.9 {slow:.0f} ns = {slow / median:.1f} medians")
    return [Result("realistic, p99.9 of single commands, in medians", slow / median, 50)]


def measure_restore() -> None:
    """A million resting orders: placed, and restored from a snapshot."""
    shard = opened()
    operations = workload("deep")[:RESTING]
    placing = apply_ns(shard, as_commands(operations, shard.sequence + 1)) * len(operations)
    image = shard.snapshot()
    restoring = min(cpu_ns(lambda: Shard.restore(image)) for _ in range(3))
    print(f"{shard.open_orders:,} orders: placed in {placing / 1e6:.0f} ms,", end=" ")
    print(f"restored in {restoring / 1e6:.0f} ms ({restoring / placing:.2f} of that) from {len(image) / 1e6:.0f} MB")


def main() -> None:
    results = measure_flow("realistic", 300_000, rounds=5) + measure_flow("sweep", 200_000, rounds=5)
    results += measure_latency(300_000)
    measure_restore()
    print_table(results)


if __name__ == "__main__":
    main()
