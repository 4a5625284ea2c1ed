"""Which sessions there are, ending them, attempts in the table, and the kill switch."""

import asyncio
import time
from typing import Any

import aiohttp
import jwt
import pytest
from sqlalchemy import func, insert, select, update

from exchange.gateway import sessions as domain
from exchange.gateway.attempts import Allowance, Attempts
from exchange.gateway.context import Exchange
from exchange.storage.tables import attempts, sessions, users
from tests.support.local_exchange import registered
from tests.support.signing import make_key

SESSIONS = "/api/v1/auth/sessions"
ALICE = {"username": "alice", "password": "correct horse battery"}
ORDER = {"symbol": "BTC/USD", "side": "Buy", "quantity": "1", "price": "100.00"}


async def ask(
    client: aiohttp.ClientSession, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    async with client.request(method, path, json=body, headers=headers) as answer:
        return answer.status, await answer.json() if answer.status != 204 else None


async def logged_in(client: aiohttp.ClientSession, agent: str) -> tuple[dict[str, str], str]:
    """Return (headers of a new session, its refresh token)."""
    status, session = await ask(client, "POST", "/api/v1/auth/login", ALICE, {"user-agent": agent})
    assert status == 200, session
    return {"authorization": f"Bearer {session['access_token']}"}, session["refresh_token"]


async def test_the_list_tells_sessions_apart(client: aiohttp.ClientSession) -> None:
    await registered(client)
    await logged_in(client, "Firefox on a desk")
    phone, _ = await logged_in(client, "A phone" + "\u00ad" + "x" * 300)
    _, found = await ask(client, "GET", SESSIONS, headers=phone)
    assert [session["current"] for session in found["items"]] == [True, False, False]
    assert [session["address"] for session in found["items"]] == ["127.0.0.1"] * 3
    assert found["items"][1]["user_agent"] == "Firefox on a desk"
    assert len(found["items"][0]["user_agent"]) <= 200
    assert all(session["created_at"] == session["last_used_at"] for session in found["items"])


async def test_a_refresh_is_a_use(client: aiohttp.ClientSession) -> None:
    await registered(client)
    old, token = await logged_in(client, "old")
    await logged_in(client, "new")
    await ask(client, "POST", "/api/v1/auth/refresh", {"refresh_token": token})
    _, found = await ask(client, "GET", SESSIONS, headers=old)
    assert [session["user_agent"] for session in found["items"]][:2] == ["old", "new"]
    assert found["items"][0]["last_used_at"] > found["items"][0]["created_at"]


async def test_a_session_that_was_ended_is_over_at_once_access_token_included(client: aiohttp.ClientSession) -> None:
    await registered(client)
    thief, token = await logged_in(client, "thief")
    owner, _ = await logged_in(client, "owner")
    _, found = await ask(client, "GET", SESSIONS, headers=owner)
    (stolen,) = (session["session_id"] for session in found["items"] if session["user_agent"] == "thief")
    assert (await ask(client, "GET", "/api/v1/balances", headers=thief))[0] == 200
    assert await ask(client, "DELETE", f"{SESSIONS}/{stolen}", headers=owner) == (204, None)
    status, problem = await ask(client, "GET", "/api/v1/balances", headers=thief)
    assert (status, problem["reason"]) == (401, "UNAUTHENTICATED")
    assert (await ask(client, "POST", "/api/v1/auth/refresh", {"refresh_token": token}))[0] == 401
    assert (await ask(client, "GET", "/api/v1/balances", headers=owner))[0] == 200
    _, found = await ask(client, "GET", SESSIONS, headers=owner)
    assert "thief" not in [session["user_agent"] for session in found["items"]]


async def test_all_other_sessions_end_together(client: aiohttp.ClientSession) -> None:
    _, first = await registered(client)
    others = [await logged_in(client, f"{number}") for number in range(3)]
    owner, token = await logged_in(client, "owner")
    assert await ask(client, "DELETE", SESSIONS, headers=owner) == (200, {"sessions_ended": 4})
    for headers in (first, *(headers for headers, _ in others)):
        assert (await ask(client, "GET", "/api/v1/auth/me", headers=headers))[0] == 401
    assert (await ask(client, "GET", "/api/v1/auth/me", headers=owner))[0] == 200
    assert (await ask(client, "POST", "/api/v1/auth/refresh", {"refresh_token": token}))[0] == 200


async def test_sessions_of_somebody_else_can_neither_be_seen_nor_ended(client: aiohttp.ClientSession) -> None:
    _, alice = await registered(client)
    _, bob = await registered(client, "bob")
    _, found = await ask(client, "GET", SESSIONS, headers=alice)
    (mine,) = found["items"]
    for known in (mine["session_id"], "00000000-0000-4000-8000-000000000000"):
        status, problem = await ask(client, "DELETE", f"{SESSIONS}/{known}", headers=bob)
        assert (status, problem["reason"]) == (404, "NOT_FOUND")
    assert (await ask(client, "GET", "/api/v1/auth/me", headers=alice))[0] == 200
    assert (await ask(client, "DELETE", f"{SESSIONS}/nonsense", headers=bob))[0] == 422


async def test_a_logout_and_a_stolen_refresh_token_end_access_tokens_too(client: aiohttp.ClientSession) -> None:
    await registered(client)
    gone, token = await logged_in(client, "gone")
    await ask(client, "POST", "/api/v1/auth/logout", {"refresh_token": token})
    assert (await ask(client, "GET", "/api/v1/auth/me", headers=gone))[0] == 401
    robbed, token = await logged_in(client, "robbed")
    _, renewed = await ask(client, "POST", "/api/v1/auth/refresh", {"refresh_token": token})
    assert (await ask(client, "POST", "/api/v1/auth/refresh", {"refresh_token": token}))[0] == 401
    for headers in (robbed, {"authorization": f"Bearer {renewed['access_token']}"}):
        assert (await ask(client, "GET", "/api/v1/auth/me", headers=headers))[0] == 401


async def test_another_process_learns_of_ended_sessions_and_forgets_them_after_the_access_tokens(
    client: aiohttp.ClientSession, exchange: Exchange
) -> None:
    headers = (await registered(client))[1]
    session_id = jwt.decode(headers["authorization"].split()[1], options={"verify_signature": False})["sid"]
    other = Exchange(
        exchange.settings, exchange.database, exchange.corridor, exchange.projections, exchange.live, exchange.catalogue
    ).access
    await other.state.refresh()
    token = headers["authorization"].split()[1]
    assert other.identify_token(token).session_id == session_id
    owner, _ = await logged_in(client, "owner")
    await ask(client, "DELETE", SESSIONS, headers=owner)
    await other.state.refresh()
    assert list(other.state.ended_sessions) == [session_id]
    other.state.ended_sessions[session_id] -= 700 * 10**9
    async with exchange.database.engine.begin() as connection:
        await connection.execute(update(sessions).values(revoked_ns=time.time_ns() - 700 * 10**9))
    await other.state.refresh()
    assert other.state.ended_sessions == {}


async def test_nobody_is_let_in_before_the_tables_were_read(client: aiohttp.ClientSession, exchange: Exchange) -> None:
    _, session = await registered(client)
    exchange.access.state.loaded = False
    status, problem = await ask(client, "GET", "/api/v1/auth/me", headers=session)
    assert (status, problem["reason"]) == (503, "UNAVAILABLE")


async def test_the_oldest_session_makes_room_for_a_new_one(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain, "SESSIONS_MAX", 3)
    _, first = await registered(client)
    for number in range(4):
        last, _ = await logged_in(client, f"{number}")
    _, found = await ask(client, "GET", SESSIONS, headers=last)
    assert [session["user_agent"] for session in found["items"]] == ["3", "2", "1"]
    assert (await ask(client, "GET", "/api/v1/auth/me", headers=first))[0] == 401


class Clock:
    now_ns = 1_000_000 * 10**9

    def __call__(self) -> int:
        return self.now_ns

    def pass_s(self, seconds: float) -> None:
        self.now_ns += int(seconds * 10**9)


async def test_attempts_come_in_a_burst_and_then_one_an_interval(exchange: Exchange) -> None:
    clock = Clock()
    counted = Attempts(exchange.database.engine, clock_ns=clock)
    allowance = Allowance("test", burst=3, interval_s=10)
    assert [await counted.take(allowance, "a") for _ in range(3)] == [0, 0, 0]
    assert await counted.take(allowance, "a") == pytest.approx(10)
    assert await counted.take(allowance, "b") == 0, "subjects do not share"
    assert await counted.take(Allowance("other", 3, 10), "a") == 0, "allowances do not share"
    clock.pass_s(9)
    assert await counted.take(allowance, "a") == pytest.approx(1)
    clock.pass_s(1)
    assert await counted.take(allowance, "a") == 0
    assert await counted.take(allowance, "a") == pytest.approx(10)
    clock.pass_s(1000)
    assert [await counted.take(allowance, "a") == 0 for _ in range(4)] == [True, True, True, False]


async def test_an_attempt_that_was_good_is_given_back(exchange: Exchange) -> None:
    counted = Attempts(exchange.database.engine, clock_ns=Clock())
    allowance = Allowance("test", burst=1, interval_s=10)
    for _ in range(5):
        assert await counted.take(allowance, "a") == 0
        await counted.give_back(allowance, "a")
    await counted.give_back(allowance, "unknown")


async def test_attempts_at_once_and_from_several_processes_are_all_counted(exchange: Exchange) -> None:
    processes = [Attempts(exchange.database.engine, clock_ns=Clock()) for _ in range(2)]
    allowance = Allowance("test", burst=10, interval_s=10)
    waits = await asyncio.gather(*(processes[number % 2].take(allowance, "a") for number in range(30)))
    assert sum(wait == 0 for wait in waits) == 10


async def test_whole_buckets_are_deleted_and_the_table_is_bounded(exchange: Exchange) -> None:
    clock = Clock()
    counted = Attempts(exchange.database.engine, rows_max=100, clock_ns=clock)
    allowance = Allowance("test", burst=3, interval_s=10)
    await counted.take(allowance, "early")
    clock.pass_s(10)
    rows = [{"subject": number.to_bytes(4), "full_at_ns": clock.now_ns + number + 1} for number in range(150)]
    async with exchange.database.engine.begin() as connection:
        await connection.execute(insert(attempts).values(rows))
    await counted.tidy()
    async with exchange.database.engine.connect() as connection:
        left = set((await connection.execute(select(attempts.c.subject))).scalars())
    assert left == {number.to_bytes(4) for number in range(50, 150)}
    clock.pass_s(1)
    await counted.tidy()
    async with exchange.database.engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(attempts)) == 0


