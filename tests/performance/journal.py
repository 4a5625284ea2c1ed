"""The journal beside a bare COPY of the same bytes, in one run.

    python -m tests.performance.journal

Ours: each entry sealed into the chain, encoded, and one COPY a batch into the table with its key, its checks and its
fence. Bare: the same columns as a prepared binary buffer, COPY into a table without any of that. Both durable with
every batch. What counts is the ratio of a batch size.
"""

import argparse
import asyncio
import itertools
import statistics
import struct
import time
from collections.abc import AsyncIterator, Sequence

from exchange.storage.database import connect
from exchange.storage.journal import GENESIS, Entry, seal
from tests.performance.journals import SHARD, Flow, leading, postgres

COLUMNS = ("shard", "sequence", "epoch", "command", "events", "chain")
BARE = "CREATE TABLE bare (shard int, sequence bigint, epoch bigint, command bytea, events bytea, chain bytea)"
# The binary format of COPY: a head, rows of (length, value) in network order, a tail.
_HEAD, _TAIL = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_ROW = struct.Struct("!hiiiqiq")


async def measure(batch: int, batches: int, rounds: int) -> None:
    ours, bare = [], []
    with postgres() as url:
        async with leading(url) as leader:
            connection = await connect(url)
            await connection.execute(BARE)
            flow = Flow()
            made = itertools.chain.from_iterable(flow.entries(itertools.chain(flow.opening(), flow.living(10**9))))
            chain = GENESIS
            for _ in range(rounds):
                entries = [list(itertools.islice(made, batch)) for _ in range(batches)]
                buffers = []
                for part in entries:
                    buffer, chain = encoded(part, chain)
                    buffers.append(buffer)
                started = time.perf_counter()
                for part in entries:
                    await leader.append(part)
                ours.append(time.perf_counter() - started)
                started = time.perf_counter()
                for buffer in buffers:
                    await connection.copy_to_table("bare", source=_once(buffer), columns=COLUMNS, format="binary")
                bare.append(time.perf_counter() - started)
            await connection.close()
    count = batch * batches
    ratios = [theirs / own for own, theirs in zip(ours, bare, strict=True)]
    print(
        f"{batch:5} a batch: journal {count / statistics.median(ours):9,.0f} entries/s, "
        f"bare COPY {count / statistics.median(bare):9,.0f}/s, ratio {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}; aim: at least 0.5)",
        flush=True,
    )


def encoded(entries: Sequence[Entry], chain: bytes) -> tuple[bytes, bytes]:
    """Return what a bare COPY sends for a batch, and the chain after it."""
    parts = [_HEAD]
    for entry in entries:
        chain = seal(chain, entry.command, entry.events)
        parts.append(_ROW.pack(len(COLUMNS), 4, SHARD, 8, entry.sequence, 8, 1))
        for field in (entry.command, entry.events, chain):
            parts += (struct.pack("!i", len(field)), field)
    return b"".join((*parts, _TAIL)), chain


async def _once(buffer: bytes) -> AsyncIterator[bytes]:
    yield buffer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--entries", type=int, default=8_000, help="of a round")
    options = parser.parse_args()
    for batch in (1, 16, 100, 1_000):
        asyncio.run(measure(batch, min(max(options.entries // batch, 2), 300), options.rounds))
