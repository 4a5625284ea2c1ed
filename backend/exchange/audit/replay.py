"""The audit itself: execute the journal again, and hold everything else against what that gives.

    journal ── chain, bytes ──> Shard.apply ──> events compared ──> tables, ledger, balances compared, slice by slice
                                     │
                                     └─ at each recorded snapshot: state and digest compared

It reads within one REPEATABLE READ, READ ONLY transaction, so that it may run beside a live exchange, and a slice at a
time: its memory is the engine's state and the live orders, whatever the length of the journal.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from engine.matching import Shard
from engine.records import DAY_NS, EventKind
from exchange.audit.damage import Suspect, describe
from exchange.audit.derived import MINUTE_NS, Definitions, check_candles, check_catalogue
from exchange.audit.fees import FeesAudit, check_volumes
from exchange.audit.ledger import LedgerAudit, check_holds
from exchange.audit.report import Part, Report
from exchange.audit.rows import Connection
from exchange.audit.tables import (
    FillsAudit,
    Made,
    OrdersAudit,
    RejectionsAudit,
    TableAudit,
    TradesAudit,
    TransfersAudit,
)
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import read_events
from exchange.corridor.recovery import from_snapshot, replay, restored, shard_at
from exchange.storage.journal import GENESIS, Entry, JournalCorrupt, JournalReader, Snapshot, signed

SLICE = 2_000
PROGRESS_EVERY_S = 2.0
_DEFINED = frozenset((EventKind.ASSET_DEFINED, EventKind.MARKET_DEFINED))
_DEFINING = _DEFINED | {EventKind.MARKET_CONFIGURED}
_SERVER_SETTINGS = ("SET LOCAL work_mem = '64MB'", "SET LOCAL statement_timeout = 0", "SET LOCAL jit = off")

SumCheck = Callable[[Connection, int, int, int, Report], Awaitable[int]]
Progress = Callable[[int, int, float], None]  # commands done, commands in all, seconds so far


class AuditError(Exception):
    """There is nothing to audit as asked. The text names what there is."""


async def audit(
    connection: Connection,
    shard_number: int,
    *,
    first: int | None = None,
    last: int | None = None,
    with_tables: bool = True,
    progress: Progress = lambda done, total, seconds: None,
) -> Report:
    """Audit entries ``first`` to ``last`` of a shard's journal; by default all of them.

    With ``first`` it begins from the newest snapshot before it, whose state is taken as it is. Without tables it is the
    journal and the snapshots alone. Raises AuditError.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for setting in _SERVER_SETTINGS:
            await connection.execute(setting)
        auditor = _Auditor(connection, shard_number, with_tables, progress)
        return await auditor.run(first, last)


