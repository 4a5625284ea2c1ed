"""The data directory of the embedded PostgreSQL: making it, checking it, and clearing what a killed server left."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from exchange.storage.embedded_account import EmbeddedPostgresError, ServerAccount
from exchange.storage.embedded_binaries import POSTGRES_MAJOR

ROLE = "exchange"
DATABASE = "exchange"

#: Who may connect: the role `exchange`, with its password, over the socket. Nobody else, and never without one.
HOST_BASED_AUTHENTICATION = f"""\
# TYPE  DATABASE  USER        METHOD
local   all       {ROLE}    scram-sha-256
"""

#: The patience of each step of ending a server that lost its guard: fast shutdown, immediate shutdown, the kernel.
STOP_LADDER = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))


def ensure_cluster(data_directory: Path, binaries: Path, account: ServerAccount, password: str) -> None:
    """Make the data directory if there is none, with the role and the database of ROLE and DATABASE.

    It is made under another name and renamed when complete, so a start killed halfway leaves nothing half made.
    Raises EmbeddedPostgresError when the directory holds something else, was made by another major version, or cannot
    be made; the message then has the output of the program that failed.
    """
    version_file = data_directory / "PG_VERSION"
    if version_file.exists():
        made_by = version_file.read_text().strip()
        if made_by != str(POSTGRES_MAJOR):
            raise EmbeddedPostgresError(
                f"{data_directory} was made by PostgreSQL {made_by}, and this Exchange runs PostgreSQL "
                f"{POSTGRES_MAJOR}. Move the data with pg_upgrade or pg_dump, or set EXCHANGE_HOME to a new directory."
            )
        return
    if data_directory.exists() and any(data_directory.iterdir()):
        raise EmbeddedPostgresError(
            f"{data_directory} is not empty and not a PostgreSQL data directory (it has no PG_VERSION). "
            "Move it away, or set EXCHANGE_HOME to a new directory."
        )
    unfinished = data_directory.with_name(data_directory.name + ".unfinished")
    if unfinished.exists():
        _end_programs_making(unfinished)
        shutil.rmtree(unfinished)
    make_private_directory(unfinished, account)
    _create_cluster(unfinished, binaries, account, password)
    unfinished.rename(data_directory)
    _sync_directory(data_directory.parent)


def _create_cluster(directory: Path, binaries: Path, account: ServerAccount, password: str) -> None:
    """initdb, then the role and the database in single-user mode, then one sync of everything.

    The superuser `postgres` has no password and no line in pg_hba.conf: it exists only in single-user mode. The role
    gets no more than a login and the right to create databases.
    """
    initdb = [str(binaries / "initdb"), "-D", str(directory)]
    local = ["--username=postgres", "--auth=reject", "--encoding=UTF8", "--locale=C"]
    _must_run(account, [*initdb, *local, "--no-instructions", "--no-sync"])
    _write_in_place(directory / "pg_hba.conf", HOST_BASED_AUTHENTICATION)

    single_user = [str(binaries / "postgres"), "--single", "-D", str(directory)]
    # A statement that fails ends the session, and is not repeated in the message: it has the password in it.
    for setting in (
        "exit_on_error=on",
        "log_min_error_statement=panic",
        "password_encryption=scram-sha-256",
        "fsync=off",
    ):
        single_user += ["-c", setting]
    quoted_password = password.replace("'", "''")
    statements = (
        f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{quoted_password}'",
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
    )
    _must_run(account, [*single_user, "postgres"], stdin="\n".join(statements) + "\n")
    _must_run(account, [*initdb, "--sync-only"])


def _end_programs_making(directory: Path) -> None:
    """End what a killed Exchange left at work on an unfinished data directory.

    Each program it ran leads a process group of its own, so the program goes together with its children.
    """
    programs = [
        process
        for process in psutil.process_iter(["name", "cwd", "cmdline"])
        if process.info["name"] in ("initdb", "postgres")
        and (process.info["cwd"] == str(directory) or str(directory) in (process.info["cmdline"] or []))
    ]
    for program in programs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(os.getpgid(program.pid), signal.SIGKILL)
    psutil.wait_procs(programs, timeout=STOP_LADDER[-1][1])


def _must_run(account: ServerAccount, command: Sequence[str], stdin: str = "") -> None:
    program = Path(command[0]).name
    try:
        result = account.run(command, stdin=stdin)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedPostgresError(f"{program} did not run: {error}") from error
    if result.returncode != 0:
        tail = "\n".join(result.stdout.strip().splitlines()[-20:])
        raise EmbeddedPostgresError(f"{program} failed with exit code {result.returncode}:\n{tail}")


def make_private_directory(directory: Path, account: ServerAccount) -> None:
    """Make a directory of mode 0700 that belongs to the account. Raises FileExistsError when the name is taken."""
    directory.mkdir(mode=0o700)
    if account.dropped:
        os.chown(directory, account.uid, account.gid, follow_symlinks=False)


def _write_in_place(path: Path, text: str) -> None:
    """Replace the content of an existing file, keeping its owner and mode."""
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def end_stray_server(data_directory: Path, socket_directory: Path) -> None:
    """End what still runs on the data directory, and clear lock files that would keep the next server from starting.

    The caller holds the home's lock, so anything found is left over: a server still shutting down after its Exchange
    was killed, one whose guard was killed, or busy backends of a killed server. After a clean stop there is nothing to
    do. Takes at most the sum of STOP_LADDER; raises EmbeddedPostgresError when something survives even that.
    """
    pid_file = data_directory / "postmaster.pid"
    leader = _pid_in(pid_file)
    if leader is None:
        return
    for stop_signal, patience_s in STOP_LADDER:
        strays = _processes_on(data_directory)
        if not strays:
            break
        # The leader ends its backends in order; only backends without one, or all that outlive it, are signalled.
        leaders = [stray for stray in strays if stray.pid == leader]
        _signal_all(strays if stop_signal == signal.SIGKILL or not leaders else leaders, stop_signal)
        _wait_until_gone(data_directory, patience_s)
    if survivors := _processes_on(data_directory):
        pids = ", ".join(str(process.pid) for process in survivors)
        raise EmbeddedPostgresError(f"An earlier PostgreSQL on {data_directory} cannot be ended (process {pids}).")
    # PostgreSQL takes a lock file for live when any process of its user has the pid in it, a stranger's included.
    for stale in (pid_file, *socket_directory.glob(".s.PGSQL.*")):
        stale.unlink(missing_ok=True)


def _pid_in(pid_file: Path) -> int | None:
    """The leader's pid; 0, which is nobody's, when the file is there but unreadable as one; None without a file."""
    try:
        return int(pid_file.read_text().split("\n", 1)[0])
    except FileNotFoundError:
        return None
    except ValueError:
        return 0


def _processes_on(data_directory: Path) -> list[psutil.Process]:
    """The server processes of a data directory: each has it as its working directory."""
    wanted = str(data_directory)
    return [
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["cwd"] == wanted and process.info["name"].startswith("postgres")
    ]


def _signal_all(processes: Sequence[psutil.Process], stop_signal: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(stop_signal)


def _wait_until_gone(data_directory: Path, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while _processes_on(data_directory) and time.monotonic() < deadline:
        time.sleep(0.05)
