"""Move money between an account and the outside in the ledger: each transfer once, however often it is asked for."""

from dataclasses import replace
from typing import Literal, Protocol

from engine.records import Reason
from exchange.contracts import commands
from exchange.contracts.events import read_events, refusal_of
from exchange.contracts.refusals import AnyReason, Refused
from exchange.contracts.transfers import transfer_key
from exchange.storage.journal import Entry

TransferKind = Literal["deposit", "withdrawal"]
REFERENCE_BYTES_MAX = 36
_DETAILS: dict[AnyReason, str] = {
    Reason.INSUFFICIENT_FUNDS: "the available balance does not cover the withdrawal; nothing was moved"
}
_COMMANDS = {"deposit": commands.deposit, "withdrawal": commands.withdraw}


class Ledger(Protocol):
    """The path of a command (corridor/corridor.py)."""

    async def place(self, command: bytearray, account: int, client_order_id: str | None) -> tuple[Entry, bool]:
        """Submit a command; return (entry, whether an earlier request with the same key had it)."""


class Transfers:
    """Makes transfers in the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def execute(self, account: int, asset: int, amount: int, kind: TransferKind, reference: str) -> Entry:
        """Move ``amount`` units of an asset and return the journal entry, which is durable.

        ``reference``: 1 to 36 ASCII characters that name the transfer among all of the account's, for ever. Where it
        was made before, at any time and whatever crashed since, the entry is that of the first time: when an outcome
        is not known, asking again is safe.

        Raises Refused: what the engine says (INSUFFICIENT_FUNDS, which then stays the answer under this reference),
        REFERENCE_REUSED when the reference names another transfer, OVERLOADED, UNAVAILABLE or OUTCOME_UNKNOWN.
        """
        name = reference.encode("ascii")
        assert 0 < len(name) <= REFERENCE_BYTES_MAX
        command = _COMMANDS[kind](account, asset, amount, name)
        entry, _ = await self._ledger.place(command, account, transfer_key(reference))
        for event in read_events(entry.events):
            if (refusal := refusal_of(event)) is not None:
                raise Refused(replace(refusal, detail=_DETAILS.get(refusal.reason, refusal.detail)))
        return entry
