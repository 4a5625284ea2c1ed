"""Who may credit an account: the outside always, the account itself only where no real money moves."""

import pytest

from exchange.contracts.refusals import EdgeReason, Refused
from exchange.contracts.units import Asset
from exchange.storage.journal import Entry
from exchange.treasury.custody import Custody
from exchange.treasury.deposits import Deposits
from exchange.treasury.sandbox import Sandbox
from exchange.treasury.transfers import Transfers

USD = Asset(1, "USD", 10)


class Nobody:
    """A ledger that nothing may reach."""

    async def place(self, command: bytearray, account: int, client_order_id: str | None) -> tuple[Entry, bool]:
        raise AssertionError("nothing may be credited")


class Bank(Sandbox):
    """A custody of real money."""

    credits_on_request = False


@pytest.mark.parametrize(
    ("custody", "on_request"),
    [(Sandbox(), False), (Bank(), True), (None, True)],
    ids=["production", "real money", "closed"],
)
async def test_an_account_credits_itself_in_a_sandbox_of_development_only(
    custody: Custody | None, on_request: bool
) -> None:
    deposits = Deposits(Transfers(Nobody()), custody, on_request)
    assert not deposits.on_request
    with pytest.raises(Refused) as refused:
        await deposits.request(7, USD, "50", "mine")
    assert refused.value.refusal.reason == EdgeReason.FORBIDDEN
