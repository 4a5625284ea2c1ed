"""A real exchange in a process of its own, for tests that start, kill and restart it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 60


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class ApiClient:
    """A small synchronous client of the API at ``url``."""

    url: str

    @property
    def urls(self) -> list[str]:
        """Of every process that serves the API."""
        return [self.url]

    def call(
        self, method: str, path: str, body: Any = None, token: str | None = None, *, raw: bytes | None = None,
        headers: dict[str, str] | None = None, timeout_s: float = 15, url: str | None = None,
    ) -> tuple[int, Any]:  # fmt: skip
        """Return (status, decoded JSON body, or text) of one request."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request((url or self.url) + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, _decoded(answer.read(), answer.headers.get("Content-Type", ""))
        except urllib.error.HTTPError as error:
            return error.code, _decoded(error.read(), error.headers.get("Content-Type", ""))

    def trader(
        self, username: str, funds: dict[str, str] | None = None, password: str = "correct horse battery"
    ) -> str:
        """Register an account with demo money and return its access token."""
        status, answer = self.call("POST", "/api/v1/auth/register", {"username": username, "password": password})
        assert status == 201, answer
        token: str = answer["access_token"]
        for asset, amount in (funds or {}).items():
            status, answer = self.call("POST", "/api/v1/faucet", {"asset": asset, "amount": amount}, token)
            assert status == 201, answer
        return token


class ExchangeServer(ApiClient):
    """`exchange serve` with a home directory of its own. Start, kill and start again as often as needed."""

    def __init__(self, *, demo: bool = False, environ: dict[str, str] | None = None) -> None:
        # Not pytest's tmp_path: the server's unprivileged user must be able to pass through.
        self.home = Path(tempfile.mkdtemp(prefix="exchange-home-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.demo = demo
        self.environ = {"EXCHANGE_HOME": str(self.home), **(environ or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = self.home.with_suffix(".log")

    def start(self, *, wait: bool = True, crash_at: str | None = None) -> "ExchangeServer":
        """``crash_at``: a step of `tests/support/crash_at.py` and its passage, at which the process kills itself."""
        environ = {**os.environ, "EXCHANGE_PORT": str(self.port), **self.environ}
        program = ["tests.support.crash_at", crash_at] if crash_at else ["exchange.cli.main"]
        arguments = [sys.executable, "-m", *program, "serve", *(["--demo"] if self.demo else [])]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(arguments, env=environ, stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the exchange ended with {self.process.returncode}:\n{self.log()[-4000:]}")
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.05)
        raise AssertionError(f"the exchange was not ready within {timeout_s} s:\n{self.log()[-4000:]}")

    def kill(self) -> None:
        """kill -9 of the exchange's process alone."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Stop as Ctrl-C does, and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def close(self) -> None:
        """Stop and remove everything."""
        if self.process is not None:
            self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        self.log_path.unlink(missing_ok=True)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def demo_password(self) -> str:
        return self._secret("DEMO_PASSWORD")

    @property
    def jwt_secret(self) -> str:
        return self._secret("JWT_SECRET")

    def _secret(self, name: str) -> str:
        secrets: dict[str, str] = json.loads((self.home / "secrets.json").read_text())
        return secrets[name]

    def recovered_digest(self) -> tuple[int, str]:
        """(sequence, digest) that the last start recovered to, from its log."""
        found = re.findall(r"recovered at sequence (\d+): .* digest ([0-9a-f]{16})", self.log())
        assert found, self.log()[-2000:]
        sequence, digest = found[-1]
        return int(sequence), digest


def _decoded(body: bytes, content_type: str) -> Any:
    return json.loads(body) if "json" in content_type and body else body.decode(errors="replace")