async def test_the_kill_switch_revokes_ends_and_cancels_everything(
    trading: aiohttp.ClientSession, exchange: Exchange
) -> None:
    account, session = await registered(trading)
    stranger, elsewhere = await registered(trading, "bob")
    usd = exchange.catalogue.asset("USD")
    for each in (account, stranger):
        await exchange.corridor.deposit(each, usd.number, usd.to_units("1000", "amount"))  # type: ignore[attr-defined]
    signer, _ = await make_key(trading, session)
    other, _ = await logged_in(trading, "other")
    for symbol in ("BTC/USD", "ETH/USD", "BTC/USD"):
        assert (await ask(trading, "POST", "/api/v1/orders", ORDER | {"symbol": symbol}, session))[0] == 201
    _, kept = await ask(trading, "POST", "/api/v1/orders", ORDER, elsewhere)
    killed = await ask(trading, "POST", "/api/v1/account/kill-switch", {}, session)
    assert killed == (200, {"keys_revoked": 1, "sessions_ended": 1, "orders_cancelled": 3})
    _, found = await ask(trading, "GET", "/api/v1/orders?status=open", headers=session)
    assert found["items"] == []
    _, balances = await ask(trading, "GET", "/api/v1/balances", headers=session)
    assert [(money["available"], money["held"]) for money in balances["items"]] == [("1000", "0")]
    assert (await ask(trading, "GET", "/api/v1/balances", headers=other))[0] == 401
    headers = signer.headers("GET", "/api/v1/balances")
    assert (await ask(trading, "GET", "/api/v1/balances", headers=headers))[1]["reason"] == "KEY_REVOKED"
    _, found = await ask(trading, "GET", "/api/v1/orders?status=open", headers=elsewhere)
    assert [order["order_id"] for order in found["items"]] == [kept["order_id"]], "strangers keep theirs"
    again = await ask(trading, "POST", "/api/v1/account/kill-switch", {"end_this_session": True}, session)
    assert again == (200, {"keys_revoked": 0, "sessions_ended": 1, "orders_cancelled": 0})
    assert (await ask(trading, "GET", "/api/v1/balances", headers=session))[0] == 401


