"""The bare book beside an empty Python call and beside other engines, in one run.

What is compared runs in turns, and of each the least CPU time of several rounds counts: the machine is shared. A peer
runs in a process and an environment of its own (`make bench-peers`), with a time limit, and its trades are held against
the slow book's. `python -m tests.performance.bare_book --quick`: small flows, few rounds, to see that everything runs.
"""

import argparse
import marshal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from engine.matching import Book
from tests.performance.drive import empty_calls, flow_of, our_batch, our_calls
from tests.performance.empty import empty
from tests.performance.peers import PEERS
from tests.performance.workloads import DEEP_LEVELS, SIZES, Operations, play, workload
from tests.support.slow_book import SlowBook

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-peers"
NEWER = ("matching-engine", ENVIRONMENT / "newer")  # it needs Python 3.12
PEER_SECONDS = 60
PEER_RESTING = 100_000
# The tables of ids double at about 36 orders times a power of two: sizes just before and just after.
RESTING = (20_000, 100_000, 280_000, 310_000, 560_000, 620_000, 1_000_000, 1_120_000, 1_250_000)
SMALL, LARGE = 20_000, 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--bytes-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bytes_of is not None:
        print(grown_bytes(options.bytes_of))
        return
    rounds = 2 if options.quick else 5
    peers = list(PEERS) if (ENVIRONMENT / "bin/python").exists() else []
    for name, size in SIZES.items():
        measure_flow(name, 40_000 if options.quick else size, rounds, [] if name == "deep" else peers)
    measure_latency(40_000 if options.quick else 300_000, rounds)
    measure_cancels(rounds)
    for count in RESTING[: 2 if options.quick else None]:
        print(f"{count:>9,} resting orders: {bytes_an_order(count):5.1f} bytes each", flush=True)
    for peer in peers:
        print(f"{peer:32} {peer_bytes(peer)}", flush=True)
    if not peers:
        print("other engines are not here to measure: `make bench-peers` fetches them")


def measure_flow(name: str, count: int, rounds: int, peers: list[str]) -> None:
    """Print one flow's cost in calls and in a batch, and the peers'."""
    operations = workload(name, count)
    flow = flow_of(operations)
    trades = play(SlowBook(), operations)
    exact = "exact" if Book().apply(operations)[0].tolist() == trades else "WRONG"
    print(f"{name}: {count:,} operations, {len(trades):,} trades, {exact}", flush=True)
    yardstick: list[int] = []
    calls: list[int] = []
    batch: list[int] = []
    beside: dict[str, list[float]] = {peer: [] for peer in peers}
    verdicts: dict[str, str] = {}
    for at in range(rounds):
        yardstick.append(empty_calls(empty(), flow))
        calls.append(our_calls(Book(), flow))
        batch.append(our_batch(Book(), operations))
        for peer in beside if at < 3 else []:
            if at == 0 or beside[peer]:
                verdicts[peer] = run_round(peer, operations, beside[peer])
    unit = min(yardstick)
    for label, taken in (("an empty call", yardstick), ("ours, a call each", calls), ("ours, one batch", batch)):
        print(f"  {label:32} {min(taken) / count:8.1f} ns = {min(taken) / unit:5.2f} empty calls", flush=True)
    for peer, found in beside.items():
        ratio = f"{min(found):8.1f} ns = {min(found) * count / min(calls):5.1f} times ours; " if found else ""
        print(f"  {peer:32} {ratio}{verdicts[peer]}", flush=True)


def run_round(peer: str, operations: Operations, found: list[float]) -> str:
    """Measure a peer once: the verdict on its trades; its ns an operation are added to what was found."""
    operations = operations[: PEERS[peer][1]]
    answer = ask(peer, operations)
    if isinstance(answer, str):
        return answer
    taken, _, trades = answer
    found.append(taken / len(operations))
    expected = play(SlowBook(), operations)
    wrong = sum(theirs != right for theirs, right in zip(trades, expected, strict=False))
    wrong += abs(len(trades) - len(expected))
    verdict = f"{wrong:,} of {len(expected):,} trades wrong" if wrong else "exact"
    return f"{verdict} on {len(operations):,} operations"


