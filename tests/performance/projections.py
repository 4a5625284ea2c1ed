"""Whether the tables keep up with sustained single orders, and how much faster they catch up.

    python -m tests.performance.projections

Live: an exchange under load; the lag of its tables is looked at twice a second. Catching up: its tables are made again
from its journal by one runner, with nobody else at work. Aims: the lag does not grow; catching up is twice as fast.
Both tell what an entry costs in CPU time, of the process that makes the tables and of its backend in Postgres.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Self

import psutil

from exchange.projections.runner import SETTINGS, ProjectionRunner
from exchange.storage.database import connect
from tests.performance.journals import SHARD, postgres
from tests.support.server import ExchangeServer


@dataclass(frozen=True)
class Spent:
    """CPU seconds of the process that makes the tables and of its backend, and the entry that they had reached."""

    process_s: float
    backend_s: float
    watermark: int

    def since(self, other: Self) -> str:
        """What an entry cost from then to now."""
        entries = max(self.watermark - other.watermark, 1)
        process, backend = self.process_s - other.process_s, self.backend_s - other.backend_s
        return f"{process / entries * 1e6:.1f} us an entry, its backend {backend / entries * 1e6:.1f} us"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    with postgres() as url:
        exchange = ExchangeServer(environ={"DATABASE_URL": url})
        try:
            exchange.start()
            rate, lags, live_cost = live(exchange, url, options.seconds, options.connections)
        finally:
            exchange.close()
        entries, seconds, cost = asyncio.run(catch_up(url))
    half = len(lags) // 2
    print(f"live      {rate:8,.0f} orders/s; lag {mean(lags[:half]):,.0f} entries in the first half of the time,")
    print(f"          {mean(lags[half:]):,.0f} in the second, {max(lags):,} at most")
    print(f"          process {live_cost}")
    print(f"catch up  {entries / seconds:8,.0f} entries/s ({entries:,} entries): {entries / seconds / rate:.1f} times")
    print(f"          process {cost}")


def live(exchange: ExchangeServer, url: str, seconds: float, connections: int) -> tuple[float, list[int], str]:
    """Return (orders a second, lags in entries, in time, what an entry cost)."""
    arguments = ["--url", exchange.url, "--connections", str(connections), "--seconds", str(seconds), "--warm-up", "2"]
    command = [sys.executable, "-m", "exchange.cli.main", "load", *arguments]
    load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lags: list[int] = []
    time.sleep(5)  # accounts are opened, orders begin
    assert exchange.process is not None
    children = psutil.Process(exchange.process.pid).children(recursive=True)
    maker = next(child for child in children if "exchange.projections.process" in child.cmdline())
    backend = asyncio.run(backend_of_tables(url))
    began = spent(maker, backend, asyncio.run(watermark(url)))
    while load.poll() is None:
        ended = spent(maker, backend, asyncio.run(watermark(url)))
        lags.append(
            asyncio.run(ask(url, "SELECT max(sequence) FROM journal WHERE shard = $1", SHARD)) - ended.watermark
        )
        time.sleep(0.5)
    text, _ = load.communicate()
    assert load.returncode == 0, text
    return float(json.loads(text)["answers_per_second"]), lags, ended.since(began)


def spent(maker: psutil.Process, backend: psutil.Process, reached: int) -> Spent:
    """What making the tables has cost until now."""
    process_s, backend_s = (sum(process.cpu_times()[:2]) for process in (maker, backend))
    return Spent(process_s, backend_s, reached)


async def backend_of_tables(url: str) -> psutil.Process:
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = $1"
    return psutil.Process(await ask(url, query, SETTINGS["application_name"]))


async def watermark(url: str) -> int:
    return await ask(url, "SELECT min(sequence) FROM watermarks WHERE shard = $1", SHARD)


async def ask(url: str, query: str, *arguments: object) -> int:
    connection = await connect(url)
    try:
        number: int = await connection.fetchval(query, *arguments)
        return number
    finally:
        await connection.close()


async def catch_up(url: str) -> tuple[int, float, str]:
    """Make the tables again; return (entries, seconds, what an entry cost) from when they were empty."""
    runner = ProjectionRunner(url, SHARD)
    await runner.rebuild([])  # opens its connection
    itself, backend = psutil.Process(), await backend_of_tables(url)
    states: list[tuple[float, Spent]] = []
    await runner.rebuild(
        progress=lambda reached, end: states.append((time.perf_counter(), spent(itself, backend, reached)))
    )
    await runner.close()
    (begun_s, begun), (ended_s, ended) = states[0], states[-1]
    return ended.watermark - begun.watermark, ended_s - begun_s, ended.since(begun)


def mean(values: list[int]) -> float:
    return sum(values) / max(len(values), 1)


if __name__ == "__main__":
    main()
