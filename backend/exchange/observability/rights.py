"""What this process may take of the machine: files, and of the processor only what others leave."""

import os
import resource
from contextlib import suppress
from pathlib import Path

FILES_WANTED = 16_384
_AUTOGROUP = Path("/proc/self/autogroup")


def allow_files() -> None:
    """Let this process open the files that it may need: a connection is one, a stream that others write to two.

    Many systems start a process with a soft limit of 1,024, below what the hard limit lets it ask for.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def step_back(niceness: int) -> None:
    """Have a process that leads a session of its own go behind all others, 1 to 19.

    Where Linux schedules sessions as groups (sched(7), autogroup: desktops mostly), the niceness of a process counts
    within its session only, and the session has one of its own.
    """
    os.nice(niceness)
    if _AUTOGROUP.exists():
        with suppress(OSError):  # in some containers it cannot be written
            _AUTOGROUP.write_text(str(niceness))
