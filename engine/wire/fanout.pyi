from collections.abc import Iterable, Sequence

def step_back() -> bool:
    """Have the calling thread run only when nobody else wants the processor; return whether that could be had."""

class Fanout:
    """Writes bytes to many sockets in a thread of its own, which has the least right to the processor.

    One piece of work at a time: ``begin``, wait until ``fileno`` can be read, ``end``. Raises OSError where there is no
    thread to be had. It is for one thread, but for what it does in its own.
    """

    def __init__(self) -> None: ...
    def fileno(self) -> int:
        """A file that can be read once everything that was begun was written or cannot be."""

    @property
    def under_way(self) -> bool:
        """Whether something was begun that was not ended."""

    def begin(self, jobs: Iterable[tuple[bytes, Sequence[int]]]) -> None:
        """Write each of these bytes to these sockets, by their descriptors, which stay open until it has ended.

        Nothing waits for a socket: it takes what it has room for. Raises RuntimeError while something is under way.
        """

    def help(self) -> bool:
        """Make one write here and now; return False where there is none that nobody makes."""

    def end(self) -> tuple[list[tuple[int, int, int]], float]:
        """Return who has not got all of it, and the thread's seconds of a processor.

        Each as (the number of the job, the place of the socket in it, the bytes that were written, maybe 0). Raises
        BlockingIOError while it is under way, RuntimeError where nothing was begun.
        """

    def close(self) -> None:
        """End the thread, once it has made all writes that are under way: ``end`` tells of them still."""
