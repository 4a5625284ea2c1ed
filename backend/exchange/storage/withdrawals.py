"""Withdrawals on their way out: what was asked for and how far each has come. The money itself is in the ledger.

Every step is a change from one state to the next that happens once, whoever tries it: `move` names the state it leaves.
"""

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from exchange.contracts.refusals import EdgeReason, refuse
from exchange.storage.tables import users, withdrawals

OPEN_MAX = 100  # withdrawals of an account that have not ended


class WithdrawalState(StrEnum):
    """How far a withdrawal has come.

    created ─> requested ─> sent ─> completed
                   └─────────┴────> refusing ─> refused
    """

    CREATED = "created"  # asked for; the ledger may not have it yet, and nobody is told of it
    REQUESTED = "requested"  # taken from the balance, durable
    SENT = "sent"  # the custody has taken it over
    REFUSING = "refusing"  # the custody has refused it for good; the balance does not have it back yet
    COMPLETED = "completed"
    REFUSED = "refused"  # back in the balance


ENDED = (WithdrawalState.COMPLETED, WithdrawalState.REFUSED)
_ON_THEIR_WAY = withdrawals.c.state.not_in(ENDED)
#: Until the money is handed over it can be kept from going out.
_NOT_SENT = withdrawals.c.state.in_((WithdrawalState.CREATED, WithdrawalState.REQUESTED))


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A withdrawal; ``amount`` in units of the asset. ``custody``: the name of the adapter that it goes out by."""

    withdrawal_id: int
    account_id: int
    reference: str
    asset: int
    amount: int
    destination: str
    custody: str
    state: WithdrawalState
    sequence: int | None
    refund_sequence: int | None
    outside_id: str | None
    refusal: str | None
    tries: int
    created_ns: int
    updated_ns: int


_COLUMNS = [withdrawals.c[name] for name in Withdrawal.__dataclass_fields__]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a withdrawal is asked for with; the same again is the same withdrawal."""

    account_id: int
    reference: str
    asset: int
    amount: int
    destination: str


