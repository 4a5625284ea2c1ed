"""Reads of transfers."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from exchange.contracts.transfers import DEPOSIT, Transfer
from exchange.storage.tables import transfers

_COLUMNS = [transfers.c[name] for name in Transfer._fields]


async def deposits_of(
    engine: AsyncEngine, shard: int, account: int, prefix: str, *, before: int | None, limit: int
) -> list[Transfer]:
    """Return an account's deposits whose reference begins with ``prefix``, newest first, those before a sequence."""
    query = select(*_COLUMNS).where(
        transfers.c.shard == shard,
        transfers.c.account == account,
        transfers.c.kind == DEPOSIT,
        transfers.c.reference.startswith(prefix, autoescape=True),
    )
    if before is not None:
        query = query.where(transfers.c.sequence < before)
    async with engine.connect() as connection:
        rows = await connection.execute(query.order_by(transfers.c.sequence.desc()).limit(limit))
        return [Transfer(*row) for row in rows]