def ask(peer: str, operations: Operations) -> tuple[int, int, list[tuple[int, int, int, int]]] | str:
    """What a peer's process answers (ns, bytes, trades), or why it does not."""
    environment = NEWER[1] if peer.startswith(NEWER[0]) else ENVIRONMENT
    python = environment / "bin/python"
    if not python.exists():
        return "cannot be installed here: it needs Python 3.12"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flow"
        path.write_bytes(marshal.dumps(flow_of(operations)))
        command = [str(python), str(Path(__file__).with_name("peer_process.py")), peer, str(path)]
        try:
            ended = subprocess.run(command, capture_output=True, timeout=PEER_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"hangs: no answer within {PEER_SECONDS} s on {len(operations):,} operations"
    if ended.returncode != 0:
        return "fails: " + (ended.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
    answer: tuple[int, int, list[tuple[int, int, int, int]]] = marshal.loads(ended.stdout)  # our own child's
    return answer


def peer_bytes(peer: str) -> str:
    """What a resting order takes in a peer, with what its caller must keep to cancel it."""
    answer = ask(peer, workload("deep")[:PEER_RESTING])
    return answer if isinstance(answer, str) else f"{answer[1] / PEER_RESTING:5.0f} bytes a resting order"


def measure_latency(count: int, rounds: int) -> None:
    """Single operations of `realistic`: the slowest in a thousand beside the median, the clock's own cost included."""
    flow = flow_of(workload("realistic", count))
    found = []
    for _ in range(rounds):
        book, taken = Book(), np.zeros(count, np.int64)
        does = {1: book.limit, 2: book.market}
        for at, (kind, order_id, side, price_ticks, lots) in enumerate(flow):
            call, arguments = (book.cancel, (order_id,)) if kind == 3 else (book.replace, (order_id, price_ticks, lots))
            if kind in does:
                call = does[kind]
                arguments = (order_id, side, price_ticks, lots) if kind == 1 else (order_id, side, lots)
            started = time.perf_counter_ns()
            call(*arguments)
            taken[at] = time.perf_counter_ns() - started
        median, slow = np.percentile(taken[10_000:], (50, 99.9))
        found.append((slow / median, median, slow))
    ratio, median, slow = min(found)
    print(f"single operations: median {median:.0f} ns, p99.9 {slow:.0f} ns = {ratio:.1f} medians", flush=True)


def measure_cancels(rounds: int) -> None:
    """The first fifth of the cancels of a large deep book, beside those of a small one."""
    large, small = [], []
    for _ in range(rounds):
        small.append(cancel_ns(SMALL))
        large.append(cancel_ns(LARGE))
    print(f"cancels at {SMALL:,} live {min(small):.0f} ns, at {LARGE:,} {min(large):.0f} ns:", end=" ")
    print(f"{min(large) / min(small):.2f} times", flush=True)


def cancel_ns(resting: int) -> float:
    operations = workload("deep", resting * 39 // 20)
    book = Book()
    book.apply(operations[:resting])
    flow = flow_of(operations[resting : resting + resting // 5])
    return our_calls(book, flow) / len(flow)


def bytes_an_order(count: int) -> float:
    """What a resting order takes in ours, in a process that has allocated nothing else."""
    command = [sys.executable, "-m", "tests.performance.bare_book", "--bytes-of", str(count)]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout) / count


def grown_bytes(count: int) -> int:
    """What so many resting orders add to the resident set of this process, entered in small batches."""
    orders = np.zeros(1_000, workload("deep", 39).dtype)
    orders["kind"], orders["time_in_force"], orders["quantity_lots"] = 1, 1, 5
    Book().apply(orders)
    before = resident_bytes()
    book = Book()
    for first in range(1, count + 1, len(orders)):
        orders["order_id"] = np.arange(first, first + len(orders))
        away = orders["order_id"] * 7_919 % DEEP_LEVELS
        orders["price_ticks"], orders["side"] = 15_000 + away, np.where(away < DEEP_LEVELS // 2, 1, 2)
        book.apply(orders)
    assert len(book) == count
    return resident_bytes() - before


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    main()
