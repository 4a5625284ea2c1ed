"""How long a start takes with many open orders and a long tail of the journal after the last snapshot.

    python -m tests.performance.recovery

A journal is made with so many resting orders, a snapshot as of them, and then a tail of commands after it. Then
`exchange serve` starts on it; what counts is the time until it takes orders. The tables are as far as the journal, as
they are within milliseconds while an exchange lives; with ``--tables-behind`` they end where the snapshot does.
Aims: 1,000,000 and 1,000,000 in 30 s; linear in both; progress is told.
"""

import argparse
import asyncio
import re
import time

import psutil

from exchange.projections.runner import ProjectionRunner
from exchange.storage.journal import save_snapshot
from tests.performance.journals import SHARD, Flow, leading, postgres, write
from tests.support.server import ExchangeServer

SIZES = ("100000:100000", "250000:250000", "500000:500000", "1000000:1000000")


async def build(url: str, open_orders: int, tail: int, tables_behind: bool) -> None:
    """Make the journal, its snapshot and the tables."""
    flow = Flow()
    async with leading(url) as leader:
        await write(leader, flow, flow.opening())
        await write(leader, flow, flow.resting(open_orders))
        assert flow.shard.open_orders == open_orders
        state, digest, sequence = flow.shard.snapshot(), flow.shard.digest(), flow.shard.sequence
        await save_snapshot(url, SHARD, sequence, digest, state)
        if tables_behind:
            await make_tables(url, sequence)
        await write(leader, flow, flow.living(tail))
        if not tables_behind:
            await make_tables(url, flow.shard.sequence)


async def make_tables(url: str, sequence: int) -> None:
    runner = ProjectionRunner(url, SHARD)
    while runner.watermark < sequence:
        await runner.advance()
    await runner.close()


def start(url: str, timeout_s: float) -> tuple[float, float, list[str]]:
    """Start an exchange on a database; return (seconds until it takes orders, MiB resident, what it told)."""
    exchange = ExchangeServer(environ={"DATABASE_URL": url})
    try:
        began = time.monotonic()
        exchange.start(wait=False)
        exchange.wait_ready(timeout_s)
        seconds = time.monotonic() - began
        assert exchange.process is not None
        resident = psutil.Process(exchange.process.pid).memory_info().rss / 2**20
        told = [line for line in exchange.log().splitlines() if re.search(r"recover|following|engine ", line)]
        return seconds, resident, told
    finally:
        exchange.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=SIZES, help="open orders and tail, e.g. 1000000:1000000")
    parser.add_argument("--tables-behind", action="store_true")
    parser.add_argument("--timeout", type=float, default=600)
    options = parser.parse_args()
    for size in options.sizes:
        open_orders, tail = map(int, size.split(":"))
        with postgres() as url:
            began = time.monotonic()
            asyncio.run(build(url, open_orders, tail, options.tables_behind))
            built_s = time.monotonic() - began
            seconds, resident, told = start(url, options.timeout)
        print(f"{open_orders:9,} open orders, tail {tail:9,}: {seconds:6.1f} s, {resident:5.0f} MiB", flush=True)
        print(f"  (made in {built_s:.0f} s)", *told[:3], *told[-3:], sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