class _Auditor:
    def __init__(self, connection: Connection, number: int, with_tables: bool, progress: Progress) -> None:
        self._connection = connection
        self._number = number
        self._journal = JournalReader(connection, number)
        self._with_tables = with_tables
        self._progress = progress
        self._shard = Shard()
        self._chain = GENESIS
        self._catalogue = Catalogue()
        self._defined: Definitions = {}
        self._timestamp_ns = 0
        self._tables: list[TableAudit] = []
        self._watermarks: dict[str, int] = {}

    async def run(self, first: int | None, last: int | None) -> Report:
        self._report = report = await self._begin(first, last)
        started = reported = time.monotonic()
        cuts = await self._cuts(report)
        try:
            for cut in cuts:
                while self._shard.sequence < cut:
                    await self._advance(cut)
                    report.seconds = time.monotonic() - started
                    if time.monotonic() - reported > PROGRESS_EVERY_S:
                        reported = time.monotonic()
                        self._progress(self._shard.sequence - report.first + 1, report.commands, report.seconds)
                await self._at_cut(cut)
        except JournalCorrupt as corrupt:
            report.find("journal", corrupt.sequence, await self._describe(corrupt))
            report.parts.append(Part("journal", corrupt.sequence - report.first, corrupt.sequence - 1))
            self._leave_out(f"the journal is damaged at entry {corrupt.sequence}, and nothing behind it is proven")
            report.last = max(corrupt.sequence - 1, report.first - 1)
        else:
            report.parts.insert(0, Part("journal", report.commands, report.last))
            self._leave_out("")
        report.digest, report.chain = f"{self._shard.digest():016x}", self._chain.hex()
        report.seconds = time.monotonic() - started
        return report

    async def _begin(self, first: int | None, last: int | None) -> Report:
        head, _ = await self._journal.head()
        begun_from = "the first entry"
        if first is not None and first > 1:
            self._shard, self._chain = await from_snapshot(self._journal, first - 1)
            if self._shard.sequence:
                begun_from = f"the snapshot at entry {self._shard.sequence}, taken as it is"
        base = self._shard.sequence
        last = head if last is None else min(last, head)
        if last <= base:
            raise AuditError(f"the journal of shard {self._number} has entries 1 to {head}: there is nothing to audit")
        self._catalogue = Catalogue(self._shard.definitions())
        report = Report(self._number, base + 1, last, head, begun_from)
        connection, number, shard = self._connection, self._number, self._shard
        self._tables = [
            TradesAudit(connection, number, shard, report),
            FillsAudit(connection, number, shard, report),
            OrdersAudit(connection, number, shard, report),
            RejectionsAudit(connection, number, shard, report),
            TransfersAudit(connection, number, shard, report),
            FeesAudit(connection, number, shard, report),
            LedgerAudit(connection, number, shard, report, self._catalogue),
        ]
        return report

    async def _cuts(self, report: Report) -> list[int]:
        """Where something is to be compared on the way, and the end. Looks at what lies beyond the journal's end."""
        query = "SELECT projection, sequence FROM watermarks WHERE shard = $1"
        self._watermarks = {row[0]: row[1] for row in await self._connection.fetch(query, self._number)}
        query = "SELECT sequence FROM snapshots WHERE shard = $1 AND sequence > $2 ORDER BY sequence"
        snapshots = [row[0] for row in await self._connection.fetch(query, self._number, report.first - 1)]
        beyond = {f"the table of {name}": sequence for name, sequence in self._watermarks.items()}
        beyond |= {f"the snapshot at {sequence}": sequence for sequence in snapshots}
        for what, sequence in beyond.items():
            if sequence > report.head:
                report.find("journal", report.head + 1, f"is missing, and all up to {sequence}: {what} includes it")
        if not self._with_tables:
            self._watermarks.clear()
        self._snapshots = {sequence for sequence in snapshots if sequence <= report.last}
        self._snapshots_compared = 0
        marks = {mark for mark in self._watermarks.values() if report.first <= mark <= report.last}
        return sorted({*self._snapshots, *marks, report.last})

    async def _advance(self, cut: int) -> None:
        """Take one slice, at most to where something is compared."""
        before = self._shard.sequence
        entries, chain = await self._journal.after(before, self._chain, min(SLICE, cut - before))
        if not entries:
            raise JournalCorrupt(before + 1, "is missing")
        replay(self._shard, entries)
        self._chain = chain
        made = self._read(entries)
        for table in self._tables:
            if self._shard.sequence <= self._watermarks.get(table.projection, 0):
                await table.take(made, self._shard.sequence, self._shard)

    def _read(self, entries: list[Entry]) -> Made:
        made = [(entry.command, event) for entry in entries for event in read_events(entry.events)]
        self._report.events += len(made)
        for command, event in made:
            if event.kind in _DEFINING:
                self._catalogue.define(command)
            if event.kind in _DEFINED:
                number = event.asset if event.kind == EventKind.ASSET_DEFINED else event.market
                self._defined[EventKind(event.kind), number] = event.sequence
        if not self._timestamp_ns and made:
            self._timestamp_ns = made[0][1].timestamp_ns
        return made

    async def _at_cut(self, cut: int) -> None:
        if cut in self._snapshots:
            await self._compare_snapshot(cut)
        check_holds(self._shard, self._catalogue, self._report)
        for table in self._tables:
            if self._watermarks.get(table.projection) == cut:
                await table.finish(self._shard)
                self._done(table.name, table.compared, cut)
                if isinstance(table, LedgerAudit):
                    self._done("balances", table.balances_compared, cut)
        if self._watermarks.get("candles") == cut:
            await self._compare_sums("candles", check_candles, MINUTE_NS, cut)
        if self._watermarks.get("volumes") == cut:
            await self._compare_sums("volumes", check_volumes, DAY_NS, cut)
        if self._watermarks.get("catalogue") == cut:
            count = await check_catalogue(
                self._connection, self._number, self._shard, self._catalogue, self._defined, self._report
            )
            self._done("catalogue", count, cut)

    async def _compare_sums(self, name: str, check: SumCheck, length_ns: int, cut: int) -> None:
        """Compare what trades add up to in times of one length with the trades."""
        if self._watermarks.get("trades", 0) < cut or self._report.counted.keys() & {"trades", "fills"}:
            self._report.parts.append(Part(name, 0, cut, "the trades that they are made of are not proven"))
            return
        # A time that had begun before the audit does holds trades that it has not seen.
        since_ns = self._timestamp_ns - self._timestamp_ns % length_ns + length_ns
        since_ns = -(2**63) if self._report.first == 1 else since_ns
        self._done(name, await check(self._connection, self._number, cut, since_ns, self._report), cut)

    async def _compare_snapshot(self, sequence: int) -> None:
        query = "SELECT digest, state FROM snapshots WHERE shard = $1 AND sequence = $2"
        digest, state = await self._connection.fetchrow(query, self._number, sequence)  # type: ignore[misc]
        self._snapshots_compared += 1
        if digest != signed(self._shard.digest()):
            what = f"its digest is {digest % 2**64:016x} and should be {self._shard.digest():016x}"
            self._report.find("snapshots", sequence, what)
        try:
            image = restored(Snapshot(sequence, state, self._chain))
        except JournalCorrupt as corrupt:
            self._report.find("snapshots", sequence, corrupt.what)
            return
        if image.snapshot() != self._shard.snapshot():
            self._report.find("snapshots", sequence, "it holds another state than the journal makes")

    def _done(self, name: str, compared: int, upto: int) -> None:
        self._report.parts.append(Part(name, compared, upto))

    def _leave_out(self, why: str) -> None:
        """Say of every part that was not compared why."""
        last = self._report.last
        if self._snapshots_compared:
            self._done(
                "snapshots", self._snapshots_compared, max(s for s in self._snapshots if s <= self._shard.sequence)
            )
        done = {part.name for part in self._report.parts}
        if not why:
            # The rows of these entries are compared; what the table holds of later ones is not looked at.
            started = [table for table in self._tables if table.name not in done and table.compared]
            self._report.parts += [Part(table.name, table.compared, last) for table in started]
            done.update(table.name for table in started)
        names: dict[str, str] = {table.name: table.projection for table in self._tables}
        names |= {name: name for name in ("balances", "candles", "catalogue", "volumes")}
        for name, projection in names.items():
            if name not in done:
                mark = self._watermarks.get(projection, 0)
                why = why if self._with_tables else "it was not asked for"
                reason = why or f"the table is at entry {mark:,}, the audit covers {self._report.first:,} to {last:,}"
                self._report.parts.append(Part(name, 0, mark, reason))
        if "snapshots" not in done:
            self._report.parts.append(Part("snapshots", 0, last, why or "there is none among these entries"))

    async def _describe(self, corrupt: JournalCorrupt) -> str:
        """Look closely at the first entry that does not fit."""
        sequence = corrupt.sequence
        query = "SELECT sequence, command, events, chain FROM journal WHERE shard = $1 AND sequence BETWEEN $2 AND $3"
        rows: dict[int, Any] = {
            row["sequence"]: tuple(row)[1:]
            for row in await self._connection.fetch(query, self._number, sequence - 1, sequence + 1)
        }
        if sequence not in rows:
            return corrupt.what
        shard = await self._before(sequence)
        before = rows[sequence - 1][2] if sequence - 1 in rows else GENESIS
        command, events, chain = rows[sequence]
        return describe(Suspect(sequence, command, events, chain, before, rows.get(sequence + 1)), shard)

    async def _before(self, sequence: int) -> Shard | None:
        """The engine as it was before an entry, by the nearest snapshot; None where that is not to be had either."""
        try:
            shard = await shard_at(self._journal, sequence - 1)
            self._shard = Shard.restore(shard.snapshot())
            self._chain = await self._journal.chain_at(sequence - 1)
            return shard
        except JournalCorrupt:
            return None
