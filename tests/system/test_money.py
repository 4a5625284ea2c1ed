"""Money in and out of a real exchange that is killed again and again: each deposit is credited once, each withdrawal
leaves once or comes back once."""

import random
import time
import urllib.error
from typing import Any

from tests.support.server import ExchangeServer

KILLS = 3
END_TIMEOUT_S = 90


def ask_until_answered(exchange: ExchangeServer, path: str, body: dict[str, Any], token: str) -> Any:
    """As a client does whose answer may be lost: the same request again."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            status, answer = exchange.call("POST", path, body, token)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
            continue
        if status in (200, 201):
            return answer
        assert status == 503, answer
        time.sleep(0.1)
    raise AssertionError(f"{path} was not answered")


def ended(exchange: ExchangeServer, token: str) -> list[dict[str, Any]]:
    """The withdrawals, once all have ended."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while True:
        status, page = exchange.call("GET", "/api/v1/withdrawals?limit=500", token=token)
        assert status == 200, page
        items: list[dict[str, Any]] = page["items"]
        if all(item["status"] in ("Completed", "Refused") for item in items):
            return items
        assert time.monotonic() < deadline, items
        time.sleep(0.2)


def test_kills_neither_lose_nor_double_money(own_exchange: ExchangeServer) -> None:
    rng = random.Random(5)
    token = own_exchange.trader("mover")
    deposits, withdrawals = [], []
    for kill in range(KILLS):
        for number in range(8):
            name = f"{kill}-{number}"
            body = {"asset": "USD", "amount": "100", "reference": name}
            deposits.append(ask_until_answered(own_exchange, "/api/v1/deposits", body, token))
            way = rng.choice(("home", "refuse", "bounce"))
            body = {"asset": "USD", "amount": "10", "destination": way, "reference": name}
            withdrawals.append(ask_until_answered(own_exchange, "/api/v1/withdrawals", body, token))
            if number == 5:
                time.sleep(rng.random() / 2)
                own_exchange.kill()
                own_exchange.start()
    for number, withdrawal in enumerate(withdrawals):  # asked once more, long after
        body = {name: withdrawal[name] for name in ("asset", "amount", "destination", "reference")}
        again = ask_until_answered(own_exchange, "/api/v1/withdrawals", body, token)
        assert again["withdrawal_id"] == withdrawal["withdrawal_id"]
        body = {name: deposits[number][name] for name in ("asset", "amount", "reference")}
        assert ask_until_answered(own_exchange, "/api/v1/deposits", body, token) == deposits[number]
    items = ended(own_exchange, token)
    assert len(items) == len(withdrawals)
    paid = sum(item["status"] == "Completed" for item in items)
    assert {item["status"] for item in items if item["destination"] != "home"} == {"Refused"}
    assert paid == sum(item["destination"] == "home" for item in items)
    status, answer = own_exchange.call("GET", "/api/v1/balances", token=token)
    dollars = next(item for item in answer["items"] if item["asset"] == "USD")
    assert (status, dollars["total"]) == (200, str(len(deposits) * 100 - paid * 10))
    status, page = own_exchange.call("GET", "/api/v1/history/ledger?kind=Withdrawal&limit=500", token=token)
    assert len(page["items"]) == len(withdrawals)
