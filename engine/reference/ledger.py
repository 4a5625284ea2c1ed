"""The ledger: what every account has available and held, in units of each asset."""

from collections import defaultdict
from dataclasses import dataclass

from engine.records import EXTERNAL_ACCOUNT, REVENUE_ACCOUNT


@dataclass(slots=True)
class Balance:
    """Units of one asset that one account owns."""

    available: int = 0
    held: int = 0


class Ledger:
    """Double entry: every method moves units from one place to another, so that each asset sums to zero."""

    def __init__(self) -> None:
        self._balances: defaultdict[tuple[int, int], Balance] = defaultdict(Balance)

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        """(available, held) of an account, zeros if it never had any."""
        found = self._balances.get((account, asset), Balance())
        return found.available, found.held

    def balances(self) -> dict[tuple[int, int], tuple[int, int]]:
        """(account, asset) -> (available, held) of every balance that is not zero in both parts, in order."""
        amounts = ((key, (found.available, found.held)) for key, found in sorted(self._balances.items()))
        return {key: amount for key, amount in amounts if amount != (0, 0)}

    def put(self, account: int, asset: int, available: int, held: int) -> None:
        """Set a balance, as a snapshot had it."""
        self._balances[account, asset] = Balance(available, held)

    def deposit(self, account: int, asset: int, amount: int) -> None:
        """From outside to available."""
        self._balances[EXTERNAL_ACCOUNT, asset].available -= amount
        self._balances[account, asset].available += amount

    def withdraw(self, account: int, asset: int, amount: int) -> None:
        """From available to outside."""
        self.deposit(account, asset, -amount)

    def hold(self, account: int, asset: int, amount: int) -> None:
        """From available to held."""
        self._balances[account, asset].available -= amount
        self._balances[account, asset].held += amount

    def release(self, account: int, asset: int, amount: int) -> None:
        """From held back to available."""
        self.hold(account, asset, -amount)

    def pay(self, payer: int, receiver: int, asset: int, amount: int, fee: int) -> None:
        """From the payer's held to the receiver's available, less the fee, which goes to the revenue account."""
        self._balances[payer, asset].held -= amount
        self._balances[receiver, asset].available += amount - fee
        self._balances[REVENUE_ACCOUNT, asset].available += fee
