"""The audit log: what was done with an operator's power, by whom, from where, and what came of it.

A row is sealed by a SHA-256 over the row before's hash and its own fields. The database counts and seals rows as they
come, one writer at a time (migration 0008); this module writes them, and reads them back and seals them again to find
what was changed. Nothing secret goes into the hash: whoever has the table can verify it, and whoever noted a head
(``sequence:hash``) can prove that everything up to it is still there.
"""

import getpass
import hashlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from exchange.contracts.refusals import EdgeReason, Refusal, Refused
from exchange.storage.tables import audit_log

Outcome = Literal["Intended", "Done", "Refused", "Unknown"]
HASH_BEFORE_ANY = bytes(32)
#: An exchange that cannot be asked, or whose answer cannot be seen here yet: the command may have been carried out.
_UNDECIDED = (EdgeReason.OUTCOME_UNKNOWN, EdgeReason.UNAVAILABLE)
VERIFY_ROWS = 1_000  # read at a time

logger = logging.getLogger("exchange.audit_log")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from where. ``account``: None for the operator at a command line."""

    account: int | None
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is stored. ``parameters`` is JSON; ``intent`` names the row that this is the outcome of."""

    sequence: int
    recorded_ns: int
    actor_account: int | None
    actor: str
    address: str
    action: str
    parameters: str
    outcome: str
    reason: str | None
    intent: int | None
    journal_sequence: int | None
    hash: bytes

    def sealed(self, hash_before: bytes) -> bytes:
        """Return what the hash of this row must be after the row with ``hash_before``."""
        fields = (
            self.sequence, self.recorded_ns, self.actor_account, self.actor, self.address, self.action,
            self.parameters, self.outcome, self.reason, self.intent, self.journal_sequence,
        )  # fmt: skip
        return hashlib.sha256(hash_before + b"".join(_framed(field) for field in fields)).digest()


_COLUMNS = [audit_log.c[name] for name in Row.__dataclass_fields__]


def _framed(field: int | str | None) -> bytes:
    if field is None:
        return b"-,"
    encoded = str(field).encode()
    return b"%d:%b," % (len(encoded), encoded)


