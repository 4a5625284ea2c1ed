"""What results are measured in: a Python call that does nothing, a wait for memory (yardsticks.c); and their aims."""

import os
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, cast

SOURCE = Path(__file__).with_name("yardsticks.c")
CALLS = 200_000
RECORDS = 2**20  # with two slots of 4 bytes each
LOOKUPS = 200_000


@dataclass(frozen=True)
class Result:
    """A figure that lasts, mostly a ratio, beside what it should be at most, or at least."""

    name: str
    found: float
    aim: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.found >= self.aim if self.at_least else self.found <= self.aim


def print_table(results: Iterable[Result]) -> None:
    """One line a result, with its aim and whether it is met."""
    print(f"\n{'':52} {'found':>8} {'aim':>10}")
    for result in results:
        aim = f"{'>=' if result.at_least else '<='} {result.aim:g}"
        print(f"{result.name:52} {result.found:8.2f} {aim:>10}  {'met' if result.met else 'MISSED'}", flush=True)


@cache
def _compiled() -> Any:
    # The module, built once into the system's temporary directory.
    built = (
        Path(tempfile.mkdtemp(prefix="exchange-yardsticks-")) / f"yardsticks{sysconfig.get_config_var('EXT_SUFFIX')}"
    )
    include = sysconfig.get_path("include")
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", f"-I{include}", str(SOURCE), "-o", str(built)], check=True)
    spec = spec_from_file_location("yardsticks", built)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def empty() -> Callable[..., None]:
    """A METH_FASTCALL function that does nothing with its arguments."""
    return cast(Callable[..., None], _compiled().empty)


def empty_call_ns() -> float:
    """Processor time of one call in a loop, the loop included: the least of five rounds."""
    return min(_round() for _ in range(5))


def lookup_ns() -> float:
    """Processor time of what no cancel of a million can avoid: a random slot, then the 32-byte record that it names."""
    return cast(float, _compiled().lookup_ns(RECORDS, LOOKUPS))


def _round() -> float:
    function = empty()
    numbers = range(CALLS)
    started = time.process_time_ns()
    for number in numbers:
        function(number, 1, 20_000, 100, 1)
    return (time.process_time_ns() - started) / CALLS