class WithdrawalTable:
    """The withdrawals of one shard."""

    def __init__(self, engine: AsyncEngine, shard: int) -> None:
        self._engine = engine
        self._shard = shard

    async def create(self, asked: Asked, custody: str, due_ns: int) -> tuple[Withdrawal, bool]:
        """Note a withdrawal; return (it, whether one with its reference was there before, which then is it).

        Raises Refused ACCOUNT_FROZEN, LIMIT_REACHED, or REFERENCE_REUSED where the one before is different.
        """
        async with self._engine.begin() as connection:
            # The user's row is the lock: neither two of the same reference, nor one too many, nor one of an account
            # that is being frozen.
            mine = select(users.c.frozen_ns).where(users.c.account_id == asked.account_id).with_for_update()
            frozen_ns = await connection.scalar(mine)
            if frozen_ns is not None:
                raise refuse(EdgeReason.ACCOUNT_FROZEN, "this account is frozen: its money stays where it is")
            same = (withdrawals.c.account_id == asked.account_id) & (withdrawals.c.reference == asked.reference)
            found = (await connection.execute(select(*_COLUMNS).where(same))).one_or_none()
            if found is not None:
                return _same_or_refuse(asked, _read(found)), True
            here = withdrawals.c.shard == self._shard
            open_ones = select(func.count()).where(here, withdrawals.c.account_id == asked.account_id, _ON_THEIR_WAY)
            if (await connection.scalar(open_ones) or 0) >= OPEN_MAX:
                detail = f"an account has at most {OPEN_MAX} withdrawals on their way: wait until one has ended"
                raise refuse(EdgeReason.LIMIT_REACHED, detail, field="reference", limit=str(OPEN_MAX))
            now_ns = time.time_ns()
            row: dict[str, Any] = {name: getattr(asked, name) for name in Asked.__dataclass_fields__}
            row |= {"shard": self._shard, "custody": custody, "state": WithdrawalState.CREATED, "tries": 0}
            row |= {"created_ns": now_ns, "updated_ns": now_ns, "due_ns": due_ns}
            made = await connection.execute(insert(withdrawals).values(row).returning(*_COLUMNS))
            return _read(made.one()), False

    async def move(self, withdrawal: Withdrawal, to: WithdrawalState, due_ns: int, **told: Any) -> Withdrawal | None:
        """Take a withdrawal from the state it is in to the next; None where somebody else has moved it."""
        statement = update(withdrawals).where(
            withdrawals.c.withdrawal_id == withdrawal.withdrawal_id, withdrawals.c.state == withdrawal.state
        )
        values = {"state": to, "due_ns": due_ns, "tries": 0, "updated_ns": time.time_ns(), **told}
        async with self._engine.begin() as connection:
            moved = (await connection.execute(statement.values(values).returning(*_COLUMNS))).one_or_none()
        return None if moved is None else _read(moved)

    async def postpone(self, withdrawal: Withdrawal, due_ns: int) -> None:
        """Note that a step was tried and is to be tried again."""
        statement = update(withdrawals).where(
            withdrawals.c.withdrawal_id == withdrawal.withdrawal_id, withdrawals.c.state == withdrawal.state
        )
        async with self._engine.begin() as connection:
            await connection.execute(statement.values(due_ns=due_ns, tries=withdrawals.c.tries + 1))

    async def drop(self, withdrawal: Withdrawal) -> None:
        """Forget a withdrawal that the ledger has refused: nothing was moved, and its reference is free again."""
        mine = withdrawals.c.withdrawal_id == withdrawal.withdrawal_id
        async with self._engine.begin() as connection:
            await connection.execute(delete(withdrawals).where(mine, withdrawals.c.state == WithdrawalState.CREATED))

    async def due(self, custody: str, now_ns: int, limit: int) -> list[Withdrawal]:
        """Return withdrawals whose next step is due, the longest due first. Of frozen accounts only what was sent."""
        query = (
            select(*_COLUMNS)
            .join(users, users.c.account_id == withdrawals.c.account_id)
            .where(
                withdrawals.c.shard == self._shard,
                withdrawals.c.custody == custody,
                withdrawals.c.due_ns <= now_ns,
                _ON_THEIR_WAY,
                or_(users.c.frozen_ns.is_(None), ~_NOT_SENT),
            )
            .order_by(withdrawals.c.due_ns)
            .limit(limit)
        )
        return await self._all(query)

    async def find(self, account: int, withdrawal_id: int) -> Withdrawal | None:
        """Return a withdrawal that its account was told of."""
        query = select(*_COLUMNS).where(self._told(account), withdrawals.c.withdrawal_id == withdrawal_id)
        found = await self._all(query)
        return found[0] if found else None

    async def of_account(
        self, account: int, *, reference: str | None, before: int | None, limit: int
    ) -> list[Withdrawal]:
        """Return what an account was told of, newest first, those with an id below ``before``."""
        query = select(*_COLUMNS).where(self._told(account))
        if reference is not None:
            query = query.where(withdrawals.c.reference == reference)
        if before is not None:
            query = query.where(withdrawals.c.withdrawal_id < before)
        return await self._all(query.order_by(withdrawals.c.withdrawal_id.desc()).limit(limit))

    def _told(self, account: int) -> ColumnElement[bool]:
        return and_(
            withdrawals.c.shard == self._shard,
            withdrawals.c.account_id == account,
            withdrawals.c.state != WithdrawalState.CREATED,
        )

    async def _all(self, query: Any) -> list[Withdrawal]:
        async with self._engine.connect() as connection:
            return [_read(row) for row in await connection.execute(query)]


def _read(row: Row[Any]) -> Withdrawal:
    fields: dict[str, Any] = dict(row._mapping)
    return Withdrawal(**fields | {"state": WithdrawalState(fields["state"])})


def _same_or_refuse(asked: Asked, first: Withdrawal) -> Withdrawal:
    for name in Asked.__dataclass_fields__:
        if getattr(asked, name) != getattr(first, name):
            detail = f"reference {asked.reference!r} was used for a withdrawal with another {name}"
            raise refuse(EdgeReason.REFERENCE_REUSED, detail, field="reference", limit="unique per account")
    return first
