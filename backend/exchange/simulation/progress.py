"""Progress of a long job: a bar on a terminal, a line every few seconds elsewhere. Written to standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 5.0
ADVANCE_BY = 50  # a bar drawn for every event would cost more than playing it


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Give a function to call once for every piece of work done; `total` None where nobody knows."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(title, total=total)
            yield _counting(ADVANCE_BY, lambda done: bar.update(task, completed=done))
    else:
        yield _lines(title, total)


def _counting(every: int, show: Callable[[int], None]) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if done % every == 0 or done == 1:
            show(done)

    return advance


def _lines(title: str, total: int | None) -> Callable[[], None]:
    next_at = time.monotonic() + LINE_EVERY_S

    def show(done: int) -> None:
        nonlocal next_at
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + LINE_EVERY_S
            of_total = f" of {total:,} ({100 * done / total:.0f} %)" if total else ""
            sys.stderr.write(f"{title}: {done:,}{of_total}\n")
            sys.stderr.flush()

    return _counting(ADVANCE_BY, show)
