"""Sessions over HTTP, with a real database."""

import asyncio
import logging
import time
from typing import Any

import aiohttp
import jwt
import pytest
from sqlalchemy import select, update

from exchange.gateway.context import Exchange
from exchange.gateway.sessions import REFRESH_TOKEN_LIFETIME_NS
from exchange.storage.tables import refresh_tokens, users
from tests.support.local_exchange import SECRET, registered

ALICE = {"username": "alice", "password": "correct horse battery"}


async def post(client: aiohttp.ClientSession, path: str, body: dict[str, Any], **options: Any) -> tuple[int, Any]:
    async with client.post(f"/api/v1/auth/{path}", json=body, **options) as answer:
        return answer.status, await answer.json() if answer.status != 204 else None


async def test_a_new_account_is_signed_in_at_once(client: aiohttp.ClientSession) -> None:
    status, session = await post(client, "register", ALICE)
    assert status == 201
    assert (session["username"], session["token_type"], session["expires_in"]) == ("alice", "Bearer", 600)
    headers = {"authorization": f"Bearer {session['access_token']}"}
    async with client.get("/api/v1/auth/me", headers=headers) as answer:
        me = await answer.json()
    assert (answer.status, me["account_id"], me["username"]) == (200, session["account_id"], "alice")
    assert int(session["account_id"]) >= 1000


async def test_tokens_are_never_cached_and_answers_carry_the_security_headers(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/v1/auth/register", json=ALICE) as answer:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "script-src 'self'" in answer.headers["content-security-policy"]


async def test_the_username_is_one_in_every_letter_case(client: aiohttp.ClientSession) -> None:
    await post(client, "register", ALICE)
    assert (await post(client, "register", {**ALICE, "username": "ALICE"}))[1]["reason"] == "USERNAME_TAKEN"
    assert (await post(client, "login", {**ALICE, "username": "Alice"}))[0] == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": "al"}, "username"),
        ({"username": "a" * 33}, "username"),
        ({"username": "al ice"}, "username"),
        ({"username": "alice\x00"}, "username"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": 1234567890}, "password"),
        ({"password": None}, "password"),
        ({"admin": True}, "admin"),
    ],
)
async def test_a_registration_that_breaks_a_rule_names_the_field_and_never_the_value(
    client: aiohttp.ClientSession, change: dict[str, Any], field: str
) -> None:
    status, problem = await post(client, "register", {**ALICE, **change})
    assert (status, problem["reason"], problem["field"]) == (422, "FIELD_INVALID", field)
    if field == "password":
        assert str(change["password"]) not in problem["detail"].replace("None", "")


async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(client: aiohttp.ClientSession) -> None:
    await post(client, "register", ALICE)
    wrong = await post(client, "login", {**ALICE, "password": "wrong horse battery"})
    unknown = await post(client, "login", {**ALICE, "username": "nobody"})
    impossible = await post(client, "login", {**ALICE, "username": "no body!"})
    for status, problem in (wrong, unknown, impossible):
        problem.pop("request_id")
        assert (status, problem) == (401, wrong[1])
    assert wrong[1]["reason"] == "CREDENTIALS_INVALID"


async def test_passwords_are_stored_as_argon2id_and_refresh_tokens_as_hashes(
    client: aiohttp.ClientSession, exchange: Exchange
) -> None:
    _, session = await post(client, "register", ALICE)
    async with exchange.database.engine.connect() as connection:
        (encoded,) = (await connection.execute(select(users.c.password_hash))).scalars()
        (stored,) = (await connection.execute(select(refresh_tokens.c.token_hash))).scalars()
    assert encoded.startswith("$argon2id$v=19$")
    assert ALICE["password"] not in encoded
    assert len(stored) == 32
    assert stored != session["refresh_token"].encode()


async def test_guessing_at_one_account_is_throttled_and_says_when_to_come_back(client: aiohttp.ClientSession) -> None:
    await post(client, "register", ALICE)
    answers = [await post(client, "login", {**ALICE, "password": "wrong horse battery"}) for _ in range(11)]
    assert [status for status, _ in answers] == [401] * 10 + [429]
    async with client.post("/api/v1/auth/login", json=ALICE) as answer:
        assert answer.status == 429, "the right password does not lift the limit either"
        assert 1 <= int(answer.headers["retry-after"]) <= 30


async def test_guessing_at_many_accounts_from_one_address_is_throttled(client: aiohttp.ClientSession) -> None:
    guesses = [post(client, "login", {**ALICE, "username": f"user{number}"}) for number in range(70)]
    statuses = [status for status, _ in await asyncio.gather(*guesses)]
    assert statuses.count(401) >= 60
    assert 429 in statuses


