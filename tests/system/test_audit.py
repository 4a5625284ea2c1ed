"""A real exchange, audited while it runs and after it was damaged."""

import asyncio
import json
import os
import subprocess
import sys
import time

from exchange.storage.embedded import EmbeddedPostgres
from tests.support.server import ExchangeServer
from tests.support.stored import tamper


def audit(exchange: ExchangeServer) -> tuple[int, dict[str, object]]:
    """(exit code, report) of `exchange audit replay` on the exchange's home."""
    environ = {**os.environ, "EXCHANGE_HOME": str(exchange.home)}
    environ.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, "-m", "exchange.cli.main", "audit", "replay", "--json"],
        env=environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def trade(exchange: ExchangeServer, token: str, times: int) -> None:
    order = {"symbol": "BTC/USD", "quantity": "0.01", "price": "50000.00", "order_type": "Limit"}
    for _ in range(times):
        for side in ("Sell", "Buy"):
            status, answer = exchange.call("POST", "/api/v1/orders", {**order, "side": side}, token)
            assert status == 201, answer


def test_a_damaged_journal_is_named_by_the_audit_and_by_the_next_start(own_exchange: ExchangeServer) -> None:
    exchange = own_exchange
    token = exchange.trader("alice", {"USD": "100000", "BTC": "10"})
    trade(exchange, token, 20)
    code, report = audit(exchange)
    assert (code, report["proven"]) == (0, True), "beside the exchange that runs"

    exchange.kill()  # no snapshot is kept on the way out: the next start executes what is damaged
    code, report = audit(exchange)
    assert (code, report["proven"]) == (0, True), "with a database of its own, and none running"
    sequence = int(str(report["last"])) - 5
    secrets = json.loads((exchange.home / "secrets.json").read_text())
    server = EmbeddedPostgres(exchange.home, secrets["POSTGRES_PASSWORD"])
    flip = f"UPDATE journal SET command = set_byte(command, 48, get_byte(command, 48) # 1) WHERE sequence = {sequence}"
    try:
        asyncio.run(tamper(server.start(), flip))
    finally:
        server.stop()

    code, report = audit(exchange)
    assert (code, report["proven"]) == (1, False)
    (finding,) = report["findings"]  # type: ignore[misc, attr-defined]
    assert (finding["part"], finding["sequence"]) == ("journal", sequence)
    assert "its command is not the one that was appended: price_ticks is" in finding["what"]

    exchange.start(wait=False)
    deadline = time.monotonic() + 60
    while f"journal entry {sequence}:" not in exchange.log():
        assert time.monotonic() < deadline, exchange.log()[-2000:]
        time.sleep(0.1)
    assert exchange.call("GET", "/readyz")[0] == 503, "it takes no orders"
    status, _ = exchange.call("POST", "/api/v1/orders", {"symbol": "BTC/USD"}, token)
    assert status in (401, 422, 503)
