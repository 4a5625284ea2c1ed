"""Withdrawals: taken from the balance first, durably, then handed to the custody; given back where that refuses.

    request ─> created ─ ledger ─> requested ─ custody.send ─> sent ─ custody.status ─> completed
                          wd:7          └──────────┬────────────┘
                                            refused for good
                                                   └─> refusing ─ ledger ─> refused
                                                                   wr:7
A step is taken again whenever it is not known whether it was: the ledger knows each transfer by its reference and the
custody each payout by its key, so that nothing happens twice. What the custody decided is written down before it is
acted upon, and then never asked for again. The process that leads takes the steps.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from exchange.contracts.catalogue import Catalogue
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.contracts.units import Asset
from exchange.storage.database import DatabaseUnreachable, heed_cancellation
from exchange.storage.withdrawals import Asked, Withdrawal, WithdrawalState, WithdrawalTable
from exchange.treasury.custody import Custody, CustodyUnavailable, Payout, PayoutStatus
from exchange.treasury.terms import terms_of, transfer_units
from exchange.treasury.transfers import Transfers

POLL_S = 1.0
AT_ONCE = 20  # steps that are taken beside each other
CUSTODY_TIMEOUT_S = 30.0
RETRY_S, RETRY_MOST_S = 1.0, 300.0  # doubled with each try
STATUS_S, STATUS_MOST_S = 0.5, 60.0  # how soon after it was sent a payout is asked about
#: The request that created a withdrawal takes it to the ledger; where it was killed, this is when another does.
ABANDONED_S = 15.0
_SECOND_NS = 1_000_000_000

logger = logging.getLogger(__name__)


class Withdrawals:
    """See the module. Without a custody nothing can be asked for."""

    def __init__(
        self,
        table: WithdrawalTable,
        transfers: Transfers,
        custody: Custody | None,
        catalogue: Catalogue,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.table = table
        self._transfers = transfers
        self._custody = custody
        self._catalogue = catalogue
        self._clock_ns = clock_ns
        self._asked = asyncio.Event()
        self._steps: Mapping[WithdrawalState, Callable[[Withdrawal, Custody], Any]] = {
            WithdrawalState.CREATED: self._debit,
            WithdrawalState.REQUESTED: self._send,
            WithdrawalState.SENT: self._ask,
            WithdrawalState.REFUSING: self._refund,
        }

    # What an account asks for

    async def request(
        self, account: int, asset: Asset, amount: str, destination: str, reference: str
    ) -> tuple[Withdrawal, bool]:
        """Take an amount (decimal text) from a balance to send it to a destination; return (the withdrawal, whether
        it had been asked for before).

        When this returns the ledger has it. The same request again, at any time, is the same withdrawal; one that the
        ledger refuses leaves nothing behind.

        Raises Refused: FORBIDDEN, AMOUNT_OUT_OF_RANGE, FIELD_INVALID, ACCOUNT_FROZEN, LIMIT_REACHED, REFERENCE_REUSED,
        INSUFFICIENT_FUNDS, and the ledger's OVERLOADED, UNAVAILABLE, OUTCOME_UNKNOWN: then it is to be sent again.
        """
        custody = self._custody
        if custody is None:
            raise refuse(EdgeReason.FORBIDDEN, "withdrawals are closed on this exchange")
        units = transfer_units(asset, amount, terms_of(asset).withdrawal_min)
        custody.check_destination(asset, destination)
        asked = Asked(account, reference, asset.number, units, destination)
        withdrawal, was_there = await self.table.create(asked, custody.name, self._in(ABANDONED_S))
        if withdrawal.state is WithdrawalState.CREATED:
            debited = await self._debit(withdrawal, custody)
            # Where another request or the leader was first, it is theirs that is told.
            withdrawal = debited or await self.table.find(account, withdrawal.withdrawal_id) or withdrawal
        self._asked.set()
        return withdrawal, was_there

    # The steps

    async def run(self, leads: Callable[[], bool]) -> None:
        """Take the steps that are due while this process leads, until cancelled."""
        custody = self._custody
        while custody is not None:
            taken = 0
            if leads():
                try:
                    taken = await self.advance(custody)
                except (SQLAlchemyError, DatabaseUnreachable, OSError) as error:
                    heed_cancellation()
                    logger.warning("withdrawals wait: %s", error)
            if taken < AT_ONCE:
                self._asked.clear()
                await _is_set_within(self._asked, POLL_S)

    async def advance(self, custody: Custody) -> int:
        """Take the next step of withdrawals for which it is due; return of how many."""
        due = await self.table.due(custody.name, self._clock_ns(), AT_ONCE)
        await asyncio.gather(*[self._step(withdrawal, custody) for withdrawal in due])
        return len(due)

    async def _step(self, withdrawal: Withdrawal, custody: Custody) -> None:
        try:
            await self._steps[withdrawal.state](withdrawal, custody)
        except Refused as refused:
            dropped = withdrawal.state is WithdrawalState.CREATED and refused.refusal.sequence is not None
            if not dropped:
                await self._postpone(withdrawal, refused)
        except (CustodyUnavailable, TimeoutError) as error:
            await self._postpone(withdrawal, error)
        except Exception:  # of an adapter: the others go on
            logger.exception("withdrawal %d: its step failed", withdrawal.withdrawal_id)
            await self._postpone(withdrawal, None)

    async def _debit(self, withdrawal: Withdrawal, custody: Custody) -> Withdrawal | None:
        name = f"wd:{withdrawal.withdrawal_id}"
        try:
            entry = await self._transfers.execute(
                withdrawal.account_id, withdrawal.asset, withdrawal.amount, "withdrawal", name
            )
        except Refused as refused:
            if refused.refusal.sequence is not None:
                await self.table.drop(withdrawal)
            raise
        return await self.table.move(withdrawal, WithdrawalState.REQUESTED, self._clock_ns(), sequence=entry.sequence)

    async def _send(self, withdrawal: Withdrawal, custody: Custody) -> None:
        async with asyncio.timeout(CUSTODY_TIMEOUT_S):
            status = await custody.send(self._payout(withdrawal))
        await self._take(withdrawal, status, custody)

    async def _ask(self, withdrawal: Withdrawal, custody: Custody) -> None:
        async with asyncio.timeout(CUSTODY_TIMEOUT_S):
            status = await custody.status(self._payout(withdrawal))
        if status.state == "sent":
            await self.table.postpone(withdrawal, self._in(_backoff(STATUS_S, STATUS_MOST_S, withdrawal.tries)))
        else:
            await self._take(withdrawal, status, custody)

    async def _take(self, withdrawal: Withdrawal, status: PayoutStatus, custody: Custody) -> None:
        """Write down what the custody decided, then act upon it."""
        to = {
            "sent": WithdrawalState.SENT,
            "completed": WithdrawalState.COMPLETED,
            "refused": WithdrawalState.REFUSING,
        }[status.state]
        due_ns = self._in(STATUS_S) if to is WithdrawalState.SENT else self._clock_ns()
        outside_id = status.outside_id or withdrawal.outside_id
        moved = await self.table.move(withdrawal, to, due_ns, outside_id=outside_id, refusal=status.detail)
        if moved is not None and to is WithdrawalState.REFUSING:
            await self._refund(moved, custody)

    async def _refund(self, withdrawal: Withdrawal, custody: Custody) -> None:
        name = f"wr:{withdrawal.withdrawal_id}"
        entry = await self._transfers.execute(
            withdrawal.account_id, withdrawal.asset, withdrawal.amount, "deposit", name
        )
        await self.table.move(withdrawal, WithdrawalState.REFUSED, self._clock_ns(), refund_sequence=entry.sequence)
        logger.info("withdrawal %d was refused by %s and given back", withdrawal.withdrawal_id, custody.name)

    async def _postpone(self, withdrawal: Withdrawal, error: Exception | None) -> None:
        if error is not None:
            logger.warning("withdrawal %d waits: %s", withdrawal.withdrawal_id, error)
        await self.table.postpone(withdrawal, self._in(_backoff(RETRY_S, RETRY_MOST_S, withdrawal.tries)))

    def _payout(self, withdrawal: Withdrawal) -> Payout:
        asset = self._catalogue.assets[withdrawal.asset]
        key = f"withdrawal-{withdrawal.withdrawal_id}"
        return Payout(key, withdrawal.account_id, asset, withdrawal.amount, withdrawal.destination)

    def _in(self, seconds: float) -> int:
        return self._clock_ns() + int(seconds * _SECOND_NS)


def _backoff(first_s: float, most_s: float, tries: int) -> float:
    return min(most_s, first_s * 2.0 ** min(tries, 30))


async def _is_set_within(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
