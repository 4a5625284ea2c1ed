"""The bare book beside an empty Python call, a wait for memory and other engines, in one run; last, its aims.

What is compared runs in turns, and of each the least CPU time of several rounds counts: the machine is shared. A peer
runs in a process and an environment of its own (`make bench-peers`), with a time limit, and its trades are held against
the slow book's. `python -m tests.performance.bare_book --quick`: small flows, few rounds, to see that everything runs.
"""

import argparse
import ctypes
import gc
import marshal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from engine.matching import Book
from tests.performance.drive import empty_calls, flow_of, our_batch, our_calls
from tests.performance.peers import PEERS
from tests.performance.workloads import DEEP_LEVELS, SIZES, Operations, play, workload
from tests.performance.yardsticks import Result, empty, lookup_ns, print_table
from tests.support.slow_book import SlowBook

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-peers"
NEWER = ("matching-engine", ENVIRONMENT / "newer")  # it needs Python 3.12
PEER_SECONDS = 60
PEER_RESTING = 100_000
# The tables of ids double at about 36 orders times a power of two: sizes just before and just after.
RESTING = (36_000, 38_000, 72_000, 76_000, 146_000, 151_000, 292_000, 300_000, 585_000, 600_000, 1_000_000, 1_200_000)
SMALL, LARGE = 20_000, 1_000_000
SMALL_BOOKS = 20  # a round: so short a measure must be repeated
CALL_AIMS, BATCH_AIMS = {"realistic": 3.5, "sweep": 5.5}, {"realistic": 1.0, "sweep": 1.6}


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
    results = []
    for name, size in SIZES.items():
        results += measure_flow(name, 40_000 if options.quick else size, rounds, [] if name == "deep" else peers)
    results += measure_latency(40_000 if options.quick else 300_000, rounds)
    results += measure_cancels(rounds)
    results += measure_memory(RESTING[: 2 if options.quick else None])
    for peer in peers:
        print(f"{peer:32} {peer_bytes(peer)}", flush=True)
    if not peers:
        print("other engines are not here to measure: `make bench-peers` fetches them")
    if options.quick:
        print("quick: the aims are those of whole flows, on a calm machine")
    print_table(results)


def measure_flow(name: str, count: int, rounds: int, peers: list[str]) -> list[Result]:
    """Print one flow's cost in calls and in a batch, and the peers'; return what has an aim."""
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
    results = []
    if name in CALL_AIMS:
        results.append(Result(f"{name}, one call, in empty calls", min(calls) / unit, CALL_AIMS[name]))
        results.append(Result(f"{name}, in a batch, in empty calls", min(batch) / unit, BATCH_AIMS[name]))
    for peer, found in beside.items():
        if peer.startswith("liquibook") and found:
            times = min(found) * count / min(calls)
            results.append(Result(f"{name}, times as fast as {peer}", times, 10, at_least=True))
    return results


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


def measure_latency(count: int, rounds: int) -> list[Result]:
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
    return [Result("realistic, p99.9 of single calls, in medians", ratio, 50)]


def measure_cancels(rounds: int) -> list[Result]:
    """The first fifth of the cancels of a large deep book, beside those of small ones; and how long memory took.

    A cancel must know its order's slot in the table of ids before it can fetch the order, and the order before it can
    answer: beyond what it takes where everything is near, it waits for memory twice.
    """
    results = []
    small: dict[str, list[float]] = {"call": [], "batch": []}
    large: dict[str, list[float]] = {"call": [], "batch": []}
    lookup = []
    for _ in range(rounds):
        lookup.append(lookup_ns())
        for way in small:
            small[way] += [cancel_ns(SMALL, way) for _ in range(SMALL_BOOKS)]
            large[way].append(cancel_ns(LARGE, way))
    for way in small:
        near, far = min(small[way]), min(large[way])
        print(f"cancels, one {way}: at {SMALL:,} live {near:.0f} ns, at {LARGE:,} {far:.0f} ns: {far / near:.2f} times")
        results.append(Result(f"deep cancels, one {way}, at {LARGE:,} beside {SMALL:,}", far / near, 4))
    waits, near = min(lookup), min(small["call"])
    print(f"  slot and order, from memory: {waits:.0f} ns; a call with these alone", end=" ")
    print(f"would take {(near + waits) / near:.2f} times as long", flush=True)
    return results


def cancel_ns(resting: int, way: str) -> float:
    operations = workload("deep", resting * 39 // 20)
    cancels = operations[resting : resting + resting // 5]
    flow = flow_of(cancels)
    gc.freeze()  # or the collection before the clock starts would push a small book out of the cache
    book = Book()
    book.apply(operations[:resting])
    taken = our_calls(book, flow) if way == "call" else our_batch(book, cancels)
    gc.unfreeze()
    return taken / len(cancels)


def measure_memory(counts: tuple[int, ...]) -> list[Result]:
    """What a resting order takes over 10,000 prices, just before and just after the tables of ids grow."""
    found = []
    for count in counts:
        found.append(bytes_an_order(count))
        print(f"{count:>9,} resting orders: {found[-1]:5.1f} bytes each", flush=True)
    return [Result("bytes a resting order, at most", max(found), 64)]


def bytes_an_order(count: int) -> float:
    """What a resting order takes in ours, in a process that has allocated nothing else."""
    command = [sys.executable, "-m", "tests.performance.bare_book", "--bytes-of", str(count)]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout) / count


def grown_bytes(count: int) -> int:
    """What so many resting orders take of this process's memory, entered in small batches."""
    orders = np.zeros(1_000, workload("deep", 39).dtype)
    orders["kind"], orders["time_in_force"], orders["quantity_lots"] = 1, 1, 5
    before = allocated_bytes()
    book = Book()
    for first in range(1, count + 1, len(orders)):
        orders["order_id"] = np.arange(first, first + len(orders))
        away = orders["order_id"] * 7_919 % DEEP_LEVELS
        orders["price_ticks"], orders["side"] = 15_000 + away, np.where(away < DEEP_LEVELS // 2, 1, 2)
        book.apply(orders)
    assert len(book) == count
    return allocated_bytes() - before


class _Allocated(ctypes.Structure):
    # struct mallinfo2 of the GNU C library
    _all = (
        "arena",
        "ordblks",
        "smblks",
        "hblks",
        "hblkhd",
        "usmblks",
        "fsmblks",
        "uordblks",
        "fordblks",
        "keepcost",
    )
    _fields_ = tuple((name, ctypes.c_size_t) for name in _all)


def allocated_bytes() -> int:
    """What the C library has given away, its own overhead and what nobody has touched yet included."""
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = _Allocated
    found = library.mallinfo2()
    return int(found.uordblks + found.hblkhd)


if __name__ == "__main__":
    main()
