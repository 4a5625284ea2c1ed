"""What a machine, a disk and a database do to an exchange in use: refusals with a reason, nothing lost, on it goes."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from exchange.storage.embedded import EmbeddedPostgres
from tests.support.books import check_books
from tests.support.server import ExchangeServer

PAUSE_S = float(os.environ.get("EXCHANGE_FAULT_SECONDS", "10"))  # `make soak`: 60
HELD_S = 20.0  # a request is answered within, whatever is wrong, and however busy this machine is
LONG_HELD_S = 60.0  # an export or a statement is, or its refusal
ORDER = {"symbol": "BTC/USD", "side": "Buy", "price": "100.00", "quantity": "0.01", "order_type": "Limit"}


def until(what: str, condition: Callable[[], Any], timeout_s: float = 120) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {timeout_s} s"
        time.sleep(0.1)
    return found


class Flow(threading.Thread):
    """A trader that goes on placing orders, and keeps what it was told."""

    def __init__(self, exchange: ExchangeServer, token: str) -> None:
        super().__init__(daemon=True)
        self.exchange = exchange
        self._token = token
        self._enough = threading.Event()
        self.acknowledged: dict[str, str] = {}  # client order id -> order id
        self.unknown: list[str] = []
        self.refusals: list[dict[str, Any]] = []
        self.longest_s = 0.0

    def run(self) -> None:
        while not self._enough.is_set():
            self._place()
            time.sleep(0.02)

    def _place(self) -> None:
        client_order_id = uuid.uuid4().hex
        began = time.monotonic()
        try:
            status, answer = self.exchange.call(
                "POST",
                "/api/v1/orders",
                ORDER | {"client_order_id": client_order_id},
                self._token,
                timeout_s=HELD_S + 10,
            )
        except OSError:
            self.unknown.append(client_order_id)
            return
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        if status == 201:
            self.acknowledged[client_order_id] = answer["order_id"]
            return
        assert status == 503, (status, answer)
        self.refusals.append(answer)
        self.unknown.append(client_order_id)

    def finish(self) -> None:
        self._enough.set()
        self.join(HELD_S + 20)
        assert not self.is_alive()

    def check(self) -> None:
        """Everything acknowledged is there, once; what is unknown can be learned."""
        for client_order_id, order_id in self.acknowledged.items():
            status, found = self._ask(client_order_id)
            assert (status, found.get("order_id")) == (200, order_id), (client_order_id, found)
        for client_order_id in self.unknown:
            status, found = self._ask(client_order_id)
            assert status == 200 or (status, found["reason"]) == (404, "NOT_RECEIVED"), found

    def _ask(self, client_order_id: str) -> tuple[int, Any]:
        path = f"/api/v1/orders/by-client-id/{client_order_id}"
        status, found = self.exchange.call("GET", path, token=self._token)
        return status, found


@contextlib.contextmanager
def flowing(exchange: ExchangeServer, token: str) -> Iterator[Flow]:
    flow = Flow(exchange, token)
    flow.start()
    try:
        until("orders", lambda: len(flow.acknowledged) > 10)
        yield flow
    finally:
        flow.finish()


def health(exchange: ExchangeServer) -> dict[str, Any]:
    answer: dict[str, Any] = exchange.call("GET", "/api/v1/health", timeout_s=HELD_S)[1]
    return answer


def places(exchange: ExchangeServer, token: str) -> bool:
    return exchange.call("POST", "/api/v1/orders", ORDER, token, timeout_s=HELD_S + 10)[0] == 201


def proven(database_url: str) -> bool:
    """Whether the audit proves journal, ledger and all tables."""
    done = subprocess.run(
        [sys.executable, "-m", "exchange.cli.main", "audit", "replay", "--json"],
        env={**os.environ, "DATABASE_URL": database_url}, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return bool(json.loads(done.stdout)["proven"])


def rows(database_url: str, query: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(database_url)
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    return asyncio.run(fetch())


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    """A database server of the test's own."""
    home = Path(tempfile.mkdtemp(prefix="exchange-postgres-"))
    server = EmbeddedPostgres(home, secrets.token_urlsafe(16))
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def exchange_on(url: str, jwt_secret: str, *, wait: bool = True) -> Iterator[ExchangeServer]:
    exchange = ExchangeServer(environ={"DATABASE_URL": url, "JWT_SECRET": jwt_secret})
    try:
        yield exchange.start(wait=wait)
    finally:
        exchange.close()


