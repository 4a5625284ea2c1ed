"""Durable orders over REST beside endpoints that do nothing and a peer of PyPI, in one run.

    python -m tests.performance.order_entry

Each round measures all of them, one after the other, with the same load generator, connections and bodies. Ratios of a
round are what counts: the machine is shared. The servers have one CPU and the load generator the other, where there are
two (``--server-cpu``, ``--load-cpu``); Postgres and the projections run where the system puts them.

``--json FILE`` keeps what was measured; docs/benchmarks.md tells what came out.
"""

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import uvloop

from exchange.simulation.load import LoadSettings, OrderMix, Requests, http_request, run_load
from tests.support.server import ExchangeServer, free_port

BODY = '{"symbol":"BTC/USD","side":"Buy","quantity":"0.001000","price":"50000.00","order_type":"Limit"}'
#: The environment that `make bench-peers` makes for peers of a newer Python.
PEER = Path(os.environ.get("PEERS", ".venv-peers")) / "newer/bin/matching-engine"
PEER_MARKET = "BTC-USDT"
TEMPLATES = 2_000
RATIOS = {  # of what to what, and what was aimed at
    "orders to FastAPI no-op": ("orders", "fastapi no-op", 1.3),
    "orders to raw ASGI no-op": ("orders", "raw asgi no-op", 0.5),
    "orders to matching-engine 0.1.1": ("orders", "matching-engine", 3.0),
}


class Yardstick:
    """A server beside ours, in a process of its own."""

    def __init__(self, command: list[str], port: int, path: str, ready: str, environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, env={**os.environ, **environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.url = f"http://127.0.0.1:{port}{path}"
        for _ in range(400):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=2):
                    return
            except OSError:
                time.sleep(0.05)
        self.process.kill()
        raise SystemExit(f"{command[0]} did not start")


def noop(name: str) -> Yardstick:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"tests.performance.noop:{name}", "--port", str(port)]
    ready = "/openapi.json" if name == "app" else "/"
    return Yardstick([*command, "--no-access-log", "--log-level", "warning"], port, "/orders", ready, {})


def peer(data: str) -> Yardstick:
    port = free_port()
    path = f"/markets/{PEER_MARKET}/orders"
    command = [str(PEER), "serve", "--port", str(port)]
    return Yardstick(command, port, path, "/markets", {"ME_DATA_DIR": data, "PYTHONPATH": ""})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--crossing", type=int, default=25, help="percent of orders that trade")
    apart = hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1
    parser.add_argument("--server-cpu", type=int, default=0 if apart else None, help="pin the servers' processes to it")
    parser.add_argument("--load-cpu", type=int, default=1 if apart else None, help="pin the load generator to it")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peer-load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer_load:
        load_peer(options)
        return
    rounds = measure(options)
    summary = summarize(rounds)
    print(json.dumps(summary, indent=2))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rounds": rounds, "summary": summary}, indent=2))


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Start every server, run the rounds, stop them."""
    exchange, data = ExchangeServer(), tempfile.mkdtemp(prefix="peer-")
    yardsticks: dict[str, Yardstick] = {}
    try:
        exchange.start()
        yardsticks |= {"fastapi no-op": noop("app"), "raw asgi no-op": noop("raw")}
        if PEER.exists():
            yardsticks["matching-engine"] = peer(data)
        else:
            print(f"no {PEER}: `make bench-peers` makes it; matching-engine is left out")
        if options.server_cpu is not None and exchange.process is not None:
            for process in (exchange.process, *(yardstick.process for yardstick in yardsticks.values())):
                pin(process.pid, options.server_cpu)
        return [run_round(exchange, yardsticks, options) for _ in range(options.rounds)]
    finally:
        exchange.close()
        for yardstick in yardsticks.values():
            yardstick.process.terminate()
            yardstick.process.wait()
        shutil.rmtree(data, ignore_errors=True)


def run_round(
    exchange: ExchangeServer, yardsticks: dict[str, Yardstick], options: argparse.Namespace
) -> dict[str, Any]:
    ours = ["--url", exchange.url, "--no-client-ids", "--crossing", str(options.crossing)]
    results = {"orders": load(options, ["exchange.cli.main", "load", *ours], "--warm-up", "2")}
    for name, yardstick in yardsticks.items():
        if name == "matching-engine":
            crossing = ["--crossing", str(options.crossing)]
            module = ["tests.performance.order_entry", "--peer-load", yardstick.url, *crossing]
            results[name] = load(options, module)
        else:
            module = ["exchange.cli.main", "load", "--mode", "noop", "--url", yardstick.url, "--body", BODY]
            results[name] = load(options, module, "--warm-up", "2")
    for name, result in results.items():
        rate, latency = result["answers_per_second"], result["latency_ms"]
        print(f"{name:16} {rate:9.0f}/s  p50 {latency['p50']:7.2f} ms  p99 {latency['p99']:7.2f} ms", flush=True)
    return results


def load(options: argparse.Namespace, module: list[str], *more: str) -> dict[str, Any]:
    common = ["--connections", str(options.connections), "--seconds", str(options.seconds), *more]
    command = [sys.executable, "-m", *module, *common]
    if options.load_cpu is not None:
        command = ["taskset", "-c", str(options.load_cpu), *command]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(answer.stdout)
    assert set(result["statuses"]) <= {"200", "201"}, result["statuses"]
    return result


def load_peer(options: argparse.Namespace) -> None:
    """Send the peer the orders that we get, as it writes them: an account a connection, self-trades allowed."""
    mix = OrderMix(5_000_000, 2, crossing_percent=options.crossing, quantity_decimals=5, client_ids=False)
    rng = random.Random(1)
    requests = []
    for account in range(1, options.connections + 1):
        orders = [json.loads(body) for body in mix.bodies("", "", rng, TEMPLATES)]
        kept = [
            {"side": order["side"].lower(), "price": order["price"], "quantity": order["quantity"]} for order in orders
        ]
        same = {"account": account, "type": "limit", "self_trade_prevention": "none"}
        bodies = [json.dumps(same | order).encode() for order in kept]
        templates = [http_request("POST", options.peer_load, body) for body in bodies]
        requests.append(Requests(templates, random.Random(rng.random())))
    settings = LoadSettings(options.peer_load, options.connections, options.seconds, 2)
    print(json.dumps(uvloop.run(run_load(settings, requests)).document()))


def pin(pid: int, cpu: int) -> None:
    """Every thread of a process: those that it starts later inherit it."""
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, {cpu})


def summarize(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Ratios of rates, and of p99 to the FastAPI no-op's: median, least and most of the rounds."""
    summary = {}
    for title, (ours, theirs, aim) in RATIOS.items():
        found = [one[ours]["answers_per_second"] / one[theirs]["answers_per_second"] for one in rounds if theirs in one]
        if found:
            summary[title] = spread(found) | {"aim": f"at least {aim}"}
    tails = [one["orders"]["latency_ms"]["p99"] / one["fastapi no-op"]["latency_ms"]["p99"] for one in rounds]
    summary["p99 of orders to FastAPI no-op"] = spread(tails) | {"aim": "at most 2"}
    return summary


def spread(values: list[float]) -> dict[str, Any]:
    low, high = min(values), max(values)
    return {"median": round(statistics.median(values), 2), "least": round(low, 2), "most": round(high, 2)}


def machine() -> dict[str, Any]:
    """What it was measured on, and how busy that was."""
    return {
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


if __name__ == "__main__":
    main()
