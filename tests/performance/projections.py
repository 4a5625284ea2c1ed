"""Whether the tables keep up with sustained single orders, and how much faster they catch up.

    python -m tests.performance.projections

Live: an exchange under load; the lag of its tables is looked at twice a second. Catching up: its tables are made again
from its journal by one runner, with nobody else at work. Aims: the lag does not grow; catching up is twice as fast.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request

from exchange.projections.runner import ProjectionRunner
from tests.performance.journals import SHARD, postgres
from tests.support.server import ExchangeServer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    with postgres() as url:
        exchange = ExchangeServer(environ={"DATABASE_URL": url})
        try:
            exchange.start()
            rate, lags = live(exchange, options.seconds, options.connections)
        finally:
            exchange.close()
        entries, seconds = asyncio.run(catch_up(url))
    half = len(lags) // 2
    print(f"live      {rate:8,.0f} orders/s; lag {mean(lags[:half]):,.0f} entries in the first half of the time,")
    print(f"          {mean(lags[half:]):,.0f} in the second, {max(lags):,} at most")
    print(f"catch up  {entries / seconds:8,.0f} entries/s ({entries:,} entries): {entries / seconds / rate:.1f} times")


def live(exchange: ExchangeServer, seconds: float, connections: int) -> tuple[float, list[int]]:
    """Return (orders a second, lags in entries, in time)."""
    arguments = ["--url", exchange.url, "--connections", str(connections), "--seconds", str(seconds), "--warm-up", "2"]
    command = [sys.executable, "-m", "exchange.cli.main", "load", *arguments]
    load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lags: list[int] = []
    time.sleep(5)  # accounts are opened, orders begin
    while load.poll() is None:
        with urllib.request.urlopen(f"{exchange.url}/metrics", timeout=10) as answer:
            found = re.findall(r"^exchange_projection_lag\{.*\} (\S+)$", answer.read().decode(), re.MULTILINE)
        lags.append(int(max(map(float, found))))
        time.sleep(0.5)
    text, _ = load.communicate()
    assert load.returncode == 0, text
    return float(json.loads(text)["answers_per_second"]), lags


async def catch_up(url: str) -> tuple[int, float]:
    """Make the tables again; return (entries, seconds)."""
    runner = ProjectionRunner(url, SHARD)
    done = 0

    def progress(watermark: int, end: int) -> None:
        nonlocal done
        done = watermark

    started = time.perf_counter()
    await runner.rebuild(progress=progress)
    seconds = time.perf_counter() - started
    await runner.close()
    return done, seconds


def mean(values: list[int]) -> float:
    return sum(values) / max(len(values), 1)


if __name__ == "__main__":
    main()
