"""Running an exchange from outside: `exchange admin`, and two admins whose exchange is killed between their decision
and its execution."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import asyncpg
import pytest

from exchange.installation.secrets import installation_secrets
from exchange.storage.embedded import EmbeddedPostgres
from tests.support.server import ApiClient, ExchangeServer

PASSWORD = "correct horse battery"
ORDER = {"symbol": "BTC/USD", "side": "Buy", "quantity": "0.1", "price": "100.00"}
DEADLINE_S = 60


def admin(
    exchange: ExchangeServer, *arguments: str, token: str | None = None, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `exchange admin`."""
    command = [sys.executable, "-m", "exchange.cli.main", "admin", "--url", exchange.url, *arguments]
    environ = {**os.environ, **exchange.environ, "EXCHANGE_ADMIN_TOKEN": token or ""}
    if token is None:
        del environ["EXCHANGE_ADMIN_TOKEN"]
    return subprocess.run(
        command, env=environ, input=typed, capture_output=True, text=True, timeout=120, check=False,
        start_new_session=True,  # nobody to ask for a password but standard input
    )  # fmt: skip


def answered(exchange: ExchangeServer, token: str, *arguments: str) -> Any:
    done = admin(exchange, "--json", *arguments, token=token)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def eventually(what: Callable[[], Any]) -> Any:
    """Return what is asked for once it is there."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def granted(exchange: ExchangeServer, name: str) -> str:
    """Register a user, make them an admin, and return their access token once that is known."""
    token = exchange.trader(name)
    done = admin(exchange, "grant", name)
    assert (done.returncode, done.stdout) == (0, f"{name} is an admin\n"), done.stderr
    for url in exchange.urls:
        eventually(lambda url=url: exchange.call("GET", "/api/v1/admin/assets", token=token, url=url)[0] == 200)
    return token


def test_an_admin_runs_an_exchange_from_the_command_line(exchange_server: ExchangeServer) -> None:
    exchange = exchange_server
    trader = exchange.trader("line-trader", {"USD": "10000"})
    assert admin(exchange, "users", "list", token=trader).stderr.startswith("Error: ADMIN_ONLY: ")
    token = granted(exchange, "line-admin")
    answered(exchange, token, "assets", "create", "LINE", "--scale", "6")
    made = answered(
        exchange, token, "markets", "create", "LINE/USD", "--tick-size", "0.01", "--lot-size", "0.001",
        "--maker-fee", "0", "--taker-fee", "0.002", "--open-orders-max", "9", "--mode", "halted",
    )  # fmt: skip
    assert (made["symbol"], made["mode"], made["open_orders_max"]) == ("LINE/USD", "Halted", 9)
    order = ORDER | {"symbol": "LINE/USD"}
    # Where roles run apart, another process hears of the market a moment later.
    eventually(lambda: exchange.call("POST", "/api/v1/orders", order, trader)[1]["reason"] == "MARKET_HALTED")
    changed = answered(exchange, token, "markets", "change", "LINE-USD", "--open-orders-max", "none")
    assert changed["open_orders_max"] is None
    opened = answered(exchange, token, "markets", "mode", "LINE/USD", "open", "--reason", "launch")
    assert opened["mode"] == "Open"
    status, placed = exchange.call("POST", "/api/v1/orders", order, trader)
    assert (status, placed["status"]) == (201, "Open"), placed
    cancelled = answered(exchange, token, "users", "cancel-orders", "line-trader", "--reason", "drill")
    assert cancelled["orders_cancelled"] == 1
    frozen = answered(exchange, token, "users", "freeze", "Line-Trader", "--reason", "drill")
    assert frozen["frozen_at"]
    eventually(lambda: exchange.call("POST", "/api/v1/orders", order, trader)[1].get("reason") == "ACCOUNT_FROZEN")
    refused = admin(exchange, "markets", "change", "LINE/USD", "--maker-fee", "0.5", token=token)
    assert refused.returncode == 1
    assert "FIELD_INVALID: maker_fee must be at most 0.1 (nearest valid: 0.1)" in refused.stderr
    shown = admin(exchange, "audit-log", "show", "--action", "market.set_mode")
    words = shown.stdout.splitlines()[-1].split()
    assert {"line-admin", "market.set_mode", "Done"} <= set(words), shown.stdout


def test_an_admin_logs_in_by_password_and_is_none_once_revoked(exchange_server: ExchangeServer) -> None:
    exchange = exchange_server
    token = granted(exchange, "typing-admin")
    logged_in = admin(exchange, "--username", "typing-admin", "login", typed=f"{PASSWORD}\n")
    assert logged_in.returncode == 0, logged_in.stderr
    assert answered(exchange, logged_in.stdout.strip(), "users", "list", "--role", "admin")["items"]
    listed = admin(exchange, "--username", "typing-admin", "assets", "list", typed=f"{PASSWORD}\n")
    assert listed.stdout.split()[:2] == ["NAME", "SCALE"], listed.stderr
    _, sessions = exchange.call("GET", "/api/v1/auth/sessions", token=token)
    assert len(sessions["items"]) == 2, "that of one command ends with it"
    wrong = admin(exchange, "--username", "typing-admin", "assets", "list", typed="wrong-wrong-wrong\n")
    assert "CREDENTIALS_INVALID" in wrong.stderr
    assert admin(exchange, "revoke", "Typing-Admin").returncode == 0
    for url in exchange.urls:
        eventually(lambda url=url: exchange.call("GET", "/api/v1/admin/assets", token=token, url=url)[0] == 403)
    assert admin(exchange, "grant", "nobody-there").stderr == "Error: there is no user nobody-there\n"


def test_the_command_line_verifies_the_audit_log_and_names_the_first_broken_row(own_exchange: ExchangeServer) -> None:
    exchange = own_exchange
    for name in ("first", "second", "third"):
        granted(exchange, name)
    whole = admin(exchange, "audit-log", "verify")
    assert (whole.returncode, whole.stdout[:21]) == (0, "whole: 3 rows, head 3"), whole.stderr
    head = whole.stdout.split()[-1]
    assert admin(exchange, "audit-log", "verify", "--expect-head", head).returncode == 0
    assert admin(exchange, "audit-log", "verify", "--expect-head", "three").returncode == 2

    async def tamper(statement: str) -> None:
        connection = await asyncpg.connect(database_of(exchange))
        await connection.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
        await connection.execute(statement)
        await connection.close()

    asyncio.run(tamper("DELETE FROM audit_log WHERE sequence = 3"))
    assert admin(exchange, "audit-log", "verify").returncode == 0, "what is left is whole"
    gone = admin(exchange, "audit-log", "verify", "--expect-head", head)
    assert (gone.returncode, gone.stderr.splitlines()[0][:16]) == (1, "broken at row 3:")
    asyncio.run(tamper("UPDATE audit_log SET actor = 'somebody else' WHERE sequence = 2"))
    broken = admin(exchange, "audit-log", "verify")
    assert (broken.returncode, broken.stderr.splitlines()[0]) == (1, "broken at row 2: row 2 is not what was sealed")


def database_of(exchange: ExchangeServer) -> str:
    server = EmbeddedPostgres(exchange.home, installation_secrets(exchange.home)["POSTGRES_PASSWORD"])
    url = server.url_of_running()
    assert url is not None
    return url.replace("postgresql+asyncpg", "postgresql")


class Table:
    """A connection to the exchange's database, for a test that is no coroutine."""

    def __init__(self, exchange: ExchangeServer) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(database_of(exchange)))

    def run(self, statement: str) -> None:
        self._runner.run(self._connection.execute(statement))

    def value(self, query: str) -> Any:
        return self._runner.run(self._connection.fetchval(query))

    def close(self) -> None:
        self._runner.run(self._end())
        self._runner.close()

    async def _end(self) -> None:
        self._connection.terminate()
        await asyncio.sleep(0.1)  # the transport hears of it


