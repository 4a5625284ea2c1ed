"""Transfers: money that comes in from outside or goes out, as a command asked for it and an event decided.

A transfer with a reference happens once: the same reference of the same account is the same transfer for ever, as a
client order id is the same order (corridor/client_orders.py). What was refused for want of funds stays refused.
"""

from typing import NamedTuple

from engine.records import CommandKind, EventKind, Reason
from exchange.contracts.commands import KIND, reference, transferred
from exchange.contracts.events import Event, read_events

DEPOSIT, WITHDRAWAL = 1, 2  # the kinds of a transfer, as the ledger numbers them too

_KINDS: dict[int, int] = {CommandKind.DEPOSIT: DEPOSIT, CommandKind.WITHDRAW: WITHDRAWAL}
_DONE = frozenset((EventKind.DEPOSITED, EventKind.WITHDRAWN))
ADJUSTMENT_PREFIX = "ad:"  # of the references of corrections that two admins make

_KEY = "/"  # no client order id has it


class Transfer(NamedTuple):
    """A transfer, in units of its asset. ``reason``: 0 where it happened, else why it was refused."""

    sequence: int
    account: int
    kind: int
    asset: int
    amount: int
    reference: str | None
    reason: int
    created_ns: int


def transfer_of(command: bytes, event: Event) -> Transfer | None:
    """Return the transfer that a command's event is the outcome of; None of every other event.

    Of what is refused that is only what had a reference and may be asked for at another time: no edge sends the rest.
    """
    kind = _KINDS.get(command[KIND])
    if kind is None:
        return None
    if event.kind == EventKind.REJECTED:
        name = reference(command) if event.reason == Reason.INSUFFICIENT_FUNDS else None
        if name is None:
            return None
    elif event.kind in _DONE:
        name = reference(command)
    else:  # time passes first
        return None
    asset, amount = transferred(command)
    return Transfer(event.sequence, event.account, kind, asset, amount, name, event.reason, event.timestamp_ns)


def find_transfer(command: bytes, events: bytes) -> Transfer:
    """Return the transfer of a journal entry that holds one."""
    found = (transfer_of(command, event) for event in read_events(events))
    return next(transfer for transfer in found if transfer is not None)


def is_adjustment(command: bytes) -> bool:
    """Whether a transfer's command corrects a balance, and nothing came in or went out."""
    return (reference(command) or "").startswith(ADJUSTMENT_PREFIX)


def transfer_key(name: str) -> str:
    """Return what a reference is known by among an account's client order ids."""
    return _KEY + name


def reference_of(key: str) -> str | None:
    """Return the reference that a key stands for; None for a client order id."""
    return key[1:] if key.startswith(_KEY) else None
