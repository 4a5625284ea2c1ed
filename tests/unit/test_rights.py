"""What a process may take of the machine, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest


def told(program: str, *, in_a_session_of_its_own: bool = False) -> str:
    return subprocess.run(
        [sys.executable, "-c", program],
        check=True, capture_output=True, text=True, start_new_session=in_a_session_of_its_own,
    ).stdout  # fmt: skip


@pytest.mark.parametrize(("hard", "then"), [(4_096, 4_096), (18_000, 16_384)])
def test_as_many_files_may_be_open_as_are_needed_and_the_hard_limit_allows(hard: int, then: int) -> None:
    program = f"""
import resource
from exchange.observability.rights import allow_files
resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))
for _ in range(2):
    allow_files()
    print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    assert told(program) == 2 * f"({then}, {hard})\n"


def test_who_steps_back_goes_behind_other_sessions_too() -> None:
    program = """
import os, pathlib
from exchange.observability.rights import step_back
step_back(10)
print(os.nice(0), pathlib.Path("/proc/self/autogroup").exists() and pathlib.Path("/proc/self/autogroup").read_text())
"""
    niceness, autogroup = told(program, in_a_session_of_its_own=True).split(maxsplit=1)
    assert int(niceness) >= 10
    if Path("/proc/self/autogroup").exists() and "autogroup" in autogroup:
        assert autogroup.split()[-1] == "10"
