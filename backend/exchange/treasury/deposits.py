"""Deposits: money that has arrived outside is credited in the ledger, each arrival once."""

from exchange.contracts.refusals import EdgeReason, refuse
from exchange.contracts.transfers import Transfer, find_transfer
from exchange.contracts.units import Asset
from exchange.treasury.custody import Custody
from exchange.treasury.terms import terms_of, transfer_units
from exchange.treasury.transfers import Transfers

DEPOSIT_PREFIX = "dp:"  # of the references of such transfers; what follows is the arrival's own
ARRIVAL_LENGTH_MAX = 33


class Deposits:
    """``on_request``: whether accounts may credit themselves where the custody lets them."""

    def __init__(self, transfers: Transfers, custody: Custody | None, on_request: bool) -> None:
        self._transfers = transfers
        self.custody = custody
        self.on_request = on_request and custody is not None and custody.credits_on_request

    async def credit(self, account: int, asset: Asset, amount: int, arrival: str) -> Transfer:
        """Credit ``amount`` units that have arrived for an account; return the transfer.

        ``arrival``: what the outside knows it by, at most 33 ASCII characters (longer ones are to be hashed by the
        adapter). Told again, it is the same deposit. Raises Refused as ``Transfers.execute``.
        """
        assert 0 < len(arrival) <= ARRIVAL_LENGTH_MAX
        name = DEPOSIT_PREFIX + arrival
        entry = await self._transfers.execute(account, asset.number, amount, "deposit", name)
        return find_transfer(entry.command, entry.events)

    async def request(self, account: int, asset: Asset, amount: str, reference: str) -> Transfer:
        """Credit an account with what it asks for: where no real money moves.

        Raises Refused FORBIDDEN, AMOUNT_OUT_OF_RANGE, and as ``credit``.
        """
        if self.custody is None:
            raise refuse(EdgeReason.FORBIDDEN, "deposits are closed on this exchange")
        if not self.on_request:
            raise refuse(EdgeReason.FORBIDDEN, "deposits here come from outside: send them to your deposit address")
        units = transfer_units(asset, amount, terms_of(asset).deposit_min)
        return await self.credit(account, asset, units, reference)
