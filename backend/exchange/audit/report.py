"""What an audit found: a verdict a part, and every finding with the journal sequence that it is about."""

from dataclasses import asdict, dataclass, field
from typing import Any

FINDINGS_MAX = 20  # a part; the rest is counted


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as the journal makes it. ``sequence``: the entry it is about, None for no single one."""

    part: str
    sequence: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the exchange after its audit. ``compared`` items; ``left_out`` says why it was not compared."""

    name: str
    compared: int
    upto: int
    left_out: str | None = None


@dataclass(slots=True)
class Report:
    """The outcome of an audit of entries ``first`` to ``last`` of a shard's journal, which ends at ``head``."""

    shard: int
    first: int
    last: int
    head: int
    begun_from: str
    events: int = 0
    seconds: float = 0.0
    digest: str = ""
    chain: str = ""
    parts: list[Part] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)  # findings by part, those that are not told included

    @property
    def proven(self) -> bool:
        return not self.counted

    @property
    def commands(self) -> int:
        return self.last - self.first + 1

    def find(self, part: str, sequence: int | None, what: str) -> None:
        """Add a finding; beyond FINDINGS_MAX of a part it is only counted."""
        count = self.counted[part] = self.counted.get(part, 0) + 1
        if count <= FINDINGS_MAX:
            self.findings.append(Finding(part, sequence, what))

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"proven": self.proven, "commands": self.commands, **asdict(self)}

    def lines(self) -> list[str]:
        """The report for people."""
        rate = self.commands / self.seconds if self.seconds else 0
        told = [
            f"journal of shard {self.shard}: entries {self.first:,} to {self.last:,} of {self.head:,}, "
            f"begun from {self.begun_from}",
            f"{self.commands:,} commands and {self.events:,} events executed again in {self.seconds:.1f} s "
            f"({rate:,.0f} commands/s)",
            f"state digest {self.digest}, chain {self.chain}",
            *(_part_line(part, self.counted.get(part.name, 0)) for part in self.parts),
        ]
        for finding in self.findings:
            at = "" if finding.sequence is None else f" entry {finding.sequence}"
            told.append(f"FOUND  {finding.part}{at}: {finding.what}")
        for part, count in self.counted.items():
            if count > FINDINGS_MAX:
                told.append(f"FOUND  {part}: {count - FINDINGS_MAX} more like these")
        told.append("PROVEN" if self.proven else f"NOT PROVEN: {sum(self.counted.values())} findings")
        return told


def _part_line(part: Part, findings: int) -> str:
    if part.left_out is not None:
        return f"{part.name:<12} not compared: {part.left_out}"
    verdict = "as the journal makes it" if not findings else f"{findings} findings"
    return f"{part.name:<12} {part.compared:>12,} compared up to entry {part.upto:,}: {verdict}"