@contextmanager
def tables(exchange: ExchangeServer, count: int) -> Iterator[list[Table]]:
    opened = [Table(exchange) for _ in range(count)]
    try:
        yield opened
    finally:
        for table in opened:
            table.close()


#: Where the exchange is held, as a statement, and what tells that it is there.
HELD = {
    "before the ledger has it": (
        "BEGIN; LOCK TABLE journal IN SHARE MODE",
        "SELECT status = 'Approved' FROM adjustments",
    ),
    "before it is written down": (
        "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$; "
        "CREATE TRIGGER held BEFORE UPDATE ON adjustments FOR EACH ROW WHEN (NEW.status = 'Executed') "
        "EXECUTE FUNCTION held(); SELECT pg_advisory_lock(4711)",
        "SELECT EXISTS (SELECT FROM transfers WHERE reference = 'ad:1')",
    ),
}


@pytest.mark.parametrize("place", HELD)
def test_an_approved_adjustment_is_executed_once_whenever_the_exchange_is_killed(
    own_exchange: ExchangeServer, place: str
) -> None:
    exchange = own_exchange
    alice = exchange.trader("alice", {"USD": "100"})
    ada, bob = granted(exchange, "ada"), granted(exchange, "bob")
    body = {
        "account_id": exchange.call("GET", "/api/v1/auth/me", token=alice)[1]["account_id"],
        "asset": "USD", "direction": "Credit", "amount": "12.5", "reason": "fee charged twice",
    }  # fmt: skip
    status, proposed = exchange.call("POST", "/api/v1/admin/adjustments", body, ada)
    assert (status, proposed["adjustment_id"]) == (201, "1"), proposed
    path = "/api/v1/admin/adjustments/1"
    hold, is_there = HELD[place]
    with tables(exchange, 2) as (holding, looking):
        holding.run(hold)
        approving = threading.Thread(target=_ask_until_killed, args=(exchange, f"{path}/approve", bob), daemon=True)
        approving.start()
        eventually(lambda: looking.value(is_there))
        assert looking.value("SELECT status FROM adjustments") == "Approved"
        exchange.kill()
        approving.join(DEADLINE_S)
    exchange.start()

    def executed() -> Any:
        status, found = exchange.call("GET", path, token=ada)
        return found if status == 200 and found["status"] == "Executed" else None

    done = eventually(executed)
    _, ledger = exchange.call("GET", "/api/v1/ledger?asset=USD", token=alice)
    assert [(entry["kind"], entry["available_change"]) for entry in ledger["items"]] == [
        ("Adjustment", "12.5"), ("Deposit", "100"),
    ]  # fmt: skip
    assert ledger["items"][0]["sequence"] == done["sequence"]
    status, again = exchange.call("POST", f"{path}/approve", token=bob)
    assert (status, again) == (200, done), "the answer that was lost"
    _, log = exchange.call("GET", "/api/v1/admin/audit-log", token=ada)
    told = [(row["actor"], row["action"], row["outcome"]) for row in log["items"] if "adjustment" in row["action"]]
    assert told == [
        ("exchange", "adjustment.execute", "Done"), ("bob", "adjustment.approve", "Done"),
        ("ada", "adjustment.propose", "Done"),
    ]  # fmt: skip
    assert admin(exchange, "audit-log", "verify").returncode == 0


def _ask_until_killed(exchange: ApiClient, path: str, token: str) -> None:
    with suppress(OSError):
        exchange.call("POST", path, token=token, timeout_s=DEADLINE_S)
