"""The allocator of a checked extension (allocations.c), from Python."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Allocator:
    """What an extension has allocated; `failing` makes one allocation of it fail."""

    def __init__(self, extension: Path) -> None:
        library = ctypes.CDLL(str(extension))  # the one that is loaded already
        self._blocks_live = library.engine_blocks_live
        self._fail_allocation = library.engine_fail_allocation
        self._blocks_live.restype = self._fail_allocation.restype = ctypes.c_long
        self._fail_allocation.argtypes = [ctypes.c_long]

    def blocks_live(self) -> int:
        """The number of blocks that the extension holds, once Python has dropped what nobody refers to."""
        gc.collect()
        return int(self._blocks_live())

    @contextmanager
    def failing(self, number: int) -> Iterator[None]:
        """Within, the extension's allocation of this number (from 1 on) fails, if there are so many."""
        self._fail_allocation(number)
        try:
            yield
        finally:
            self._fail_allocation(0)
