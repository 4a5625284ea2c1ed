"""Adjustments: corrections of balances that one admin proposes and another approves. The money is in the ledger."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from exchange.storage.tables import adjustments, users

Direction = Literal["Credit", "Debit"]
Decision = Literal["Approved", "Rejected", "Withdrawn"]
Status = Literal["Proposed", "Approved", "Executed", "Refused", "Rejected", "Withdrawn", "Expired"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an admin proposes; ``units`` of the asset, more than zero."""

    account: int
    asset: int
    direction: Direction
    units: int
    reason: str


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A row, with the usernames of those whose accounts it names."""

    adjustment_id: int
    account: int
    asset: int
    direction: Direction
    units: int
    reason: str
    status: Status
    proposed_by: int
    proposed_ns: int
    expires_ns: int
    decided_by: int | None
    decided_ns: int | None
    journal_sequence: int | None
    refusal: str | None
    username: str
    proposer: str
    decider: str | None

    def status_at(self, now_ns: int) -> Status:
        """The status, and Expired for what nobody can approve any more."""
        return "Expired" if self.status == "Proposed" and self.expires_ns <= now_ns else self.status


_owner, _proposer, _decider = aliased(users), aliased(users), aliased(users)
_COLUMNS = [
    *(adjustments.c[name] for name in list(Adjustment.__dataclass_fields__)[:-3]),
    _owner.c.username,
    _proposer.c.username,
    _decider.c.username,
]


def _query(*which: ColumnElement[bool]) -> Select[Any]:
    named = (
        adjustments.join(_owner, _owner.c.account_id == adjustments.c.account)
        .join(_proposer, _proposer.c.account_id == adjustments.c.proposed_by)
        .outerjoin(_decider, _decider.c.account_id == adjustments.c.decided_by)
    )
    return select(*_COLUMNS).select_from(named).where(*which)


async def find(connection: AsyncConnection, adjustment_id: int, *, lock: bool = False) -> Adjustment | None:
    """Return an adjustment; with ``lock`` nobody else decides about it before the transaction ends."""
    query = _query(adjustments.c.adjustment_id == adjustment_id)
    if lock:
        query = query.with_for_update(of=adjustments)
    row = (await connection.execute(query)).first()
    return None if row is None else Adjustment(*row)


async def page(
    connection: AsyncConnection,
    *,
    status: Status | None = None,
    account: int | None = None,
    before: int | None = None,
    now_ns: int,
    limit: int,
) -> list[Adjustment]:
    """Return adjustments, newest first."""
    which: list[ColumnElement[bool]] = []
    if status in ("Proposed", "Expired"):
        expired = adjustments.c.expires_ns <= now_ns
        which += [adjustments.c.status == "Proposed", expired if status == "Expired" else ~expired]
    elif status is not None:
        which.append(adjustments.c.status == status)
    if account is not None:
        which.append(adjustments.c.account == account)
    if before is not None:
        which.append(adjustments.c.adjustment_id < before)
    query = _query(*which).order_by(adjustments.c.adjustment_id.desc()).limit(limit)
    return [Adjustment(*row) for row in await connection.execute(query)]


async def approved(connection: AsyncConnection, limit: int) -> list[Adjustment]:
    """Return what was approved and is not executed, oldest first."""
    query = _query(adjustments.c.status == "Approved").order_by(adjustments.c.adjustment_id).limit(limit)
    return [Adjustment(*row) for row in await connection.execute(query)]


async def count_proposed(connection: AsyncConnection, now_ns: int) -> int:
    """Return how many can still be decided about."""
    living = (adjustments.c.status == "Proposed") & (adjustments.c.expires_ns > now_ns)
    return await connection.scalar(select(func.count()).select_from(adjustments).where(living)) or 0


async def create(
    connection: AsyncConnection, proposal: Proposal, proposer: int, now_ns: int, expires_ns: int
) -> Adjustment:
    """Keep a proposal."""
    row = {
        "account": proposal.account,
        "asset": proposal.asset,
        "direction": proposal.direction,
        "units": proposal.units,
        "reason": proposal.reason,
        "status": "Proposed",
        "proposed_by": proposer,
        "proposed_ns": now_ns,
        "expires_ns": expires_ns,
    }
    inserting = insert(adjustments).values(row).returning(adjustments.c.adjustment_id)
    made = await find(connection, (await connection.execute(inserting)).scalar_one())
    assert made is not None
    return made


async def decide(
    connection: AsyncConnection, adjustment_id: int, decision: Decision, decider: int, now_ns: int
) -> None:
    """Write down what was decided."""
    this = adjustments.c.adjustment_id == adjustment_id
    values = {"status": decision, "decided_by": decider, "decided_ns": now_ns}
    await connection.execute(update(adjustments).where(this).values(values))


async def finish(
    connection: AsyncConnection, adjustment_id: int, status: Status, journal_sequence: int, refusal: str | None
) -> bool:
    """Write down what became of an approved adjustment; False where somebody else has."""
    this = (adjustments.c.adjustment_id == adjustment_id) & (adjustments.c.status == "Approved")
    values = {"status": status, "journal_sequence": journal_sequence, "refusal": refusal}
    return (await connection.execute(update(adjustments).where(this).values(values))).rowcount > 0


async def are_admins(connection: AsyncConnection, *accounts: int) -> bool:
    """Whether all of them are admins who are not frozen, and stay it until the transaction ends."""
    query = select(users.c.account_id).where(
        users.c.account_id.in_(accounts), users.c.role == "admin", users.c.frozen_ns.is_(None)
    )
    found = (await connection.execute(query.with_for_update(read=True))).scalars()
    return set(found) == set(accounts)
