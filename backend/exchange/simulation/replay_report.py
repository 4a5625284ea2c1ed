"""What a replay did, as numbers, text and JSON."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from exchange.simulation.bitstamp_tape import Gap, Level
from exchange.simulation.latency import LatencyHistogram
from exchange.simulation.venue import CancelOutcome, PlaceOutcome

COMPARED_LEVELS = 5

Book = tuple[list[Level], list[Level]]  # bids, asks: best first


@dataclass
class Agreement:
    """How often our book equalled the recording's own snapshots: price and quantity both."""

    books: int = 0
    best_equal: int = 0  # best bid and best ask both equal
    levels: int = 0  # of the best COMPARED_LEVELS a side, as many as the venue showed
    levels_equal: int = 0

    def compare(self, ours: Book, venues: Book) -> None:
        """Count one pair of books."""
        self.books += 1
        self.best_equal += all(mine[:1] == theirs[:1] for mine, theirs in zip(ours, venues, strict=True))
        for mine, theirs in zip(ours, venues, strict=True):
            expected = theirs[:COMPARED_LEVELS]
            self.levels += len(expected)
            self.levels_equal += sum(a == b for a, b in zip(mine, expected, strict=False))

    def document(self) -> dict[str, Any]:
        """Counts and fractions; a fraction of nothing is None."""
        return {
            "books": self.books,
            "best_equal": self.best_equal,
            "best_fraction": _fraction(self.best_equal, self.books),
            "levels": self.levels,
            "levels_equal": self.levels_equal,
            "levels_fraction": _fraction(self.levels_equal, self.levels),
        }


@dataclass
class ReplayReport:
    """The counts of one replay."""

    events: int = 0
    orders_sent: int = 0
    orders_acknowledged: int = 0
    orders_repeated: int = 0  # acknowledged, and known to the exchange from an earlier playing of this run
    rejections: Counter[str] = field(default_factory=Counter)  # by reason
    cancels_sent: int = 0
    cancels_unsent: int = 0  # of orders that were refused
    cancels: Counter[str] = field(default_factory=Counter)  # by outcome
    trades: int = 0  # ours, as the takers' answers told
    venue_trades: int = 0  # printed in the recording
    unknown_outcomes: int = 0
    unknown_resolved: int = 0
    gaps: Counter[Gap] = field(default_factory=Counter)
    agreement: Agreement = field(default_factory=Agreement)
    snapshots: int = 0  # after the warm-up
    snapshots_passed: int = 0  # not compared: this run had been played beyond them before
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    duration_s: float = 0.0
    failure: str | None = None

    def placed(self, outcome: PlaceOutcome) -> None:
        """Count the answer to an order."""
        if outcome.order_id is None:
            self.rejections[outcome.reason or "UNNAMED"] += 1
            return
        self.orders_acknowledged += 1
        self.orders_repeated += outcome.repeated
        self.trades += outcome.fills

    def cancelled(self, outcome: CancelOutcome, filled: bool) -> None:
        """Count the answer to a cancel; `filled`: the venue filled this order, so it should have ended here too."""
        if filled:
            self.cancels["left over, taken away" if outcome.cancelled else "filled here as there"] += 1
        else:
            self.cancels["cancelled" if outcome.cancelled else "ended here before its cancel"] += 1

    @property
    def lost(self) -> int:
        """Orders and cancels that were sent and never answered."""
        answered = self.orders_acknowledged + self.rejections.total() + self.cancels.total()
        return self.orders_sent + self.cancels_sent - answered

    def document(self) -> dict[str, Any]:
        """The report as JSON types."""
        sent = self.orders_sent + self.cancels_sent
        return {
            "events": self.events,
            "orders": {
                "sent": self.orders_sent,
                "acknowledged": self.orders_acknowledged,
                "repeated": self.orders_repeated,
                "rejected": dict(self.rejections),
            },
            "cancels": {
                "sent": self.cancels_sent,
                "of_refused_orders": self.cancels_unsent,
                "outcomes": dict(self.cancels),
            },
            "trades": {"ours": self.trades, "venue": self.venue_trades},
            "unknown_outcomes": {"seen": self.unknown_outcomes, "resolved": self.unknown_resolved},
            "lost": self.lost,
            "gaps": {gap.name: count for gap, count in self.gaps.items()},
            "book": self.agreement.document()
            | {"snapshots": self.snapshots, "snapshots_passed": self.snapshots_passed},
            "latency_ms": self.latency.summary_ms(),
            "duration_s": round(self.duration_s, 3),
            "commands_per_second": round(sent / self.duration_s, 1) if self.duration_s else None,
            "failure": self.failure,
        }

    def text(self) -> str:
        """The report for people."""
        sent = self.orders_sent + self.cancels_sent
        rate = sent / self.duration_s if self.duration_s else 0.0
        lines = {
            "events": f"{self.events:,} in {self.duration_s:.1f} s; {sent:,} commands, {rate:,.0f} a second",
            "orders": f"{self.orders_sent:,} sent, {self.orders_acknowledged:,} acknowledged "
            f"({self.orders_repeated:,} before), {self.rejections.total():,} rejected{_listed(self.rejections)}",
            "cancels": f"{self.cancels_sent:,} sent{_listed(self.cancels)}",
            "trades": f"{self.trades:,} ours, {self.venue_trades:,} in the recording",
            "unknown": f"{self.unknown_outcomes:,} answers lost, {self.unknown_resolved:,} calls resolved by repeating",
            "lost": f"{self.lost:,}",
            "gaps": f"{self.gaps.total():,} events of the recording skipped{_listed(self.gaps)}",
            "book": self._book_text(),
            "latency": ", ".join(f"{name} {value:g} ms" for name, value in self.latency.summary_ms().items()),
        }
        if self.failure:
            lines["STOPPED"] = self.failure
        return "\n".join(f"{name:<9}{value}" for name, value in lines.items())

    def _book_text(self) -> str:
        book = self.agreement
        text = (
            f"best prices equal {book.best_equal:,} of {book.books:,}{_percent(book.best_equal, book.books)}; "
            f""
            f"best {COMPARED_LEVELS} levels {book.levels_equal:,} of {book.levels:,}"
            f"{_percent(book.levels_equal, book.levels)}"
        )
        if self.snapshots_passed:
            text += f"; {self.snapshots_passed:,} snapshots not compared: this run was played beyond them before"
        return text


def _fraction(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _percent(part: int, whole: int) -> str:
    return f" ({100 * part / whole:.2f} %)" if whole else ""


def _listed(counts: Counter[Any]) -> str:
    return ": " + ", ".join(f"{count:,} {key}" for key, count in counts.most_common()) if counts else ""
