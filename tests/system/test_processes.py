"""Starting, stopping, dying: nothing is left behind that a next start would trip over."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.support.books import check_books
from tests.support.server import ExchangeServer

EXCHANGE = [sys.executable, "-m", "exchange.cli.main"]


@pytest.fixture
def demo_exchange() -> Iterator[ExchangeServer]:
    server = ExchangeServer(demo=True)
    try:
        yield server.start()
    finally:
        server.close()


def descendants(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def wait_gone(processes: list[psutil.Process], timeout_s: float = 20) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    return alive


def until(what: str, condition: Any, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout_s} s"
        time.sleep(0.1)


def test_the_demo_market_lives_and_its_login_works(demo_exchange: ExchangeServer) -> None:
    def two_sided() -> bool:
        _, depth = demo_exchange.call("GET", "/api/v1/markets/BTC-USD/depth")
        return bool(depth["bids"] and depth["asks"])

    def traded() -> bool:
        _, trades = demo_exchange.call("GET", "/api/v1/markets/BTC-USD/trades")
        return bool(trades["items"])

    until("a two-sided book", two_sided)
    until("a trade", traded)
    credentials = {"username": "demo", "password": demo_exchange.demo_password()}
    status, session = demo_exchange.call("POST", "/api/v1/auth/login", credentials)
    assert status == 200
    _, balances = demo_exchange.call("GET", "/api/v1/balances", token=session["access_token"])
    assert {item["asset"] for item in balances["items"]} == {"USD", "BTC", "ETH"}
    assert f"demo / {demo_exchange.demo_password()}" in demo_exchange.log()


def test_ctrl_c_stops_everything_and_the_robots_take_their_quotes_with_them(demo_exchange: ExchangeServer) -> None:
    assert demo_exchange.process is not None
    until("robots", lambda: "trading BTC/USD" in demo_exchange.log())
    time.sleep(2)
    family = descendants(demo_exchange.process)
    assert demo_exchange.stop() == 0
    assert wait_gone(family) == []
    demo_exchange.demo = False
    demo_exchange.start()
    _, depth = demo_exchange.call("GET", "/api/v1/markets/BTC-USD/depth")
    assert depth["bids"] == depth["asks"] == []


def test_kill_9_leaves_no_orphan_and_no_lock(demo_exchange: ExchangeServer) -> None:
    assert demo_exchange.process is not None
    until("robots", lambda: "trading BTC/USD" in demo_exchange.log())
    family = descendants(demo_exchange.process)
    assert len(family) >= 3, "a database, its guard and the robots"
    demo_exchange.kill()
    demo_exchange.start()
    assert wait_gone(family) == []


def test_a_database_that_dies_is_started_again_and_recovered_from(own_exchange: ExchangeServer) -> None:
    assert own_exchange.process is not None
    token = own_exchange.trader("ann", {"USD": "1000"})
    backends = [p for p in descendants(own_exchange.process) if p.name() == "postgres"]
    min(backends, key=lambda process: process.create_time()).kill()
    gift = ("POST", "/api/v1/faucet", {"asset": "USD", "amount": "1"}, token)
    until("a refusal", lambda: own_exchange.call("GET", "/readyz")[0] == 503)
    until("recovery", lambda: own_exchange.call(*gift, timeout_s=30)[0] == 201)
    check_books(own_exchange)
    _, balances = own_exchange.call("GET", "/api/v1/balances", token=token)
    assert [item["available"] for item in balances["items"]] == ["1001"]
    status, health = own_exchange.call("GET", "/api/v1/health")
    assert (status, health["status"], health["role"]) == (200, "ok", "leader")


def test_a_second_start_on_the_same_home_says_who_has_it(own_exchange: ExchangeServer) -> None:
    environ = {**os.environ, "EXCHANGE_HOME": str(own_exchange.home), "EXCHANGE_PORT": "0"}
    second = subprocess.run([*EXCHANGE, "serve"], env=environ, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert str(own_exchange.process.pid) in second.stderr if own_exchange.process else False
    assert "Traceback" not in second.stderr


def test_a_taken_port_is_named() -> None:
    first = ExchangeServer()
    second = ExchangeServer()
    second.port = first.port
    try:
        first.start()
        second.start(wait=False)
        assert second.process is not None
        assert second.process.wait(60) == 1
        assert f"cannot listen on 127.0.0.1:{first.port}" in second.log()
        assert "EXCHANGE_PORT" in second.log()
        assert "Traceback" not in second.log()
    finally:
        second.close()
        first.close()


def test_production_refuses_to_start_without_secrets() -> None:
    environ = {**os.environ, "EXCHANGE_ENV": "production", "JWT_SECRET": "", "DATABASE_URL": ""}
    refused = subprocess.run([*EXCHANGE, "serve"], env=environ, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert "JWT_SECRET" in refused.stderr and "DATABASE_URL" in refused.stderr and "openssl rand" in refused.stderr


def test_reset_asks_refuses_while_running_and_removes_everything(own_exchange: ExchangeServer) -> None:
    environ = {**os.environ, "EXCHANGE_HOME": str(own_exchange.home)}

    def reset(answer: str, *options: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*EXCHANGE, "reset", *options], env=environ, input=answer, capture_output=True, text=True, timeout=60
        )

    running = reset("y\n")
    assert running.returncode == 1 and "stop it first" in running.stderr
    own_exchange.stop()
    assert reset("n\n").returncode == 1
    assert (own_exchange.home / "secrets.json").exists()
    assert reset("", "--yes").returncode == 0
    assert not own_exchange.home.exists() or not any(own_exchange.home.iterdir())


def test_terminating_while_it_starts_leaves_nothing() -> None:
    exchange = ExchangeServer()
    try:
        exchange.start(wait=False)
        assert exchange.process is not None
        time.sleep(0.8)
        family = descendants(exchange.process)
        exchange.process.send_signal(signal.SIGTERM)
        exchange.process.wait(30)
        assert wait_gone(family) == []
        exchange.start()
    finally:
        exchange.close()