async def test_successful_logins_are_not_throttled(client: aiohttp.ClientSession) -> None:
    await post(client, "register", ALICE)
    assert {(await post(client, "login", ALICE))[0] for _ in range(15)} == {200}


async def test_a_refresh_gives_a_new_pair_and_uses_the_old_one_up(client: aiohttp.ClientSession) -> None:
    _, first = await post(client, "register", ALICE)
    status, second = await post(client, "refresh", {"refresh_token": first["refresh_token"]})
    assert status == 200
    assert second["refresh_token"] != first["refresh_token"]
    assert set(second) == {"access_token", "expires_in", "refresh_token", "token_type"}
    assert (await post(client, "refresh", {"refresh_token": second["refresh_token"]}))[0] == 200


async def test_a_refresh_token_used_twice_ends_the_whole_session(
    client: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    _, first = await post(client, "register", ALICE)
    _, second = await post(client, "refresh", {"refresh_token": first["refresh_token"]})
    with caplog.at_level(logging.INFO, "exchange.auth"):
        status, problem = await post(client, "refresh", {"refresh_token": first["refresh_token"]})
    assert (status, problem["reason"]) == (401, "UNAUTHENTICATED")
    assert (await post(client, "refresh", {"refresh_token": second["refresh_token"]}))[0] == 401
    assert "auth refresh token used twice: session ended" in caplog.messages
    assert first["refresh_token"] not in caplog.text


async def test_two_uses_of_a_refresh_token_at_once_give_one_pair(client: aiohttp.ClientSession) -> None:
    _, session = await post(client, "register", ALICE)
    uses = [post(client, "refresh", {"refresh_token": session["refresh_token"]}) for _ in range(4)]
    statuses = sorted(status for status, _ in await asyncio.gather(*uses))
    assert statuses == [200, 401, 401, 401]


async def test_one_ended_session_leaves_the_others_alone(client: aiohttp.ClientSession) -> None:
    _, first = await post(client, "register", ALICE)
    _, other = await post(client, "login", ALICE)
    assert await post(client, "logout", {"refresh_token": first["refresh_token"]}) == (204, None)
    assert (await post(client, "refresh", {"refresh_token": first["refresh_token"]}))[0] == 401
    assert (await post(client, "refresh", {"refresh_token": other["refresh_token"]}))[0] == 200
    assert (await post(client, "logout", {"refresh_token": "unknown"}))[0] == 204


async def test_a_refresh_token_dies_after_thirty_days(client: aiohttp.ClientSession, exchange: Exchange) -> None:
    _, session = await post(client, "register", ALICE)
    assert REFRESH_TOKEN_LIFETIME_NS == 30 * 86_400 * 10**9
    async with exchange.database.engine.begin() as connection:
        await connection.execute(update(refresh_tokens).values(expires_ns=time.time_ns() - 1))
    assert (await post(client, "refresh", {"refresh_token": session["refresh_token"]}))[0] == 401


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer nonsense", "Basic YWxpY2U6eA==", "Bearer a.b.c"])
async def test_without_a_valid_token_nothing_private_is_told(client: aiohttp.ClientSession, header: str | None) -> None:
    headers = {"authorization": header} if header else {}
    for path in (
        "auth/me",
        "orders",
        "orders/1",
        "orders/1/trades",
        "orders/by-client-id/x",
        "balances",
        "ledger",
        "fills",
    ):
        async with client.get(f"/api/v1/{path}", headers=headers) as answer:
            problem = await answer.json()
            assert (answer.status, problem["reason"]) == (401, "UNAUTHENTICATED"), path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.content_type == "application/problem+json"


async def test_an_expired_token_says_so(client: aiohttp.ClientSession) -> None:
    _, headers = await registered(client)
    token = headers["authorization"].split()[1]
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="exchange-api")
    stale = {**claims, "iat": claims["iat"] - 1000, "exp": claims["exp"] - 1000}
    expired = jwt.encode(stale, SECRET, algorithm="HS256", headers={"typ": "at+jwt"})
    async with client.get("/api/v1/balances", headers={"authorization": f"Bearer {expired}"}) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (401, "TOKEN_EXPIRED")


async def test_the_log_finds_logins_and_refusals_and_holds_no_secret(
    client: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "exchange.auth"):
        await post(client, "register", ALICE)
        await post(client, "login", ALICE)
        await post(client, "login", {**ALICE, "password": "wrong horse battery"})
        async with client.get("/api/v1/balances") as answer:
            assert answer.status == 401
    lines = "\n".join(caplog.messages)
    assert "login accepted" in lines
    assert "login refused: unauthorized" in lines
    assert "auth unauthorized" in lines
    everything = "\n".join(str(record.__dict__) for record in caplog.records)
    assert "horse" not in everything