# --- Two leaders ----------------------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_a_leader_that_stood_still_commits_nothing_any_more(postgres: EmbeddedPostgres) -> None:
    url, secret = postgres.start(), secrets.token_urlsafe(48)
    with exchange_on(url, secret) as old, exchange_on(url, secret, wait=False) as new:
        until("a standby", lambda: "standing by" in new.log())
        token = old.trader("ann", {"USD": "1000000"})
        with flowing(old, token) as flow:
            assert old.process is not None
            old.process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            try:
                new.wait_ready()
                with flowing(new, token) as newer:
                    until("the pause to pass", lambda: time.monotonic() - began > PAUSE_S)
                    old.process.send_signal(signal.SIGCONT)
                    until("the old one to see it", lambda: old.call("GET", "/readyz")[0] == 503)
            finally:
                old.process.send_signal(signal.SIGCONT)
        assert flow.refusals, "it was told that it does not lead"
        for told in (flow, newer):
            told.exchange = new
            told.check()
        epochs = [row["epoch"] for row in rows(url, "SELECT epoch FROM journal ORDER BY sequence")]
        assert epochs == sorted(epochs) and len(set(epochs)) == 2, "what the old one had not committed, it never did"
        assert new.call("GET", "/api/v1/health")[1]["role"] == "leader"
    assert proven(url)


# --- Postgres stands still, or is away ------------------------------------------------------------------------------


def postgres_of(exchange: ExchangeServer) -> list[psutil.Process]:
    assert exchange.process is not None
    children = psutil.Process(exchange.process.pid).children(recursive=True)
    return [child for child in children if child.name() == "postgres"]


@contextlib.contextmanager
def standing_still(exchange: ExchangeServer) -> Iterator[None]:
    stopped = postgres_of(exchange)
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            process.resume()


@pytest.mark.timeout(600)
def test_a_database_that_stands_still_holds_requests_within_a_bound(own_exchange: ExchangeServer) -> None:
    token = own_exchange.trader("ann", {"USD": "100000"})
    with flowing(own_exchange, token) as flow:
        with standing_still(own_exchange):
            until("a refusal", lambda: flow.refusals)
            assert {refusal["reason"] for refusal in flow.refusals} <= {"OUTCOME_UNKNOWN", "UNAVAILABLE"}
            until("health", lambda: health(own_exchange)["status"] == "down")
        until("orders again", lambda: places(own_exchange, token))
    assert flow.longest_s < HELD_S
    flow.check()
    check_books(own_exchange)


#: Reads of tables, of all kinds.
READS = (
    "auth/me", "auth/sessions", "api-keys", "account/commission", "balances", "orders", "orders/by-client-id/nobody",
    "fills", "ledger", "deposits", "withdrawals", "markets/BTC-USD/trades", "markets/BTC-USD/candles?interval=1m",
    "history/orders", "history/fills", "history/ledger",
)  # fmt: skip
#: Those that are given more time.
LONG_READS = ("history/orders.csv", "history/ledger.csv", f"history/statements/{datetime.now(UTC):%Y-%m}")


class Readers:
    """An account that asks for many things at once."""

    def __init__(self, exchange: ExchangeServer, token: str) -> None:
        self._exchange = exchange
        self.token = token

    def ask(self, paths: Sequence[str]) -> list[tuple[str, int, Any, str | None, float]]:
        """Return (path, status, reason, Retry-After, seconds until the answer) of each."""
        with ThreadPoolExecutor(len(paths)) as asking:
            return list(asking.map(self._ask, paths))

    def _ask(self, path: str) -> tuple[str, int, Any, str | None, float]:
        request = urllib.request.Request(f"{self._exchange.url}/api/v1/{path}")
        request.add_header("Authorization", f"Bearer {self.token}")
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=LONG_HELD_S + 10) as answer:
                answer.read()
                return path, answer.status, None, None, time.monotonic() - began
        except urllib.error.HTTPError as error:
            reason = json.loads(error.read())["reason"]
            return path, error.code, reason, error.headers["Retry-After"], time.monotonic() - began


