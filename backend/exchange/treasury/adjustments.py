"""Adjustments: one admin proposes to correct a balance, another approves, and the ledger does it once.

    propose ─> Proposed ─ approve, by another ─> Approved ─ ledger ─> Executed
                  ├─ reject, by another ─> Rejected   ad:7  └───────> Refused: the balance does not allow it
                  ├─ withdraw, by the proposer ─> Withdrawn
                  └─ a day passes ─> Expired

An approval is durable before the ledger is asked, and the ledger knows each adjustment by its reference: whoever is
killed in between, the process that leads asks the ledger again and gets the first answer.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.records import Reason
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.refusals import EdgeReason, Refusal, Refused, refuse
from exchange.contracts.transfers import ADJUSTMENT_PREFIX
from exchange.storage import adjustments as table
from exchange.storage.adjustments import Adjustment, Decision, Direction, Proposal
from exchange.storage.audit_log import Actor, record, recorded_change
from exchange.storage.database import DatabaseUnreachable, heed_cancellation
from exchange.storage.users import page_of_users
from exchange.treasury.transfers import TransferKind, Transfers

LIFETIME_NS = 86_400 * 1_000_000_000
PROPOSED_MAX = 1_000  # that nobody has decided about
POLL_S = 1.0
AT_ONCE = 100
_ACTIONS: dict[Decision, str] = {
    "Approved": "adjustment.approve",
    "Rejected": "adjustment.reject",
    "Withdrawn": "adjustment.withdraw",
}
_KINDS: dict[Direction, TransferKind] = {"Credit": "deposit", "Debit": "withdrawal"}

logger = logging.getLogger(__name__)


class _Repeated(Exception):
    """A decision was made before, by the same admin: its answer may have been lost."""


class Adjustments:
    """See the module."""

    def __init__(
        self,
        engine: AsyncEngine,
        transfers: Transfers,
        catalogue: Catalogue,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._engine = engine
        self._transfers = transfers
        self._catalogue = catalogue
        self.clock_ns = clock_ns

    async def propose(self, actor: Actor, proposal: Proposal) -> Adjustment:
        """Keep a proposal for another admin to decide about. Raises Refused NOT_FOUND, LIMIT_REACHED."""
        assert actor.account is not None
        now_ns = self.clock_ns()
        parameters = {"account_id": str(proposal.account), **self._told(proposal), "reason": proposal.reason}
        async with recorded_change(self._engine, actor, "adjustment.propose", parameters) as connection:
            if not await page_of_users(connection, account=proposal.account):
                detail = f"there is no user with account {proposal.account}"
                raise refuse(EdgeReason.NOT_FOUND, detail, field="account_id", limit="a user's")
            if await table.count_proposed(connection, now_ns) >= PROPOSED_MAX:
                limit = str(PROPOSED_MAX)
                detail = f"{limit} adjustments wait for a decision: decide about some first"
                raise refuse(EdgeReason.LIMIT_REACHED, detail, field="reason", limit=limit)
            made = await table.create(connection, proposal, actor.account, now_ns, now_ns + LIFETIME_NS)
            parameters["adjustment_id"] = str(made.adjustment_id)
        return made

    async def approve(self, actor: Actor, adjustment_id: int) -> Adjustment:
        """Approve what another admin proposed, and have the ledger do it.

        Where the ledger cannot be asked just now it is returned Approved, and done as soon as it can.

        Raises Refused NOT_FOUND, ADJUSTMENT_STATE, FOUR_EYES, and INSUFFICIENT_FUNDS, which is final.
        """
        await self._decide(actor, adjustment_id, "Approved", None)
        adjustment = await self.get(adjustment_id)
        if adjustment.status == "Approved":
            await self._try(adjustment)
            adjustment = await self.get(adjustment_id)
        if adjustment.status == "Refused":
            detail = f"adjustment {adjustment_id}: {adjustment.refusal}"
            raise refuse(Reason.INSUFFICIENT_FUNDS, detail, sequence=adjustment.journal_sequence)
        return adjustment

    async def reject(self, actor: Actor, adjustment_id: int, reason: str) -> Adjustment:
        """Decide against what another admin proposed. Raises Refused NOT_FOUND, ADJUSTMENT_STATE, FOUR_EYES."""
        await self._decide(actor, adjustment_id, "Rejected", reason)
        return await self.get(adjustment_id)

    async def withdraw(self, actor: Actor, adjustment_id: int) -> Adjustment:
        """Take back what one proposed oneself. Raises Refused NOT_FOUND, ADJUSTMENT_STATE, FOUR_EYES."""
        await self._decide(actor, adjustment_id, "Withdrawn", None)
        return await self.get(adjustment_id)

    async def get(self, adjustment_id: int) -> Adjustment:
        """Raises Refused NOT_FOUND."""
        async with self._engine.connect() as connection:
            return _existing(await table.find(connection, adjustment_id), adjustment_id)

    async def _decide(self, actor: Actor, adjustment_id: int, decision: Decision, reason: str | None) -> None:
        """Write down a decision and that it was made. The same one again changes nothing and is no action."""
        before = await self.get(adjustment_id)
        parameters: dict[str, Any] = {"adjustment_id": str(adjustment_id), "account_id": str(before.account)}
        parameters |= self._told(before) | ({"reason": reason} if reason else {})
        try:
            async with recorded_change(self._engine, actor, _ACTIONS[decision], parameters) as connection:
                await self._decide_within(connection, actor, adjustment_id, decision)
        except _Repeated:
            pass

    async def _decide_within(
        self, connection: AsyncConnection, actor: Actor, adjustment_id: int, decision: Decision
    ) -> None:
        assert actor.account is not None
        adjustment = _existing(await table.find(connection, adjustment_id, lock=True), adjustment_id)
        if _is_decided(adjustment, actor.account, decision):
            raise _Repeated
        now_ns = self.clock_ns()
        status = adjustment.status_at(now_ns)
        if status != "Proposed":
            detail = f"adjustment {adjustment_id} is {status}: nothing can be decided about it any more"
            raise refuse(EdgeReason.ADJUSTMENT_STATE, detail)
        await _check_eyes(connection, adjustment, actor.account, decision)
        await table.decide(connection, adjustment_id, decision, actor.account, now_ns)

    # What was approved

    async def run(self, leads: Callable[[], bool]) -> None:
        """Execute what was approved and is not yet, while this process leads, until cancelled."""
        while True:
            if leads():
                try:
                    await self.execute_approved()
                except (SQLAlchemyError, DatabaseUnreachable, OSError) as error:
                    heed_cancellation()
                    logger.warning("adjustments wait: %s", error)
            await asyncio.sleep(POLL_S)

    async def execute_approved(self) -> None:
        """Have the ledger do what was approved: where the process that approved it ended, or had no answer."""
        async with self._engine.connect() as connection:
            waiting = await table.approved(connection, AT_ONCE)
        for adjustment in waiting:
            await self._try(adjustment)

    async def _try(self, adjustment: Adjustment) -> None:
        """Execute, or leave it to the next try."""
        name = f"{ADJUSTMENT_PREFIX}{adjustment.adjustment_id}"
        kind = _KINDS[adjustment.direction]
        try:
            entry = await self._transfers.execute(adjustment.account, adjustment.asset, adjustment.units, kind, name)
        except Refused as refused:
            if refused.refusal.sequence is None:  # the ledger has not decided
                logger.warning("adjustment %d waits: %s", adjustment.adjustment_id, refused)
                return
            await self._finish(adjustment, refused.refusal.sequence, refused.refusal)
        else:
            await self._finish(adjustment, entry.sequence, None)

    async def _finish(self, adjustment: Adjustment, sequence: int, refusal: Refusal | None) -> None:
        told = self._told(adjustment)
        why = f"the available balance does not cover {told['amount']} {told['asset']}; nothing was moved"
        reason = None
        if refusal is not None:
            reason = why if refusal.reason == Reason.INSUFFICIENT_FUNDS else refusal.detail
        parameters = {"adjustment_id": str(adjustment.adjustment_id), "account_id": str(adjustment.account)} | told
        actor = Actor(None, "exchange", socket.gethostname())
        async with self._engine.begin() as connection:
            status: table.Status = "Refused" if refusal else "Executed"
            if await table.finish(connection, adjustment.adjustment_id, status, sequence, reason):
                await record(
                    connection, actor, "adjustment.execute", parameters, "Refused" if refusal else "Done",
                    reason=f"{refusal.reason.name}: {reason}" if refusal else None, journal_sequence=sequence,
                )  # fmt: skip

    def _told(self, adjustment: Adjustment | Proposal) -> dict[str, str]:
        asset = self._catalogue.assets.get(adjustment.asset)
        if asset is None:  # starting
            raise refuse(EdgeReason.UNAVAILABLE, "the exchange is starting and does not know its assets yet")
        return {"asset": asset.name, "direction": adjustment.direction, "amount": asset.to_text(adjustment.units)}


def _existing(adjustment: Adjustment | None, adjustment_id: int) -> Adjustment:
    if adjustment is None:
        raise refuse(EdgeReason.NOT_FOUND, f"there is no adjustment {adjustment_id}")
    return adjustment


def _is_decided(adjustment: Adjustment, account: int, decision: Decision) -> bool:
    """Whether this account has decided so already."""
    came_of_it = ("Approved", "Executed", "Refused") if decision == "Approved" else (decision,)
    return adjustment.decided_by == account and adjustment.status in came_of_it


async def _check_eyes(connection: AsyncConnection, adjustment: Adjustment, account: int, decision: Decision) -> None:
    """Refuse with FOUR_EYES where this account may not decide so."""
    own = adjustment.proposed_by == account
    if decision == "Withdrawn":
        if not own:
            raise _four_eyes("only who proposed an adjustment can withdraw it; reject it")
    elif own:
        raise _four_eyes("you proposed this: another admin decides about it; you can withdraw it")
    elif decision == "Approved":
        if adjustment.account == account:
            raise _four_eyes("nobody approves an adjustment of their own account")
        if not await table.are_admins(connection, adjustment.proposed_by, account):
            raise _four_eyes("who proposed this is no admin any more: propose it yourself, for another to approve")


def _four_eyes(detail: str) -> Refused:
    return refuse(EdgeReason.FOUR_EYES, detail)
