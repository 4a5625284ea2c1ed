"""Sequences of operations against the document: one answer's ids are the next request's.

Schemathesis reads from the document which operation makes what another one asks for, and follows those ways.
"""

import contextlib
import random
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import FlakyStrategyDefinition

from tests.contract.test_schemathesis import CHECKS

ROUNDS, WORKFLOWS, STEPS = 4, 8, 12


def operation_of(case: Any) -> str:
    name: str = case.operation.definition.raw["operationId"]
    return name


def follow(
    schema: Any,
    base_url: str,
    token: Callable[[random.Random], str],
    valid: Mapping[str, dict[str, Any]],
    steer: Callable[[Any], None] = lambda case: None,
) -> set[str]:
    """Ask what follows from what was answered; return the operations that got beyond refusals.

    ``token``: whose, for each request; ``valid``: bodies that are asked half of the time instead of what was generated,
    so that something comes to be; ``steer``: changes a request before it is made. Raises AssertionError with the first
    answer that is not as documented.
    """
    rng = random.Random(1)
    answered: set[str] = set()
    broken: list[str] = []

    class Workflow(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"base_url": base_url, "headers": {"Authorization": f"Bearer {token(rng)}"}}

        def before_call(self, case: Any) -> None:
            body = valid.get(operation_of(case))
            symbol = (case.path_parameters or {}).get("symbol")
            if isinstance(symbol, str):  # a path takes the other spelling (docs/api.md)
                case.path_parameters["symbol"] = symbol.replace("/", "-").replace("%2F", "-")
            if body is not None and rng.random() < 0.5:
                case.body, case.media_type = body, "application/json"
            steer(case)

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            if response.status_code < 300:
                answered.add(operation_of(case))
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
    return answered
