"""One answer's ids are the next request's: sequences of operations against the document, with a real session.

Schemathesis reads from the document which operation makes what another one asks for, and follows those ways.
"""

import contextlib
import random
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import FlakyStrategyDefinition

from tests.contract.test_schemathesis import CHECKS

COMMITTED = Path(__file__).parents[2] / "openapi/openapi.json"
ROUNDS, WORKFLOWS, STEPS = 4, 8, 12
#: They end the session that everything else is asked with, or wait on purpose.
ENDING = (
    "logout", "refresh", "end_session", "end_other_sessions", "kill_switch", "enrol_second_factor",
    "confirm_second_factor", "disable_second_factor",
)  # fmt: skip
#: What is asked half of the time instead of what was generated, so that something comes to be.
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

schema = schemathesis.openapi.from_path(COMMITTED).exclude(operation_id=list(ENDING)).exclude(path_regex="/admin/")


def test_whatever_follows_from_whatever_is_answered_as_documented(running_exchange: tuple[str, str]) -> None:
    base_url, token = running_exchange
    rng = random.Random(1)
    seen: dict[str, set[int]] = {}
    broken: list[str] = []

    class Workflow(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: "schemathesis.Case[Any]") -> dict[str, Any]:
            return {"base_url": base_url, "headers": {"Authorization": f"Bearer {token}"}}

        def before_call(self, case: "schemathesis.Case[Any]") -> None:
            valid = VALID.get(_name(case))
            symbol = (case.path_parameters or {}).get("symbol")
            if isinstance(symbol, str):  # a path takes the other spelling (docs/api.md)
                case.path_parameters["symbol"] = symbol.replace("/", "-").replace("%2F", "-")
            if valid is not None and rng.random() < 0.5:
                case.body, case.media_type = valid, "application/json"

        def validate_response(self, response: Any, case: "schemathesis.Case[Any]", **_: Any) -> None:
            seen.setdefault(_name(case), set()).add(response.status_code)
            try:
                case.validate_response(response, checks=CHECKS)
            except Exception as error:
                broken.append(str(error))
                raise

    chosen = settings(
        max_examples=WORKFLOWS, stateful_step_count=STEPS, deadline=None, derandomize=True, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    for _ in range(ROUNDS):
        # An exchange remembers: what is asked a second time is answered otherwise, which Hypothesis calls flaky. What
        # breaks the document is raised by the check itself, at once.
        with contextlib.suppress(FlakyStrategyDefinition):
            Workflow.run(settings=chosen)
    assert not broken, broken[0]
    answered = {name for name, statuses in seen.items() if any(status < 300 for status in statuses)}
    assert len(answered) > 10, f"it got beyond refusals: {sorted(answered)}"


def _name(case: "schemathesis.Case[Any]") -> str:
    name: str = case.operation.definition.raw["operationId"]
    return name


pytestmark = pytest.mark.filterwarnings("ignore")
