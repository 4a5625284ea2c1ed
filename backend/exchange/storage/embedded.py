"""The embedded PostgreSQL: a durable server of one's own in the home directory, with nothing to install or configure.

    Exchange ── pipe ──> guard ──> postgres          home/postgres          data
       │                                             home/postgres-socket   Unix socket, private
       └── flock on home/exchange.lock               home/postgres.log      log

The server listens on no network, asks everyone for a password (SCRAM-SHA-256), and never outlives the Exchange that
started it: the guard (`embedded_guard.py`) ends it when Exchange stops or dies in any way.
"""

import fcntl
import os
import subprocess
import sys
import time
import weakref
from pathlib import Path
from urllib.parse import quote

from exchange.storage import embedded_guard
from exchange.storage.embedded_account import (
    EmbeddedPostgresError,
    ServerAccount,
    choose_account,
    let_account_pass,
    server_environment,
)
from exchange.storage.embedded_binaries import find_binaries
from exchange.storage.embedded_cluster import DATABASE, ROLE, end_stray_server, ensure_cluster
from exchange.storage.embedded_socket import PORT, accepts_connections, private_socket_directory

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

#: Durability is not for sale: fsync, full_page_writes and synchronous_commit are on. Memory, connections, write-ahead
#: log and temporary files are bounded for a small machine.
SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "max_connections": "60",
    "shared_buffers": "128MB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "min_wal_size": "128MB",
    "max_wal_size": "512MB",
    "wal_init_zero": "off",  # to fill a new file of the log with zeros holds every commit for 50 to 90 ms
    "max_slot_wal_keep_size": "1GB",
    "temp_file_limit": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "logging_collector": "off",
}
if sys.platform == "linux":
    # Pages that the tables' writer leaves to the system until a checkpoint hold commits when they go to the disk.
    SERVER_SETTINGS["backend_flush_after"] = "256kB"
if sys.platform == "darwin":
    # A plain fsync leaves the data in the drive's cache there.
    SERVER_SETTINGS["wal_sync_method"] = "fsync_writethrough"
_LOG_TAIL_LINES = 20


