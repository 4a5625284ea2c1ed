"""What a month did to an account's balances, from its ledger entries."""

from collections import defaultdict
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True, slots=True)
class Movement:
    """All entries of a kind (as ledger_entries numbers them): units of the asset, and how many they are."""

    kind: int
    units: int
    entries: int


@dataclass(slots=True)
class AssetStatement:
    """An asset's balance, available and held together, in units."""

    asset: int
    opening: int = 0
    closing: int = 0
    closing_held: int = 0
    movements: list[Movement] = field(default_factory=list)

    @property
    def reconciles(self) -> bool:
        return self.opening + sum(movement.units for movement in self.movements) == self.closing


_BALANCES = """
SELECT assets.asset, last.available_after + last.held_after AS total, last.held_after
FROM assets CROSS JOIN LATERAL (
    SELECT available_after, held_after FROM ledger_entries
    WHERE shard = :shard AND account = :account AND asset = assets.asset AND sequence <= :last
    ORDER BY sequence DESC, position DESC LIMIT 1
) AS last
WHERE assets.shard = :shard
"""
_MOVEMENTS = """
SELECT asset, kind, sum(available_change + held_change), count(*) FROM ledger_entries
WHERE shard = :shard AND account = :account AND sequence BETWEEN :first AND :last
GROUP BY asset, kind ORDER BY asset, kind
"""


async def asset_statements(
    engine: AsyncEngine, shard: int, account: int, first: int, last: int
) -> list[AssetStatement]:
    """Return what entries ``first`` to ``last`` did to every asset of an account that it had or moved, by asset."""
    found: defaultdict[int, AssetStatement] = defaultdict(lambda: AssetStatement(0))
    who = {"shard": shard, "account": account}
    async with engine.connect() as connection:
        # One moment for all three: a rebuild of the tables may be under way.
        await connection.execution_options(isolation_level="REPEATABLE READ")
        for asset, total, _ in await connection.execute(text(_BALANCES), {**who, "last": first - 1}):
            found[asset].opening = int(total)
        for asset, total, held in await connection.execute(text(_BALANCES), {**who, "last": last}):
            found[asset].closing, found[asset].closing_held = int(total), int(held)
        for asset, kind, units, entries in await connection.execute(
            text(_MOVEMENTS), {**who, "first": first, "last": last}
        ):
            found[asset].movements.append(Movement(kind, int(units), entries))
    for asset, statement in found.items():
        statement.asset = asset
    return [found[asset] for asset in sorted(found)]
