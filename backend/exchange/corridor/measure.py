"""What the corridor measures of itself, once a batch."""

from collections.abc import Sequence

from prometheus_client import Counter

from engine.orders.journal import count_outcomes
from engine.records import CommandKind
from exchange.contracts.catalogue import Catalogue
from exchange.corridor.live import Changes
from exchange.observability import metrics
from exchange.storage.journal import Entry

_PLACE = int(CommandKind.PLACE)
_KINDS = frozenset(CommandKind)
_commands: dict[tuple[int, bool], Counter] = {}
_trades: dict[int, Counter] = {}


def observe_batch(entries: Sequence[Entry], matching_s: float, commit_s: float, total_s: float) -> None:
    """Count a durable batch and the seconds that its stages took."""
    metrics.MATCHING_SECONDS.observe(matching_s)
    metrics.JOURNAL_COMMIT_SECONDS.observe(commit_s)
    metrics.SEQUENCE.set(entries[-1].sequence)
    for (kind, rejected), count in count_outcomes(entries).items():
        _command_counter(kind, rejected).inc(count)
        if kind == _PLACE:
            metrics.ORDER_SECONDS.observe(total_s, count)


def observe_changes(changes: Changes, catalogue: Catalogue) -> None:
    """Count a batch's trades."""
    for market, trades in changes.trades.items():
        counter = _trades.get(market)
        if counter is None:
            counter = _trades[market] = metrics.TRADES.labels(catalogue.markets[market].symbol)
        counter.inc(len(trades))


def _command_counter(kind: int, rejected: bool) -> Counter:
    counter = _commands.get((kind, rejected))
    if counter is None:
        name = CommandKind(kind).name.lower() if kind in _KINDS else "unknown"
        counter = _commands[kind, rejected] = metrics.COMMANDS.labels(name, "rejected" if rejected else "accepted")
    return counter
