"""Every reason has a text, a status that fits its stage, and one problem shape."""

import json
from pathlib import Path

import pytest

from engine.records import Reason
from exchange.contracts.refusals import (
    END_REASONS,
    MODE_REASONS,
    TEXTS,
    AnyReason,
    EdgeReason,
    Refusal,
    Refused,
    refuse,
)
from exchange.gateway.openapi import openapi_document
from exchange.gateway.problems import problem_body, problem_headers, problems, validation_refusal

REFUSALS = list(TEXTS)


def test_every_reason_is_a_refusal_with_a_text_the_end_of_an_order_or_why_a_mode_changed() -> None:
    named = {*TEXTS, *END_REASONS, *MODE_REASONS}
    assert named == {*Reason, *EdgeReason} - {Reason.NONE}
    assert all(text.title and text.title[0].isupper() and not text.title.endswith(".") for text in TEXTS.values())
    only_ends = set(END_REASONS) - set(TEXTS)
    assert {int(reason) // 1000 for reason in only_ends} == {4}


def test_codes_are_unique_over_engine_and_edge() -> None:
    codes = [int(reason) for reason in (*Reason, *EdgeReason)]
    assert len(codes) == len(set(codes))


def test_problem_types_are_unique() -> None:
    assert len({Refusal(reason, "").problem()["type"] for reason in REFUSALS}) == len(REFUSALS)


@pytest.mark.parametrize("reason", REFUSALS, ids=lambda reason: reason.name)
def test_a_refusal_renders_as_one_problem_shape(reason: AnyReason) -> None:
    refusal = Refusal(reason, "why", field="price", limit="0.01", nearest="1.00", sequence=7)
    problem = json.loads(problem_body(refusal, "id-1"))
    assert list(problem) == [
        "type", "title", "status", "detail", "code", "reason", "field", "limit", "nearest", "sequence", "request_id",
    ]  # fmt: skip
    assert 400 <= problem["status"] <= 503
    assert problem["code"] == int(reason)
    assert problem["reason"] == reason.name
    headers = problem_headers(refusal)
    assert headers["content-type"] == "application/problem+json"
    assert ("retry-after" in headers) == (problem["status"] in (429, 503))
    assert ("www-authenticate" in headers) == (problem["status"] == 401)


def test_members_that_do_not_apply_are_absent() -> None:
    assert not {"field", "limit", "nearest", "sequence", "request_id"} & set(Refusal(Reason.MALFORMED, "x").problem())


def test_every_refusal_of_a_request_is_in_the_openapi_document() -> None:
    documented = {
        name
        for path in openapi_document()["paths"].values()
        for operation in path.values()
        for response in operation["responses"].values()
        for name in response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    # Unknown methods are no operation's; accounts of other kinds are no request's.
    elsewhere = {
        "METHOD_NOT_ALLOWED",
        "UNKNOWN_KIND",
        "UNKNOWN_MARKET",
        "ACCOUNT_INVALID",
        "MODE_INVALID",
    }
    assert {reason.name for reason in REFUSALS} - elsewhere == documented


def test_responses_group_reasons_by_status() -> None:
    found = problems(Reason.PRICE_OFF_TICK, Reason.QUANTITY_OFF_LOT, EdgeReason.OVERLOADED)
    assert sorted(found) == [422, 503]
    assert sorted(found[422]["content"]["application/problem+json"]["examples"]) == [
        "PRICE_OFF_TICK",
        "QUANTITY_OFF_LOT",
    ]
    assert "Retry-After" in found[503]["headers"]


def test_refuse_makes_an_exception_that_names_the_reason() -> None:
    refused = refuse(Reason.PRICE_OFF_TICK, "why", field="price")
    assert isinstance(refused, Refused)
    assert "PRICE_OFF_TICK" in str(refused)
    assert refused.refusal.field == "price"


def test_a_validation_error_names_the_field_and_not_the_value() -> None:
    errors: list[dict[str, object]] = [
        {
            "type": "string_type",
            "loc": ("body", "password"),
            "msg": "Input should be a valid string",
            "input": "s3cret",
        },
        {"type": "missing", "loc": ("body", "username"), "msg": "Field required", "input": {}},
    ]
    refusal = validation_refusal(errors)
    assert (refusal.reason, refusal.field) == (EdgeReason.FIELD_INVALID, "password")
    assert "s3cret" not in refusal.detail
    assert "(1 more)" in refusal.detail


def test_the_frontend_knows_every_reason() -> None:
    listed = (Path(__file__).parents[2] / "frontend/src/api/reasons.ts").read_text()
    assert [reason.name for reason in {*REFUSALS, *END_REASONS} if reason.name not in listed] == []
