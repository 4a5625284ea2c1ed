"""The checked build is what it says: a throw-away extension, built by the same setup.py, is caught at every fault."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checked.conftest import ENGINE

ROOT = Path(__file__).parents[2]


def _run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); import faults\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the extension `faults`."""
    folder = tmp_path_factory.mktemp("faults")
    for name, target in {
        "setup.py": "setup.py",
        "tests/checked/allocations.c": "tests/checked/allocations.c",
        "tests/checked/faults.pyx": "engine/matching/faults.pyx",
    }.items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / target)
    environment = {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "PYTHONPATH")}
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext"],
        env={**environment, "ENGINE_CHECKS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return next((folder / "build/checked/lib/engine/matching").glob("faults*.so")).parent


def test_the_engine_under_test_is_the_checked_build() -> None:
    assert ENGINE.is_relative_to(ROOT / "build/checked/lib")
    program = ENGINE.read_bytes()
    for mark in (b"__asan_report_load8", b"__ubsan_handle_mul_overflow", b"Out of bounds on buffer access"):
        assert mark in program
    libraries = Path("/proc/self/maps").read_text()
    assert "libasan" in libraries and "libubsan" in libraries and str(ENGINE) in libraries


@pytest.mark.parametrize(
    ("fault", "report"),
    [
        ("read_beyond_the_end(8)", "heap-buffer-overflow"),
        ("use_after_free(8)", "heap-use-after-free"),
        ("overflow(2**62)", "signed integer overflow"),
        ("shift_too_far(64)", "shift exponent 64 is too large"),
        ("read_null(1)", "null pointer"),
        ("index_beyond_the_buffer(bytes(4), 4)", "IndexError: Out of bounds on buffer access"),
    ],
)
def test_a_fault_on_purpose_ends_the_process_with_a_report(faults: Path, fault: str, report: str) -> None:
    ended = _run(faults, f"faults.{fault}; print('went on')")
    assert ended.returncode != 0
    assert report in ended.stderr
    assert "went on" not in ended.stdout


def test_a_block_that_is_forgotten_is_counted(faults: Path) -> None:
    code = (
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from tests.checked.allocator import Allocator\n"
        "allocator = Allocator(Path(faults.__file__))\n"
        "before = allocator.blocks_live()\n"
        "faults.forget(8)\n"
        "print(allocator.blocks_live() - before)\n"
        "with allocator.failing(1):\n"
        "    print(faults.forget(8), faults.forget(8))\n"
    )
    ended = _run(faults, code)
    assert (ended.returncode, ended.stdout) == (0, "1\nFalse True\n"), ended.stderr


def test_what_is_no_fault_is_not_reported(faults: Path) -> None:
    ended = _run(faults, "print(faults.no_fault(2**62))")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{2**62 + 1}\n", "")
