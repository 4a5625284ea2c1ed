"""How fine and how small a deposit or a withdrawal may be. The ledger is finer than what moves outside."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.records import Reason
from exchange.contracts.refusals import refuse
from exchange.contracts.units import Asset


@dataclass(frozen=True, slots=True)
class TransferTerms:
    """Decimal text of whole assets. ``step``: what amounts are multiples of."""

    step: str
    deposit_min: str
    withdrawal_min: str


#: By asset; of one that is not named any amount of its units moves.
TERMS: Mapping[str, TransferTerms] = {
    "USD": TransferTerms("0.01", "1", "10"),
    "BTC": TransferTerms("0.00000001", "0.00001", "0.0001"),
    "ETH": TransferTerms("0.00000001", "0.0001", "0.001"),
}


def terms_of(asset: Asset) -> TransferTerms:
    unit = asset.to_text(1)
    return TERMS.get(asset.name, TransferTerms(unit, unit, unit))


def transfer_units(asset: Asset, text: object, least_text: str) -> int:
    """Return the units of an amount; refuses what is too fine or below the least, naming the nearest valid amount."""
    units = asset.to_units(text, "amount")
    step = asset.to_units(terms_of(asset).step, "step")
    least = asset.to_units(least_text, "least")
    if units < least:
        detail = f"amount must be at least {least_text} {asset.name}"
        raise refuse(Reason.AMOUNT_OUT_OF_RANGE, detail, field="amount", limit=least_text, nearest=least_text)
    if units % step:
        nearest = asset.to_text(units - units % step)
        detail = f"amount {text} is not a multiple of {asset.to_text(step)} {asset.name}; {nearest} is"
        raise refuse(Reason.AMOUNT_OUT_OF_RANGE, detail, field="amount", limit=asset.to_text(step), nearest=nearest)
    return units
