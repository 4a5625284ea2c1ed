"""The committed OpenAPI document is the one that this code serves."""

from pathlib import Path
from typing import Any

import pytest

from exchange.gateway.openapi import openapi_document, render_openapi

COMMITTED = Path(__file__).parents[2] / "openapi/openapi.json"
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in openapi_document()["paths"].items()
    for method, operation in methods.items()
]
each_operation = pytest.mark.parametrize(
    "operation", [found for _, found in OPERATIONS], ids=[name for name, _ in OPERATIONS]
)


def test_the_committed_document_is_the_one_the_code_renders() -> None:
    assert COMMITTED.read_text() == render_openapi(), "run `exchange openapi > openapi/openapi.json` and commit it"


def test_rendering_is_stable() -> None:
    assert render_openapi() == render_openapi()
    assert openapi_document()["openapi"].startswith("3.1")


def test_every_operation_has_its_own_name() -> None:
    names = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


@each_operation
def test_an_operation_is_described_with_its_answers_and_problems(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    for status, response in operation["responses"].items():
        assert response["description"]
        is_probe = status == "503" and "application/json" in response.get("content", {})
        if int(status) >= 400 and not is_probe:
            content = response["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["examples"]


@each_operation
def test_an_operation_that_needs_a_token_says_so(operation: dict[str, Any]) -> None:
    unauthenticated = operation["responses"].get("401", {}).get("content", {}).get("application/problem+json", {})
    needs_token = "TOKEN_EXPIRED" in unauthenticated.get("examples", {})
    assert ("security" in operation) == needs_token


def test_every_reference_leads_somewhere() -> None:
    document = openapi_document()

    def references(value: Any) -> Any:
        if isinstance(value, dict):
            yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            for member in value.values():
                yield from references(member)
        elif isinstance(value, list):
            for member in value:
                yield from references(member)

    for reference in set(references(document)):
        _, _, kind, name = reference.split("/")
        assert name in document["components"][kind], reference
