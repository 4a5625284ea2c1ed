from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Generic, TypeVar

Entry = TypeVar("Entry")

ALONE: int
JOINED: int
LINKED: int

class Answer(Generic[Entry]):
    """What becomes of a command: its entry once that is durable, or why it has none.

    ``follows``: how it follows the one that was submitted before it; JOINED is durable in one commit with it, and
    LINKED names the order that it places, too.
    """

    command: bytearray | None  # until that
    follows: int
    def __init__(self, command: bytearray = ..., follows: int = ...) -> None: ...
    @staticmethod
    def of(entry: Entry) -> Answer[Entry]:
        """One that is known already."""
    def done(self) -> bool:
        """Whether it is known."""
    @property
    def entry(self) -> Entry | None:
        """None where it is not known, or there is none."""
    @property
    def failed(self) -> bool:
        """Whether it is known that there is none, or will never be known."""
    def then(self, call: Callable[[Answer[Entry]], None]) -> None:
        """Call when it is known, in the order of the commands: a commit's all in one turn of the loop."""
    @property
    def context(self) -> Any:
        """What it was handed over with, until the receiver has taken it."""
    def hand_to(self, receiver: Callable[[list[Answer[Entry]]], None], context: Any) -> None:
        """Do the same for a receiver who takes several: those that follow each other in a commit in one call."""
    def taken(self) -> tuple[Entry, bool]:
        """Return (entry, False), where it is known. Raises why there is none."""
    async def result(self) -> tuple[Entry, bool]:
        """Return the same once it is known. Who goes away takes nothing along."""
    async def wait(self) -> None:
        """Return when it is known. Raises nothing."""
    def __await__(self) -> Generator[Any, None, Entry]: ...

def deliver(answers: Sequence[Answer[Entry]], entries: Sequence[Entry]) -> None:
    """Make known what became of commands that are durable; one that is known already stays as it is."""

def fail(answers: Iterable[Answer[Entry]], error: Exception) -> None:
    """Make known that they have no entries, or that it will not be known."""

def stamp(answers: Sequence[Answer[Entry]], sequence: int, timestamp_ns: int) -> bytes:
    """Write into the commands what the sequencer decides, and return their records, one after the other.

    ``sequence``: the one before the first. Raises ValueError for what is no record.
    """

def split(commands: bytes, events: bytes, make: Callable[[int, bytes, bytes], Entry]) -> list[Entry]:
    """Return an entry a stamped record, made of (sequence, command, its share of the events). One may have caused none.

    Raises ValueError for what is no record.
    """