@dataclass(frozen=True, slots=True)
class Head:
    """A row that everything before it hangs on."""

    sequence: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash.hex()}"

    @classmethod
    def parse(cls, written: str) -> "Head":
        """Read ``sequence:hash``. Raises ValueError."""
        sequence, _, digest = written.partition(":")
        head = cls(int(sequence), bytes.fromhex(digest))
        if head.sequence < 0 or len(head.hash) != len(HASH_BEFORE_ANY):
            raise ValueError(f"{written!r} is no head of an audit log")
        return head


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found. ``broken``: the first row that is not what it was, and why; None: there is none."""

    head: Head
    broken: int | None = None
    why: str = ""


# Writing


async def record(
    connection: AsyncConnection,
    actor: Actor,
    action: str,
    parameters: Mapping[str, Any],
    outcome: Outcome = "Done",
    *,
    reason: str | None = None,
    intent: int | None = None,
    journal_sequence: int | None = None,
) -> int:
    """Append a row within the caller's transaction, as its last statement: no other row comes before it commits.

    Returns the row's sequence.
    """
    row = {
        "sequence": 0,  # the trigger counts
        "actor_account": actor.account,
        "actor": actor.name,
        "address": actor.address,
        "action": action,
        "parameters": json.dumps(parameters, sort_keys=True, ensure_ascii=False),
        "outcome": outcome,
        "reason": reason,
        "intent": intent,
        "journal_sequence": journal_sequence,
    }
    appending = insert(audit_log).values(row).returning(audit_log.c.sequence, audit_log.c.hash)
    sequence, sealed = (await connection.execute(appending)).one()
    # Wherever the logs of the process are kept, a copy of the head is kept too.
    logger.info("audit log", extra={"fields": {"action": action, "outcome": outcome, "head": Head(sequence, sealed)}})
    return int(sequence)


@asynccontextmanager
async def recorded_change(
    engine: AsyncEngine, actor: Actor, action: str, parameters: Mapping[str, Any]
) -> AsyncIterator[AsyncConnection]:
    """A change of tables, in one transaction with its row: neither is there without the other.

    A refusal undoes the change and is a row of its own.
    """
    try:
        async with engine.begin() as connection:
            yield connection
            await record(connection, actor, action, parameters)
    except Refused as refused:
        async with engine.begin() as connection:
            await record(connection, actor, action, parameters, "Refused", reason=_reason(refused.refusal))
        raise


class Command:
    """An action that a command to the exchange carries out; ``journal_sequence``: where it is in the journal."""

    journal_sequence: int | None = None


@asynccontextmanager
async def recorded_command(
    engine: AsyncEngine, actor: Actor, action: str, parameters: Mapping[str, Any]
) -> AsyncIterator[Command]:
    """A command to the exchange: its intent is a row before the block, its outcome one after it.

    An intent without an outcome is a process that ended in between: the journal tells what came of it.
    """
    async with engine.begin() as connection:
        intent = await record(connection, actor, action, parameters, "Intended")
    command = Command()
    outcome: Outcome = "Unknown"
    reason: str | None = None
    try:
        yield command
        outcome = "Done"
    except Refused as refused:
        outcome = "Unknown" if refused.refusal.reason in _UNDECIDED else "Refused"
        reason = _reason(refused.refusal)
        command.journal_sequence = command.journal_sequence or refused.refusal.sequence
        raise
    except BaseException as error:
        reason = type(error).__name__
        raise
    finally:
        async with engine.begin() as connection:
            await record(
                connection, actor, action, parameters, outcome,
                reason=reason, intent=intent, journal_sequence=command.journal_sequence,
            )  # fmt: skip


def operator() -> Actor:
    """Whoever runs this process at a command line."""
    return Actor(None, f"operator {getpass.getuser()}", socket.gethostname())


def _reason(refusal: Refusal) -> str:
    return f"{refusal.reason.name}: {refusal.detail}"


# Reading


async def page(connection: AsyncConnection, *, before: int | None, action: str | None, limit: int) -> Sequence[Row]:
    """Return the newest rows before a sequence, newest first; of one ``action`` only if it is named."""
    query = select(*_COLUMNS).order_by(audit_log.c.sequence.desc()).limit(limit)
    if before is not None:
        query = query.where(audit_log.c.sequence < before)
    if action is not None:
        query = query.where(audit_log.c.action == action)
    return [Row(*row) for row in await connection.execute(query)]


async def verify(connection: AsyncConnection, pinned: Head | None = None) -> Verdict:
    """Seal every row again and compare. ``pinned``: a head noted earlier, which must still be there.

    Run it on a connection of its own: it reads one moment of the table.
    """
    await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
    query = select(*_COLUMNS).order_by(audit_log.c.sequence)
    rows = await connection.stream(query.execution_options(yield_per=VERIFY_ROWS))
    head = Head(0, HASH_BEFORE_ANY)
    async for found in rows:
        row = Row(*found)
        expected = head.sequence + 1
        if row.sequence != expected:
            return Verdict(head, expected, f"row {expected} is missing: after {head.sequence} comes {row.sequence}")
        if row.sealed(head.hash) != row.hash:
            return Verdict(head, row.sequence, f"row {row.sequence} is not what was sealed")
        head = Head(row.sequence, row.hash)
        if pinned is not None and pinned.sequence == row.sequence and pinned.hash != row.hash:
            return Verdict(head, row.sequence, f"row {row.sequence} is sealed, and is not the one that was pinned")
    if pinned is not None and pinned.sequence > head.sequence:
        missing = head.sequence + 1
        return Verdict(head, missing, f"row {missing} is missing: {pinned.sequence} rows were there, {missing - 1} are")
    return Verdict(head)
