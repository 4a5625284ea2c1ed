"""The ways of an order beside each other, in one run: alone over REST, fifty in a batch, pipelined over the WebSocket.

    python -m tests.performance.order_paths

Each round measures all three, one after the other, with the same orders and a load generator in a process of its own.
Two ratios to the single order count, since the machine is shared: that of the rates, and that of the CPU time that the
server's process spends on an order, which others disturb less. Every order is durable and named.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from tests.support.server import ExchangeServer

BATCH = 50
UNDERWAY = 100  # orders of a connection that is pipelined
WAYS = {
    "alone": ["--connections", "32"],
    "batch": ["--connections", "16", "--batch", str(BATCH)],
    "pipelined": ["--connections", "32", "--pipeline", str(UNDERWAY)],
}
#: Budgets that nothing here uses up.
ENVIRON = {"EXCHANGE_REQUESTS_PER_S": "1000000", "EXCHANGE_CANCELS_PER_S": "1000000"}


@dataclass(frozen=True)
class Measured:
    """One way in one round."""

    orders_per_s: float
    server_us: float  # CPU time of the server's process an order
    p50_ms: float
    p99_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--server-cpu", type=int, help="pin the server's Python process to this CPU")
    parser.add_argument("--load-cpu", type=int, help="pin the load generator to this CPU")
    options = parser.parse_args()
    exchange = ExchangeServer(environ=ENVIRON)
    try:
        exchange.start(wait=False).wait_ready(300)  # a machine that is measured may be busy
        assert exchange.process is not None
        if options.server_cpu is not None:
            os.sched_setaffinity(exchange.process.pid, {options.server_cpu})
        rounds = [{way: measure(exchange, options, WAYS[way]) for way in WAYS} for _ in range(options.rounds)]
    finally:
        exchange.close()
    print(json.dumps({way: _ratios(rounds, way) for way in WAYS if way != "alone"}, indent=2))


def measure(exchange: ExchangeServer, options: argparse.Namespace, way: list[str]) -> Measured:
    command = [sys.executable, "-m", "exchange.cli.main", "load", "--url", exchange.url, "--seconds"]
    command += [str(options.seconds), "--warm-up", "1", *way]
    if options.load_cpu is not None:
        command = ["taskset", "-c", str(options.load_cpu), *command]
    loading = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    begun = _sequence(exchange)
    while loading.poll() is None and _sequence(exchange) < begun + 1_000:  # accounts are opened before orders come
        time.sleep(0.05)
    cpu_s, sequence = _cpu_s(exchange), _sequence(exchange)
    time.sleep(options.seconds / 2)
    cpu_s, orders = _cpu_s(exchange) - cpu_s, _sequence(exchange) - sequence
    output, _ = loading.communicate()
    assert loading.returncode == 0, output
    result: dict[str, Any] = json.loads(output)
    latency = result["latency_ms"]
    measured = Measured(result["orders_per_second"], 1e6 * cpu_s / max(orders, 1), latency["p50"], latency["p99"])
    print(" ".join(way), measured, flush=True)
    return measured


def _ratios(rounds: list[dict[str, Measured]], way: str) -> dict[str, Any]:
    rates = [one[way].orders_per_s / one["alone"].orders_per_s for one in rounds]
    costs = [one["alone"].server_us / one[way].server_us for one in rounds]
    return {
        "rate": {"median": round(statistics.median(rates), 2), "rounds": [round(rate, 2) for rate in rates]},
        "cpu": {"median": round(statistics.median(costs), 2), "rounds": [round(cost, 2) for cost in costs]},
    }


def _sequence(exchange: ExchangeServer) -> int:
    _, health = exchange.call("GET", "/api/v1/health")
    sequence: int = health["sequence"]
    return sequence


def _cpu_s(exchange: ExchangeServer) -> float:
    """CPU time of the server's process, its children left out."""
    assert exchange.process is not None
    with open(f"/proc/{exchange.process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
