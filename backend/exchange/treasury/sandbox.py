"""The sandbox: a custody without an outside. No money moves anywhere; everything else is as it will be.

What becomes of a payout depends on its destination alone, so that every case can be tried, and so that a sandbox that
was killed says the same afterwards:

    anything      sent, then completed
    refuse...     refused when it is handed over
    bounce...     sent, then refused
    pending...    sent, and never heard of again
"""

from hashlib import blake2b

from exchange.contracts.refusals import EdgeReason, refuse
from exchange.contracts.units import Asset
from exchange.treasury.custody import Payout, PayoutStatus

DESTINATION_LENGTH_MAX = 128


class Sandbox:
    """See the module."""

    name = "sandbox"
    credits_on_request = True

    def deposit_address(self, account: int, asset: Asset) -> str:
        made_up = blake2b(f"{account}/{asset.name}".encode(), digest_size=6, person=b"sandbox").hexdigest()
        return f"sandbox-{asset.name.lower()}-{account}-{made_up}"

    def check_destination(self, asset: Asset, destination: str) -> None:
        if not destination.strip() or not destination.isprintable() or len(destination) > DESTINATION_LENGTH_MAX:
            limit = f"1 to {DESTINATION_LENGTH_MAX} printable characters"
            detail = f"destination must say where the {asset.name} shall go, in {limit}"
            raise refuse(EdgeReason.FIELD_INVALID, detail, field="destination", limit=limit)

    async def send(self, payout: Payout) -> PayoutStatus:
        if payout.destination.startswith("refuse"):
            return PayoutStatus("refused", detail="the sandbox refuses what goes to a destination that begins so")
        return PayoutStatus("sent", self._outside_id(payout))

    async def status(self, payout: Payout) -> PayoutStatus:
        outside_id = self._outside_id(payout)
        if payout.destination.startswith("bounce"):
            return PayoutStatus(
                "refused", outside_id, "the sandbox lets bounce what goes to a destination that begins so"
            )
        if payout.destination.startswith("pending"):
            return PayoutStatus("sent", outside_id)
        return PayoutStatus("completed", outside_id)

    def _outside_id(self, payout: Payout) -> str:
        return "sandbox-" + blake2b(payout.key.encode(), digest_size=8, person=b"sandbox").hexdigest()
