"""The running exchange against its document: no request of any shape causes a 5xx, and answers are as declared."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

COMMITTED = Path(__file__).parents[2] / "openapi/openapi.json"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MANY_CASES = settings(
    max_examples=25,  # an operation
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.too_slow],
)

schema = schemathesis.openapi.from_path(COMMITTED)
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@schema.parametrize()
@MANY_CASES
@pytest.mark.filterwarnings("ignore")
def test_an_operation_answers_as_its_document_says(
    case: "schemathesis.Case[Any]", running_exchange: tuple[str, str]
) -> None:
    base_url, token = running_exchange
    case.call_and_validate(base_url=base_url, headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)
