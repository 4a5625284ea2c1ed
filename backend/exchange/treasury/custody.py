"""What is between the exchange and the outside, where money really moves: a bank, a custodian, a node of a chain.

    exchange ── deposit_address, send, status ──> custody
    exchange <── Deposits.credit(...)  ────────── custody (an adapter runs what it needs to hear of deposits)

An adapter is asked again whenever an answer was lost, a process was killed or leadership moved. So it must know each
payout by its key: the same key is the same payout, which it makes at most once, and of which it tells the same end for
ever once it has told one.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from exchange.contracts.units import Asset


@dataclass(frozen=True, slots=True)
class Payout:
    """Money that shall leave; the ledger no longer has it for the account."""

    key: str  # idempotency key: at most 36 of `a-z0-9-`
    account: int
    asset: Asset
    amount: int  # units
    destination: str

    @property
    def amount_text(self) -> str:
        return self.asset.to_text(self.amount)


@dataclass(frozen=True, slots=True)
class PayoutStatus:
    """How far a payout is.

    sent: taken over, its end is not known yet; completed: there; refused: it did not happen and never will, and
    ``detail`` says why. ``outside_id``: what the outside knows it by.
    """

    state: Literal["sent", "completed", "refused"]
    outside_id: str | None = None
    detail: str | None = None


class CustodyUnavailable(Exception):
    """The custody cannot be asked now, or did not answer: nothing is known. It will be asked again, same key."""


class Custody(Protocol):
    """An adapter."""

    @property
    def name(self) -> str:
        """By which withdrawals remember whose they are. Never changes."""

    @property
    def credits_on_request(self) -> bool:
        """Whether an account may credit itself, since it is not real money."""

    def deposit_address(self, account: int, asset: Asset) -> str:
        """Return where an account sends an asset to: an address, or an account number and payment reference."""

    def check_destination(self, asset: Asset, destination: str) -> None:
        """Raise Refused FIELD_INVALID for a destination that nothing of this asset can be sent to."""

    async def send(self, payout: Payout) -> PayoutStatus:
        """Take a payout over; asked again under the same key, say what became of it. Raises CustodyUnavailable."""

    async def status(self, payout: Payout) -> PayoutStatus:
        """Say what has become of a payout that was taken over. Raises CustodyUnavailable."""
