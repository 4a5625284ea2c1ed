"""The yardstick of a call from Python: a METH_FASTCALL function that does nothing with its arguments (empty_call.c)."""

import os
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, cast

SOURCE = Path(__file__).with_name("empty_call.c")
CALLS = 200_000


@cache
def empty() -> Callable[..., None]:
    """The function, compiled once into the system's temporary directory."""
    name = f"empty_call{sysconfig.get_config_var('EXT_SUFFIX')}"
    built = Path(tempfile.mkdtemp(prefix="exchange-empty-call-")) / name
    include = sysconfig.get_path("include")
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", f"-I{include}", str(SOURCE), "-o", str(built)], check=True)
    spec = spec_from_file_location("empty_call", built)
    assert spec is not None and spec.loader is not None
    module: Any = module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast(Callable[..., None], module.empty)


def empty_call_ns() -> float:
    """Processor time of one call in a loop, the loop included: the least of five rounds."""
    return min(_round() for _ in range(5))


def _round() -> float:
    function = empty()
    numbers = range(CALLS)
    started = time.process_time_ns()
    for number in numbers:
        function(number, 1, 20_000, 100, 1)
    return (time.process_time_ns() - started) / CALLS