async def test_a_frozen_account_reads_and_cancels_and_takes_access_away(
    trading: aiohttp.ClientSession, exchange: Exchange
) -> None:
    account, session = await registered(trading)
    usd = exchange.catalogue.asset("USD")
    await exchange.corridor.deposit(account, usd.number, usd.to_units("1000", "amount"))  # type: ignore[attr-defined]
    signer, _ = await make_key(trading, session)
    _, placed = await ask(trading, "POST", "/api/v1/orders", ORDER, session)
    async with exchange.database.engine.begin() as connection:
        await connection.execute(update(users).values(frozen_ns=time.time_ns()))
    await exchange.access.state.refresh()
    for headers in (session, signer.headers("POST", "/api/v1/orders", b"{}")):
        async with trading.post(
            "/api/v1/orders", data=b"{}", headers={**headers, "content-type": "application/json"}
        ) as answer:
            assert (answer.status, (await answer.json())["reason"]) == (403, "ACCOUNT_FROZEN")
    for path, body in [
        ("/api/v1/faucet", {"asset": "USD", "amount": "1"}),
        ("/api/v1/api-keys", {"label": "x", "kind": "hmac", "scopes": ["trade"]}),
    ]:
        status, problem = await ask(trading, "POST", path, body, session)
        assert (status, problem["reason"]) == (403, "ACCOUNT_FROZEN")
    assert (await ask(trading, "GET", "/api/v1/balances", headers=session))[0] == 200
    assert (await ask(trading, "DELETE", f"/api/v1/orders/{placed['order_id']}", headers=session))[0] == 200
    assert (await ask(trading, "POST", "/api/v1/account/kill-switch", {}, session))[1]["keys_revoked"] == 1
    assert (await ask(trading, "POST", "/api/v1/auth/login", ALICE))[0] == 200
    async with exchange.database.engine.begin() as connection:
        await connection.execute(update(users).values(frozen_ns=None))
    await exchange.access.state.refresh()
    assert (await ask(trading, "POST", "/api/v1/orders", ORDER, session))[0] == 201
