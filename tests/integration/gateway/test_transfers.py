"""Deposits and withdrawals over HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from exchange.gateway.app import create_app
from exchange.gateway.context import Exchange
from exchange.treasury.sandbox import Sandbox
from tests.support.local_exchange import local_exchange, registered, serving

Call = Callable[..., Awaitable[tuple[int, Any]]]


def caller(client: aiohttp.ClientSession, headers: dict[str, str]) -> Call:
    async def call(method: str, path: str, **body: Any) -> tuple[int, Any]:
        async with client.request(method, f"/api/v1/{path}", json=body or None, headers=headers) as answer:
            return answer.status, await answer.json()

    return call


@pytest.fixture
async def alice(client: aiohttp.ClientSession) -> Call:
    return caller(client, (await registered(client))[1])


async def balance(call: Call, asset: str = "USD") -> str | None:
    _, answer = await call("GET", "balances")
    return next((item["available"] for item in answer["items"] if item["asset"] == asset), None)


async def test_a_deposit_is_credited_once_however_often_it_is_asked_for(alice: Call) -> None:
    asked = {"asset": "USD", "amount": "250.10", "reference": "monday"}
    status, deposit = await alice("POST", "deposits", **asked)
    assert status == 201
    assert (deposit["asset"], deposit["amount"], deposit["reference"]) == ("USD", "250.1", "monday")
    assert (deposit["status"], deposit["deposit_id"]) == ("Credited", str(deposit["sequence"]))
    assert await alice("POST", "deposits", **asked) == (201, deposit)
    assert await balance(alice) == "250.1"
    status, problem = await alice("POST", "deposits", **asked | {"amount": "250.11"})
    assert (status, problem["reason"], problem["field"]) == (409, "REFERENCE_REUSED", "reference")
    assert await alice("GET", "deposits") == (200, {"items": [deposit], "next_cursor": None})


async def test_deposits_are_listed_newest_first_in_pages_without_other_transfers(alice: Call) -> None:
    await alice("POST", "faucet", asset="BTC", amount="1")
    for number in range(3):
        await alice("POST", "deposits", asset="USD", amount="20", reference=f"n-{number}")
    await alice("POST", "withdrawals", asset="USD", amount="10", destination="refuse", reference="out")
    seen, path = [], "deposits?limit=2"
    while True:
        _, page = await alice("GET", path)
        seen += [item["reference"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        path = f"deposits?limit=2&cursor={page['next_cursor']}"
    assert seen == ["n-2", "n-1", "n-0"]


async def test_a_withdrawal_is_told_through_all_its_states(alice: Call, exchange: Exchange) -> None:
    await alice("POST", "deposits", asset="USD", amount="100", reference="in")
    asked = {"asset": "USD", "amount": "40", "destination": "home", "reference": "out"}
    status, withdrawal = await alice("POST", "withdrawals", **asked)
    assert (status, withdrawal["status"], withdrawal["refund_sequence"]) == (201, "Requested", None)
    assert await balance(alice) == "60"
    assert await alice("POST", "withdrawals", **asked) == (200, withdrawal)
    assert await balance(alice) == "60"
    await exchange.withdrawals.advance(Sandbox())
    status, sent = await alice("GET", f"withdrawals/{withdrawal['withdrawal_id']}")
    assert (status, sent["status"]) == (200, "Sent")
    assert sent["outside_id"].startswith("sandbox-")
    _, page = await alice("GET", "withdrawals?reference=out")
    assert page == {"items": [sent], "next_cursor": None}
    status, problem = await alice("POST", "withdrawals", **asked | {"amount": "41"})
    assert (status, problem["reason"]) == (409, "REFERENCE_REUSED")


async def test_a_refused_withdrawal_is_given_back_and_says_why(alice: Call, exchange: Exchange) -> None:
    await alice("POST", "deposits", asset="USD", amount="100", reference="in")
    _, asked = await alice("POST", "withdrawals", asset="USD", amount="40", destination="refuse", reference="out")
    await exchange.withdrawals.advance(Sandbox())
    _, refused = await alice("GET", f"withdrawals/{asked['withdrawal_id']}")
    assert (refused["status"], "refuses" in refused["refusal"]) == ("Refused", True)
    assert refused["refund_sequence"] > refused["sequence"]
    assert await balance(alice) == "100"


@pytest.mark.parametrize(
    ("changed", "reason", "field", "nearest"),
    [
        ({"amount": "9.99"}, "AMOUNT_OUT_OF_RANGE", "amount", "10"),
        ({"amount": "20.001"}, "AMOUNT_OUT_OF_RANGE", "amount", "20"),
        ({"amount": "100.01"}, "INSUFFICIENT_FUNDS", "amount", "100"),
        ({"amount": "-1"}, "FIELD_INVALID", "amount", None),
        ({"amount": "0"}, "AMOUNT_OUT_OF_RANGE", "amount", "0.0000000001"),
        ({"asset": "BTC", "amount": "1"}, "INSUFFICIENT_FUNDS", "amount", None),
        ({"asset": "DOGE"}, "UNKNOWN_ASSET", "asset", None),
        ({"destination": " "}, "FIELD_INVALID", "destination", None),
        ({"destination": "a\nb"}, "FIELD_INVALID", "destination", None),
        ({"reference": "no spaces"}, "FIELD_INVALID", "reference", None),
        ({"reference": "x" * 33}, "FIELD_INVALID", "reference", None),
    ],
)
async def test_a_refusal_names_the_field_and_the_nearest_valid_value(
    alice: Call, changed: dict[str, str], reason: str, field: str, nearest: str | None
) -> None:
    await alice("POST", "deposits", asset="USD", amount="100", reference="in")
    asked = {"asset": "USD", "amount": "40", "destination": "home", "reference": "out"} | changed
    status, problem = await alice("POST", "withdrawals", **asked)
    assert (status, problem["reason"]) == (422, reason), problem
    assert (problem["field"], problem.get("nearest")) == (field, nearest), problem
    assert await balance(alice) == "100"
    assert (await alice("GET", "withdrawals"))[1]["items"] == []


async def test_a_deposit_below_the_least_is_refused(alice: Call) -> None:
    status, problem = await alice("POST", "deposits", asset="USD", amount="0.99", reference="in")
    assert (status, problem["reason"], problem["nearest"]) == (422, "AMOUNT_OUT_OF_RANGE", "1")


async def test_nobody_sees_the_withdrawals_of_others(alice: Call, client: aiohttp.ClientSession) -> None:
    await alice("POST", "deposits", asset="USD", amount="100", reference="in")
    _, hers = await alice("POST", "withdrawals", asset="USD", amount="40", destination="home", reference="out")
    bob = caller(client, (await registered(client, "bob"))[1])
    status, problem = await bob("GET", f"withdrawals/{hers['withdrawal_id']}")
    assert (status, problem["reason"]) == (404, "NOT_FOUND")
    assert (await bob("GET", "withdrawals"))[1]["items"] == []
    assert (await bob("GET", "deposits"))[1]["items"] == []
    await bob("POST", "deposits", asset="USD", amount="50", reference="in")
    status, his = await bob("POST", "withdrawals", asset="USD", amount="40", destination="home", reference="out")
    assert (status, his["withdrawal_id"] != hers["withdrawal_id"]) == (201, True)


async def test_the_terms_say_how_money_moves_here(alice: Call, client: aiohttp.ClientSession) -> None:
    status, terms = await alice("GET", "transfers/terms")
    assert (status, terms["custody"], terms["deposits_on_request"]) == (200, "sandbox", True)
    dollars = next(item for item in terms["items"] if item["asset"] == "USD")
    assert (dollars["step"], dollars["deposit_min"], dollars["withdrawal_min"]) == ("0.01", "1", "10")
    assert dollars["deposit_address"].startswith("sandbox-usd-")
    bob = caller(client, (await registered(client, "bob"))[1])
    theirs = {item["deposit_address"] for item in [*terms["items"], *(await bob("GET", "transfers/terms"))[1]["items"]]}
    assert len(theirs) == 6, "an address leads to one account and asset"
    assert (await alice("GET", "transfers/terms"))[1] == terms


@pytest.fixture
async def closed(database_url: str) -> AsyncIterator[Call]:
    closed = local_exchange(database_url, EXCHANGE_TRANSFERS="off")
    async with closed as exchange, serving(create_app(exchange)) as client:
        yield caller(client, (await registered(client))[1])


async def test_where_transfers_are_off_nothing_moves_and_everything_may_be_read(closed: Call) -> None:
    for path, body in (
        ("deposits", {"asset": "USD", "amount": "40", "reference": "in"}),
        ("withdrawals", {"asset": "USD", "amount": "40", "reference": "in", "destination": "home"}),
    ):
        status, problem = await closed("POST", path, **body)
        assert (status, problem["reason"], "closed" in problem["detail"]) == (403, "FORBIDDEN", True)
        assert await closed("GET", path) == (200, {"items": [], "next_cursor": None})
    _, terms = await closed("GET", "transfers/terms")
    assert (terms["custody"], terms["deposits_on_request"]) == (None, False)
    assert {item["deposit_address"] for item in terms["items"]} == {None}