def refused(answers: list[tuple[str, int, Any, str | None, float]], within_s: float) -> None:
    for path, status, reason, retry_after, seconds in answers:
        assert (status, reason) in ((503, "UNAVAILABLE"), (503, "OVERLOADED")), (path, status, reason)
        assert retry_after is not None and int(retry_after) >= 1, path
        assert seconds < within_s, (path, seconds)


@pytest.mark.timeout(600)
def test_a_database_that_stands_still_holds_reads_within_a_bound(own_exchange: ExchangeServer) -> None:
    """Those that ask it anew, with every connection it has; those that come once it is known; and all after it."""
    readers = Readers(own_exchange, own_exchange.trader("ben", {"USD": "100000"}))
    everything = READS + LONG_READS

    def answered() -> bool:
        return {status for _, status, *_ in readers.ask(everything)} == {200, 404}  # 404: the order of nobody

    until("answers", answered)
    with standing_still(own_exchange):
        began = time.monotonic()
        with ThreadPoolExecutor(1) as beside:
            exporting = beside.submit(readers.ask, LONG_READS)
            while True:  # as long as the exports are held too
                refused(readers.ask(READS), HELD_S)
                assert health(own_exchange)["status"] == "down"
                if exporting.done() and time.monotonic() - began > PAUSE_S:
                    break
            refused(exporting.result(), LONG_HELD_S)
        assert own_exchange.call("GET", "/livez")[0] == 200
    until("answers again", answered)
    until("health", lambda: health(own_exchange)["status"] == "ok")
    assert places(own_exchange, readers.token)
    check_books(own_exchange)


@pytest.mark.timeout(600)
def test_a_database_that_is_away_is_waited_for(postgres: EmbeddedPostgres) -> None:
    url = postgres.start()
    with exchange_on(url, secrets.token_urlsafe(48)) as exchange:
        token = exchange.trader("ann", {"USD": "100000"})
        with flowing(exchange, token) as flow:
            postgres.stop()
            until("a refusal", lambda: flow.refusals)
            until("health", lambda: health(exchange)["status"] == "down")
            until("not ready", lambda: exchange.call("GET", "/readyz")[0] == 503)
            time.sleep(PAUSE_S)
            assert postgres.start() == url
            until("orders again", lambda: places(exchange, token))
            until("health", lambda: health(exchange)["status"] == "ok")
        assert flow.longest_s < HELD_S
        assert {refusal["reason"] for refusal in flow.refusals} <= {"OUTCOME_UNKNOWN", "UNAVAILABLE"}
        flow.check()
    assert proven(url)


# --- The disk is full -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(path: Path) -> None:
    """Take all that is left of a disk."""
    with path.open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(bytes(64 * 1024)):
            pass


@pytest.mark.timeout(600)
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk of its own")
def test_a_full_disk_refuses_and_loses_nothing() -> None:
    exchange = ExchangeServer()
    with small_disk(exchange.home, 256):
        exchange.home.chmod(0o755)
        try:
            exchange.start()
            token = exchange.trader("ann", {"USD": "1000000"})
            with flowing(exchange, token) as flow:
                ballast = exchange.home / "ballast"
                until("a refusal", lambda: fill(ballast) or flow.refusals)
                # "down" for a second where the journal cannot grow, "degraded" for as long as the tables cannot.
                until("health", lambda: fill(ballast) or health(exchange)["status"] in ("down", "degraded"))
                told = len(flow.acknowledged)
                time.sleep(2)
                ballast.unlink()
                until("orders again", lambda: len(flow.acknowledged) > told + 10)
            assert {refusal["reason"] for refusal in flow.refusals} <= {"OUTCOME_UNKNOWN", "UNAVAILABLE"}
            assert "o space left on device" in exchange.log()
            flow.check()
            check_books(exchange)
        finally:
            exchange.close()
