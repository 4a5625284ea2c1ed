"""Admins against the document: what a user's token is refused as a whole, asked with the power to have it done.

On an exchange of its own: what is asked here halts markets, lists others up to the bound, freezes and signs out users.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from schemathesis.generation import GenerationMode

from tests.contract.test_schemathesis import CHECKS, COMMITTED, MANY_CASES
from tests.contract.workflows import follow, operation_of
from tests.support.server import ExchangeServer

KNOWN_WITHIN_S = 30
RNG = random.Random(1)
WHY = {"reason": "the document says that it can be done"}
VALID: dict[str, dict[str, Any]] = {
    "admin_create_asset": {"name": "SOL", "scale": 9},
    "admin_create_market": {"base": "SOL", "quote": "USD", "tick_size": "0.01", "lot_size": "0.001",
                            "maker_fee": "0.001", "taker_fee": "0.002"},
    "admin_change_terms": {"maker_fee": "0.0008", "position_max": "250",
                           "price_band": {"width": "0.1", "action": "Auction", "interval_s": 60, "auction_s": 300}},
    "admin_set_mode": {"mode": "Auction", "until": "2099-01-01T00:05:00Z", "reason": "opening auction"},
    "admin_reject_adjustment": WHY,
    "admin_cancel_orders": WHY,
    "admin_end_sessions": WHY,
    "admin_freeze_user": WHY,
    "admin_thaw_user": WHY,
}  # fmt: skip
#: They take access away from whoever they name: never from the admins who ask for everything else.
ENDING = ("admin_end_sessions", "admin_freeze_user")

schema = schemathesis.openapi.from_path(COMMITTED).include(path_regex="/admin/")
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@dataclass(frozen=True)
class Administered:
    """An exchange, two admins of it (one proposes, the other decides) and a trader with an open order."""

    url: str
    tokens: tuple[str, str]
    admins: frozenset[int]
    trader: int

    @property
    def valid(self) -> dict[str, dict[str, Any]]:
        """Bodies that can be carried out."""
        proposal = {"account_id": str(self.trader), "asset": "USD", "direction": "Credit", "amount": "1"}
        return VALID | {"admin_propose_adjustment": proposal | WHY}

    def token(self, rng: random.Random) -> str:
        return rng.choice(self.tokens)

    def spare(self, case: Any) -> None:
        """Turn what would take an admin's access away on the trader."""
        account = (case.path_parameters or {}).get("account_id")
        if operation_of(case) in ENDING and str(account).strip() in map(str, self.admins):
            case.path_parameters["account_id"] = self.trader

    def likely(self, case: Any, rng: random.Random) -> None:
        """Ask half of the time for what there is, and with what is valid, each by itself."""
        there = {"symbol": "BTC-USD", "account_id": self.trader, "adjustment_id": 1}
        for name in case.path_parameters or {}:
            if rng.random() < 0.5:
                case.path_parameters[name] = there[name]
        body = self.valid.get(operation_of(case))
        if body is not None and rng.random() < 0.5:
            case.body, case.media_type = body, "application/json"


@pytest.fixture(scope="module")
def administered() -> Iterator[Administered]:
    server = ExchangeServer()
    try:
        yield _administered(server.start())
    finally:
        server.close()


def _administered(server: ExchangeServer) -> Administered:
    trader = server.trader("ann", {"USD": "10000"})
    order = {"symbol": "BTC/USD", "side": "Buy", "quantity": "0.01", "price": "100.00"}
    assert server.call("POST", "/api/v1/orders", order, trader)[0] == 201
    tokens = server.trader("proposer"), server.trader("decider")
    for name in ("proposer", "decider"):
        command = [sys.executable, "-m", "exchange.cli.main", "admin", "grant", name]
        subprocess.run(command, env={**os.environ, **server.environ}, check=True, capture_output=True, timeout=60)
    for token in tokens:
        _until_admin(server, token)
    account, *admins = (_account(server, token) for token in (trader, *tokens))
    return Administered(server.url, tokens, frozenset(admins), account)


def _account(server: ExchangeServer, token: str) -> int:
    return int(server.call("GET", "/api/v1/auth/me", token=token)[1]["account_id"])


def _until_admin(server: ExchangeServer, token: str) -> None:
    deadline = time.monotonic() + KNOWN_WITHIN_S
    while server.call("GET", "/api/v1/admin/assets", token=token)[0] != 200:
        assert time.monotonic() < deadline, "who was granted it is known as an admin"
        time.sleep(0.1)


@schema.parametrize()
@MANY_CASES
@pytest.mark.filterwarnings("ignore")
def test_an_operation_of_admins_answers_as_its_document_says(
    case: "schemathesis.Case[Any]", administered: Administered
) -> None:
    administered.likely(case, RNG)
    administered.spare(case)
    headers = {"Authorization": f"Bearer {administered.token(RNG)}"}
    case.call_and_validate(base_url=administered.url, headers=headers, checks=CHECKS)


@pytest.mark.filterwarnings("ignore")
def test_whatever_admins_do_after_one_another_is_answered_as_documented(administered: Administered) -> None:
    answered = follow(schema, administered.url, administered.token, administered.valid, administered.spare)
    assert len(answered) > 10, f"it got beyond refusals: {sorted(answered)}"
