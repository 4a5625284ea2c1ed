"""These tests are of the checked build alone: `make engine-checks`."""

from pathlib import Path

import pytest

import engine.matching.shard
from tests.checked.allocator import Allocator

ENGINE = Path(engine.matching.shard.__file__)


def is_checked() -> bool:
    """Whether the engine of this process is one that AddressSanitizer looks after."""
    return b"__asan_report_load8" in ENGINE.read_bytes()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    kind = "AddressSanitizer, UndefinedBehaviorSanitizer, counted allocations" if is_checked() else "an ordinary build"
    terminalreporter.write_line(f"the engine under test: {ENGINE} ({kind})")


@pytest.fixture(scope="session", autouse=True)
def _checked_build() -> None:
    assert is_checked(), f"{ENGINE} is no checked build: these tests are run by `make engine-checks`"


@pytest.fixture(scope="session")
def allocator() -> Allocator:
    """The engine's own."""
    return Allocator(ENGINE)
