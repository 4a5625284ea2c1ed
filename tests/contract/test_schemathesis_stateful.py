"""One answer's ids are the next request's, with a real session: all that a user may ask."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis

from tests.contract.workflows import follow

COMMITTED = Path(__file__).parents[2] / "openapi/openapi.json"
#: They end the session that everything else is asked with, or wait on purpose.
ENDING = (
    "logout", "refresh", "end_session", "end_other_sessions", "kill_switch", "enrol_second_factor",
    "confirm_second_factor", "disable_second_factor",
)  # fmt: skip
VALID: dict[str, dict[str, Any]] = {
    "place_order": {"symbol": "BTC/USD", "side": "Buy", "quantity": "0.01", "price": "100.00"},
    "test_order": {"symbol": "BTC/USD", "side": "Sell", "quantity": "0.01", "price": "100.00"},
    "replace_order": {"symbol": "BTC/USD", "side": "Buy", "quantity": "0.02", "price": "99.00"},
    "amend_order": {"quantity": "0.03"},
    "draw_from_faucet": {"asset": "USD", "amount": "1"},
    "create_api_key": {"label": "made here", "kind": "hmac", "scopes": ["read"]},
    "batch_orders": {
        "operations": [{"op": "place", "symbol": "BTC/USD", "side": "Buy", "quantity": "0.01", "price": "100.00"}]
    },
}

# What an admin may ask is test_schemathesis_admin.py's.
schema = schemathesis.openapi.from_path(COMMITTED).exclude(operation_id=list(ENDING)).exclude(path_regex="/admin/")


@pytest.mark.filterwarnings("ignore")
def test_whatever_follows_from_whatever_is_answered_as_documented(running_exchange: tuple[str, str]) -> None:
    base_url, token = running_exchange
    answered = follow(schema, base_url, lambda rng: token, VALID)
    assert len(answered) > 10, f"it got beyond refusals: {sorted(answered)}"