class EmbeddedPostgres:
    """One PostgreSQL server for one home directory. Not safe for use by several threads at once.

    home: the installation's directory, made if missing. password: of the database role `exchange`; it is set when the
    data directory is made and must stay the same from then on. Raises ValueError for a password that is empty or has
    control characters.
    """

    def __init__(self, home: Path, password: str) -> None:
        if not password or not password.isprintable():
            raise ValueError("the database password must have at least one character and printable characters only")
        self.home = home.expanduser().resolve()
        self._password = password
        self._data_directory = self.home / "postgres"
        self._log_path = self.home / "postgres.log"
        self._socket_directory: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._lifeline: int | None = None
        _instances.add(self)

    @property
    def running(self) -> bool:
        """Whether the server this object started is up: false before start, after stop, and once it died."""
        return self._guard is not None and self._guard.poll() is None

    def start(self, timeout_s: float = 30) -> str:
        """Start the server, making its data directory first if need be, and return its DATABASE_URL once it accepts
        connections; the URL suits asyncpg, and SQLAlchemy with `postgresql+asyncpg` for its scheme.

        A server that a killed Exchange left shutting down is waited for. On a running server only the URL is returned.
        timeout_s bounds the server's start, recovery after a crash included. Raises EmbeddedPostgresError: another
        instance has the home, no usable programs, data of another major version, or a server that does not come up
        (the message ends with its log's tail). After an error nothing is left running or locked.
        """
        if self.running:
            return self._own_url()
        self.stop()
        try:
            self._take_home()
            account = choose_account(self.home, self._data_directory)
            let_account_pass(self.home, account)
            binaries = find_binaries(self.home, account)
            self._socket_directory = private_socket_directory(self.home, account)
            end_stray_server(self._data_directory, self._socket_directory)
            ensure_cluster(self._data_directory, binaries, account, self._password)
            self._launch(binaries, account, time.monotonic() + timeout_s)
        except BaseException:
            self.stop()
            raise
        return self._own_url()

    def url_of_running(self) -> str | None:
        """Return the DATABASE_URL of the home's server, whoever started it; None where none accepts connections."""
        try:
            lines = (self._data_directory / "postmaster.pid").read_text().splitlines()
            socket_directory = Path(lines[4])
        except (OSError, IndexError):
            return None
        return self._url(socket_directory) if accepts_connections(socket_directory, ROLE, DATABASE) else None

    def stop(self, timeout_s: float = 20) -> None:
        """Stop the server and release the home. Connected clients are disconnected and their open transactions rolled
        back; what was committed stays. Does nothing when already stopped.

        Raises EmbeddedPostgresError when the server is not gone after timeout_s seconds; the guard goes on ending it.
        """
        self._close_lifeline()
        if self._guard is not None:
            try:
                self._guard.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise EmbeddedPostgresError(
                    f"PostgreSQL did not stop within {timeout_s:g} s; see {self._log_path}"
                ) from None
            self._guard = None
            if self._socket_directory is not None:
                end_stray_server(self._data_directory, self._socket_directory)
        if self._socket_directory is not None and self._socket_directory.parent != self.home:
            _remove_if_empty(self._socket_directory)
        self._socket_directory = None
        self._release_home()

    def _own_url(self) -> str:
        assert self._socket_directory is not None
        return self._url(self._socket_directory)

    def _url(self, socket_directory: Path) -> str:
        host = quote(str(socket_directory), safe="/")
        return f"postgresql://{ROLE}:{quote(self._password, safe='')}@/{DATABASE}?host={host}&port={PORT}"

    def _take_home(self) -> None:
        """Make the home if missing and lock it for this process; the kernel unlocks it when the process ends."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._open_in_home("exchange.lock")
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The home directory {self.home} cannot be used: {error.strerror}. "
                "Set EXCHANGE_HOME to a directory you may write in."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise EmbeddedPostgresError(
                f"Another Exchange (process {holder}) is using {self.home}. "
                "Stop it, or set EXCHANGE_HOME to another directory for this one."
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _open_in_home(self, name: str, extra_flags: int = 0) -> int:
        """Open a private file of the home for reading and writing, made if missing; it belongs to the home's owner, so
        that a start by root does not lock the owner out."""
        path = self.home / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | extra_flags, 0o600)
        if os.geteuid() == 0:
            os.fchown(descriptor, os.stat(self.home).st_uid, -1)
        return descriptor

    def _release_home(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _close_lifeline(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def _launch(self, binaries: Path, account: ServerAccount, deadline: float) -> None:
        """Start guard and server and wait until the server accepts connections."""
        log_start = self._start_guard(binaries, account)
        pause_s = 0.01
        while self.running and time.monotonic() < deadline:
            if self._ready():
                return
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.1)
        assert self._guard is not None
        ended = self._guard.poll()
        problem = "is not ready in time" if ended is None else f"ended while starting (exit code {ended})"
        raise EmbeddedPostgresError(f"PostgreSQL {problem}. The end of {self._log_path}:\n{self._log_tail(log_start)}")

    def _start_guard(self, binaries: Path, account: ServerAccount) -> int:
        """Start a guard with its server; returns the log's size before, where this server's lines begin."""
        quoted_directory = str(self._socket_directory).replace('"', '""')
        settings = SERVER_SETTINGS | {"unix_socket_directories": f'"{quoted_directory}"'}
        server = [str(binaries / "postgres"), "-D", str(self._data_directory)]
        for name, value in settings.items():
            server += ["-c", f"{name}={value}"]
        credentials = [str(account.uid), str(account.gid)] if account.dropped else ["-", "-"]
        guard = [sys.executable, "-I", "-S", embedded_guard.__file__, str(self._log_path), *credentials]
        log = self._open_in_home(self._log_path.name, os.O_APPEND)
        lifeline, self._lifeline = os.pipe()
        try:
            log_start = os.fstat(log).st_size
            self._guard = subprocess.Popen(
                [*guard, *server],
                stdin=lifeline,
                stdout=log,
                stderr=log,
                cwd="/",
                env=server_environment(),
                start_new_session=True,
            )
        finally:
            os.close(lifeline)
            os.close(log)
        return log_start

    def _ready(self) -> bool:
        """Whether the server accepts connections. Its own status is read first, because one refused for coming too
        early is a line in the log."""
        assert self._socket_directory is not None
        try:
            status = (self._data_directory / "postmaster.pid").read_text()
        except FileNotFoundError:
            return False
        return "\nready" in status and accepts_connections(self._socket_directory, ROLE, DATABASE)

    def _log_tail(self, start: int) -> str:
        """The last lines that this start has written to the log."""
        with open(self._log_path, "rb") as log:
            log.seek(start)
            lines = log.read(1 << 20).decode(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    def _forget_in_forked_child(self) -> None:
        """A child forked without exec must keep neither the home locked nor the server alive after its parent."""
        self._close_lifeline()
        self._release_home()
        self._guard = None


def _remove_if_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        return


_instances: weakref.WeakSet[EmbeddedPostgres] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for instance in list(_instances):
        instance._forget_in_forked_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
