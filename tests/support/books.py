"""The books of a running exchange, read from its database: what must hold whatever has happened to its processes."""

import asyncio
import json
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from engine.matching import Shard
from exchange.corridor.recovery import advance
from exchange.main import SHARD
from exchange.storage.journal import GENESIS, JournalReader
from tests.support.server import ExchangeServer


def embedded_url(home: Path) -> str:
    """The address of an installation's embedded server."""
    secrets = json.loads((home / "secrets.json").read_text())
    password = quote(secrets["POSTGRES_PASSWORD"])
    socket = quote(str(home / "postgres-socket"), safe="/")
    return f"postgresql://exchange:{password}@/exchange?host={socket}&port=5432"


def read(exchange: ExchangeServer, query: str, *arguments: object) -> list[Any]:
    """Return the rows of a query on the exchange's database."""

    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(embedded_url(exchange.home))
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    return asyncio.run(fetch())


def replayed(exchange: ExchangeServer, sequence: int | None = None) -> Shard:
    """Return the engine that the journal makes up to a sequence or its end, every event compared."""

    async def run() -> Shard:
        connection = await asyncpg.connect(embedded_url(exchange.home))
        try:
            journal, shard = JournalReader(connection, SHARD), Shard()
            end, _ = await journal.head()
            await advance(journal, shard, GENESIS, end if sequence is None else sequence)
            return shard
        finally:
            await connection.close()

    return asyncio.run(run())


def check_books(exchange: ExchangeServer) -> Shard:
    """Assert that journal, ledger and tables tell one story; return the engine that the journal makes."""
    shard = replayed(exchange)
    exchange.call("GET", "/api/v1/health")
    _wait_for_tables(exchange, shard.sequence)
    balances = {
        (r["account"], r["asset"]): (int(r["available"]), int(r["held"]))
        for r in read(exchange, "SELECT * FROM balances")
    }
    explained: dict[tuple[int, int], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row in read(
        exchange,
        "SELECT account, asset, sum(available_change) AS available, sum(held_change) AS held "
        "FROM ledger_entries GROUP BY 1, 2",
    ):
        explained[row["account"], row["asset"]] = (int(row["available"]), int(row["held"]))
    assert {key: value for key, value in balances.items() if value != (0, 0)} == shard.balances()
    assert {key: value for key, value in explained.items() if value != (0, 0)} == shard.balances()
    per_asset: dict[int, int] = defaultdict(int)
    for (_, asset), (available, held) in shard.balances().items():
        per_asset[asset] += available + held
    assert set(per_asset.values()) <= {0}, "the ledger sums to zero per asset"
    open_orders = {row[0] for market in (1, 2) for row in shard.book(market)}
    assert {row["order_id"] for row in read(exchange, "SELECT order_id FROM orders WHERE status <= 2")} == open_orders
    return shard


def _wait_for_tables(exchange: ExchangeServer, sequence: int) -> None:
    for _ in range(200):
        (row,) = read(exchange, "SELECT coalesce(min(sequence), 0) AS reached FROM watermarks")
        if row["reached"] >= sequence:
            return
        asyncio.run(asyncio.sleep(0.05))
    raise AssertionError(f"the tables did not reach {sequence}")
