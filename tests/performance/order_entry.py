"""Durable orders over REST beside a FastAPI endpoint that does nothing, in one run.

    python -m tests.performance.order_entry

Each round measures both, one after the other, with the same load generator, connections and body. The ratio of a round
is what counts: the machine is shared. ``--server-cpu`` and ``--load-cpu`` pin the two apart where the system allows it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from typing import Any

from tests.support.server import ExchangeServer, free_port

BODY = '{"symbol":"BTC/USD","side":"Buy","quantity":"0.001000","price":"50000.00","order_type":"Limit"}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--crossing", type=int, default=25, help="percent of orders that trade")
    parser.add_argument("--server-cpu", type=int, help="pin the server's Python process to this CPU")
    parser.add_argument("--load-cpu", type=int, help="pin the load generator to this CPU")
    options = parser.parse_args()
    exchange, noop_url, noop = ExchangeServer(), "", None
    try:
        exchange.start()
        noop, noop_url = start_noop()
        if options.server_cpu is not None and exchange.process is not None:
            for process in (exchange.process, noop):
                os.sched_setaffinity(process.pid, {options.server_cpu})
        rounds = [run_round(exchange, noop_url, options) for _ in range(options.rounds)]
    finally:
        exchange.close()
        if noop is not None:
            noop.terminate()
    ratios = [one["orders"]["answers_per_second"] / one["noop"]["answers_per_second"] for one in rounds]
    print(
        json.dumps(
            {
                "ratio": {
                    "median": round(statistics.median(ratios), 2),
                    "min": round(min(ratios), 2),
                    "max": round(max(ratios), 2),
                }
            }
        )
    )


def run_round(exchange: ExchangeServer, noop_url: str, options: argparse.Namespace) -> dict[str, Any]:
    orders = load(options, ["--url", exchange.url, "--no-client-ids", "--crossing", str(options.crossing)])
    noop = load(options, ["--mode", "noop", "--url", noop_url, "--body", BODY])
    for name, result in (("orders", orders), ("noop", noop)):
        rate, latency = result["answers_per_second"], result["latency_ms"]
        print(
            f"{name:7} {rate:9.0f}/s  p50 {latency['p50']:7.2f} ms  p99 {latency['p99']:7.2f} ms",
            flush=True,
        )
    return {"orders": orders, "noop": noop}


def load(options: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    common = ["--connections", str(options.connections), "--seconds", str(options.seconds), "--warm-up", "2"]
    command = [sys.executable, "-m", "exchange.cli.main", "load", *arguments, *common]
    if options.load_cpu is not None:
        command = ["taskset", "-c", str(options.load_cpu), *command]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(answer.stdout)
    assert set(result["statuses"]) <= {"200", "201"}, result["statuses"]
    return result


def start_noop() -> "tuple[subprocess.Popen[bytes], str]":
    port = free_port()
    arguments = ["tests.performance.noop:app", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen([sys.executable, "-m", "uvicorn", *arguments])
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"{url}/openapi.json", timeout=2):
                return process, f"{url}/orders"
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the yardstick did not start")


if __name__ == "__main__":
    main()
