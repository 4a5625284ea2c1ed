"""Rows made for COPY in its binary format arrive in Postgres as they were meant, at the bounds of their columns too."""

from collections.abc import AsyncIterator

import numpy as np

from engine.orders.ledger import Ledger
from engine.records import EVENT, EventKind
from exchange.projections.balances import LEDGER_COLUMNS
from exchange.projections.slice import copy_rows
from exchange.storage.database import connect
from tests.support import commands
from tests.support.journal import SHARD

SIZES = (0, 1, 9_999, 10_000, 10_001, 10**16, 2**63, 2**64, 10**38, 2**127 - 1)
BALANCES = [*SIZES, *(-size for size in SIZES), -(2**127)]


async def once(rows: bytes) -> AsyncIterator[bytes]:
    yield rows


async def test_balances_of_any_size(database_url: str) -> None:
    """Deposits of nothing leave every balance as it was, and the entries tell it."""
    ledger, first_ns = Ledger(), -(2**63)
    events = np.zeros(len(BALANCES), EVENT)
    for account, balance in enumerate(BALANCES, start=1):
        ledger.learn(account, 1, balance, balance, 1)
        events[account - 1] = 0
        for name, value in {"kind": EventKind.DEPOSITED, "sequence": 1, "asset": 1, "account": account}.items():
            events[account - 1][name] = value
    events["timestamp_ns"] = first_ns
    rows = ledger.rows(SHARD, 1, commands.deposit(1, 1, 1), events.tobytes())
    connection = await connect(database_url)
    try:
        await copy_rows(connection, "ledger", LEDGER_COLUMNS, once(rows))
        found = await connection.fetch(
            "SELECT available_after::text, held_after::text, order_id, created_ns FROM ledger_entries"
            " WHERE account > 0 ORDER BY account"
        )
        zero = await connection.fetchval("SELECT count(*) FROM ledger_entries WHERE available_after::text = '0'")
    finally:
        await connection.close()
    assert [tuple(row) for row in found] == [(str(size), str(size), None, first_ns) for size in BALANCES]
    assert zero == len(BALANCES) + 2, "the outside's entries, and the two zeros"
