"""API keys over HTTP: making them, signing with them, what they may do, and their end."""

import hashlib
import json
import time
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select, update

from exchange.gateway import api_keys as domain
from exchange.gateway.context import Exchange
from exchange.storage.tables import api_keys
from tests.support.local_exchange import registered
from tests.support.signing import Signer, hmac_signer, make_key, public_pem

KEYS = "/api/v1/api-keys"
ORDER = {"symbol": "BTC/USD", "side": "Buy", "quantity": "1", "price": "100.00"}


async def ask(
    client: aiohttp.ClientSession, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    sent = {**(headers or {}), **({"content-type": "application/json"} if data else {})}
    async with client.request(method, path, data=data, headers=sent) as answer:
        return answer.status, await answer.json() if answer.status != 204 else None


async def signed(
    client: aiohttp.ClientSession, signer: Signer, method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    data = b"" if body is None else json.dumps(body).encode()
    return await ask(client, method, path, body, signer.headers(method, path, data))


def reason(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["reason"]


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
async def test_a_signed_request_is_answered_as_the_owner_of_the_key(trading: aiohttp.ClientSession, kind: str) -> None:
    account, session = await registered(trading)
    signer, told = await make_key(trading, session, kind)
    assert (told["secret"] is None) == (kind == "ed25519")
    status, me = await signed(trading, signer, "GET", "/api/v1/auth/me")
    assert (status, me["account_id"]) == (200, str(account))
    status, orders = await signed(trading, signer, "GET", "/api/v1/orders?status=open&limit=5")
    assert (status, orders["items"]) == (200, [])


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
async def test_a_key_places_and_cancels_by_the_fast_way_and_the_long_one(
    trading: aiohttp.ClientSession, exchange: Exchange, kind: str
) -> None:
    account, session = await registered(trading)
    usd = exchange.catalogue.asset("USD")
    await exchange.corridor.deposit(account, usd.number, usd.to_units("1000", "amount"))  # type: ignore[attr-defined]
    signer, _ = await make_key(trading, session, kind)
    status, placed = await signed(trading, signer, "POST", "/api/v1/orders", ORDER)
    assert (status, placed["status"]) == (201, "Open"), placed
    data = json.dumps(ORDER).encode()
    headers = signer.headers("POST", "/api/v1/orders", data) | {"origin": "http://localhost:5173"}
    status, by_browser = await ask(trading, "POST", "/api/v1/orders", ORDER, headers)
    assert (status, by_browser["status"]) == (201, "Open"), by_browser
    for order in (placed, by_browser):
        status, ended = await signed(trading, signer, "DELETE", f"/api/v1/orders/{order['order_id']}")
        assert (status, ended["status"]) == (200, "Cancelled"), ended


async def test_the_secret_is_told_once_and_kept_sealed(client: aiohttp.ClientSession, exchange: Exchange) -> None:
    _, session = await registered(client)
    _, told = await make_key(client, session)
    assert len(told["secret"]) >= 43
    _, listed = await ask(client, "GET", KEYS, headers=session)
    assert told["secret"] not in json.dumps(listed)
    assert set(listed["items"][0]) == set(told) - {"secret"}
    async with exchange.database.engine.connect() as connection:
        row = (await connection.execute(select(api_keys))).one()
    assert told["secret"].encode() not in row.secret
    assert exchange.access.sealer.open(row.secret, f"api_keys/{told['key_id']}") == told["secret"].encode()


async def test_answers_with_secrets_are_not_cached_and_every_answer_names_the_budget(
    client: aiohttp.ClientSession,
) -> None:
    _, session = await registered(client)
    body = {"label": "x", "kind": "hmac", "scopes": ["read"]}
    async with client.post(KEYS, json=body, headers=session) as answer:
        assert answer.headers["cache-control"] == "no-store"
        limit, remaining = (int(answer.headers[f"ratelimit-{name}"]) for name in ("limit", "remaining"))
        assert (limit, remaining) == (20_000, 20_000 - 10), "making a key weighs ten"
        assert int(answer.headers["ratelimit-reset"]) == 1


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("method", lambda text: text.replace("GET", "PUT")),
        ("path", lambda text: text.replace("/api/v1/orders", "/api/v1/fills")),
        ("query", lambda text: text.replace("limit=5", "limit=6")),
        ("no query", lambda text: text.replace("?status=open&limit=5", "")),
        ("body", lambda text: text.replace(hashlib.sha256(b"").hexdigest(), hashlib.sha256(b"x").hexdigest())),
        ("timestamp", lambda text: str(int(text[:13]) + 1) + text[13:]),
    ],
)
async def test_a_signature_of_anything_else_is_refused(client: aiohttp.ClientSession, part: str, change: Any) -> None:
    _, session = await registered(client)
    signer, _ = await make_key(client, session)
    other = Signer(signer.key_id, lambda text: signer.sign(change(text.decode()).encode()))
    path = "/api/v1/orders?status=open&limit=5"
    assert reason(await signed(client, other, "GET", path)) == (401, "SIGNATURE_INVALID")
    assert (await signed(client, signer, "GET", path))[0] == 200


async def test_a_body_that_was_changed_on_the_way_is_refused(trading: aiohttp.ClientSession) -> None:
    _, session = await registered(trading)
    signer, _ = await make_key(trading, session)
    headers = signer.headers("POST", "/api/v1/orders", json.dumps(ORDER).encode())
    for extra in ({}, {"origin": "http://localhost:5173"}):
        changed = await ask(trading, "POST", "/api/v1/orders", ORDER | {"quantity": "2"}, headers | extra)
        assert reason(changed) == (401, "SIGNATURE_INVALID")


async def test_an_unknown_key_and_a_wrong_signature_get_the_same_answer(client: aiohttp.ClientSession) -> None:
    _, session = await registered(client)
    signer, _ = await make_key(client, session)
    answers = []
    for key_id, secret in ((signer.key_id, "guessed"), ("0" * 24, "guessed"), ("../..", "guessed"), ("é", "x")):
        status, problem = await signed(client, hmac_signer(key_id, secret), "GET", "/api/v1/balances")
        problem.pop("request_id")
        answers.append((status, problem))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][1]["reason"] == "SIGNATURE_INVALID"


async def test_headers_that_are_missing_or_malformed_are_named(client: aiohttp.ClientSession) -> None:
    _, session = await registered(client)
    signer, _ = await make_key(client, session)
    good = signer.headers("GET", "/api/v1/balances")
    for change, name in [
        ({"X-Exchange-Timestamp": ""}, "X-Exchange-Timestamp"),
        ({"X-Exchange-Timestamp": "now"}, "X-Exchange-Timestamp"),
        ({"X-Exchange-Timestamp": "1700000000"}, "X-Exchange-Timestamp"),
        ({"X-Exchange-Signature": ""}, "X-Exchange-Signature"),
        ({"X-Exchange-Signature": good["X-Exchange-Signature"].upper()[:-1] + "G"}, "X-Exchange-Signature"),
        ({"Authorization": session["authorization"]}, "not both"),
    ]:
        status, problem = await ask(client, "GET", "/api/v1/balances", headers=good | change)
        assert (status, problem["reason"]) == (401, "UNAUTHENTICATED")
        assert name in problem["detail"]


async def test_a_request_outside_its_window_says_how_old_it_is_and_what_time_it_is(
    client: aiohttp.ClientSession,
) -> None:
    _, session = await registered(client)
    signer, _ = await make_key(client, session, receive_window_ms=2000)
    now_ms = int(time.time() * 1000)
    for at_ms in (now_ms - 4000, now_ms + 3000, 1_000_000_000_000):
        headers = signer.headers("GET", "/api/v1/balances", at_ms=at_ms)
        status, problem = await ask(client, "GET", "/api/v1/balances", headers=headers)
        assert (status, problem["reason"], problem["limit"]) == (401, "TIMESTAMP_INVALID", "2000 ms")
        assert abs(int(problem["nearest"]) - now_ms) < 60_000
    assert (await signed(client, signer, "GET", "/api/v1/balances"))[0] == 200


async def test_a_window_is_five_seconds_unless_the_key_says_otherwise_and_a_minute_at_most(
    client: aiohttp.ClientSession,
) -> None:
    _, session = await registered(client)
    _, told = await make_key(client, session)
    assert told["receive_window_ms"] == 5000
    wide, _ = await make_key(client, session, receive_window_ms=60_000)
    old = wide.headers("GET", "/api/v1/balances", at_ms=int(time.time() * 1000) - 30_000)
    assert (await ask(client, "GET", "/api/v1/balances", headers=old))[0] == 200
    body = {"label": "x", "kind": "hmac", "scopes": ["read"], "receive_window_ms": 60_001}
    assert (await ask(client, "POST", KEYS, body, session))[1]["field"] == "receive_window_ms"


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
async def test_a_recorded_request_is_worthless(trading: aiohttp.ClientSession, kind: str) -> None:
    _, session = await registered(trading)
    signer, _ = await make_key(trading, session, kind)
    headers = signer.headers("GET", "/api/v1/balances")
    assert (await ask(trading, "GET", "/api/v1/balances", headers=headers))[0] == 200
    assert reason(await ask(trading, "GET", "/api/v1/balances", headers=headers)) == (401, "REPLAYED")
    for extra in ({}, {"origin": "http://localhost:5173"}):
        order = signer.headers("POST", "/api/v1/orders", json.dumps(ORDER).encode()) | extra
        assert reason(await ask(trading, "POST", "/api/v1/orders", ORDER, order)) == (422, "INSUFFICIENT_FUNDS")
        assert reason(await ask(trading, "POST", "/api/v1/orders", ORDER, order)) == (401, "REPLAYED")


async def test_a_key_is_good_until_it_expires(client: aiohttp.ClientSession, exchange: Exchange) -> None:
    _, session = await registered(client)
    signer, told = await make_key(client, session, expires_at="2031-05-01T12:00:00+02:00")
    assert told["expires_at"] == "2031-05-01T10:00:00.000000000Z"
    assert (await signed(client, signer, "GET", "/api/v1/balances"))[0] == 200
    now_ns = time.time_ns()
    async with exchange.database.engine.begin() as connection:
        await connection.execute(update(api_keys).values(expires_ns=now_ns, changed_ns=now_ns))
    await exchange.access.state.refresh()
    assert reason(await signed(client, signer, "GET", "/api/v1/balances")) == (401, "KEY_EXPIRED")
    assert (await ask(client, "GET", KEYS, headers=session))[1]["items"][0]["status"] == "expired"


async def test_a_revoked_key_is_refused_at_once_and_for_ever(client: aiohttp.ClientSession, exchange: Exchange) -> None:
    _, session = await registered(client)
    signer, told = await make_key(client, session)
    other, _ = await make_key(client, session)
    assert await ask(client, "DELETE", f"{KEYS}/{told['key_id']}", headers=session) == (204, None)
    assert await ask(client, "DELETE", f"{KEYS}/{told['key_id']}", headers=session) == (204, None), "again is fine"
    assert reason(await signed(client, signer, "GET", "/api/v1/balances")) == (401, "KEY_REVOKED")
    await exchange.access.state.refresh()
    assert reason(await signed(client, signer, "GET", "/api/v1/balances")) == (401, "KEY_REVOKED")
    forged = hmac_signer(signer.key_id, "guessed")
    assert reason(await signed(client, forged, "GET", "/api/v1/balances")) == (401, "SIGNATURE_INVALID")
    assert (await signed(client, other, "GET", "/api/v1/balances"))[0] == 200
    statuses = [(key["key_id"], key["status"]) for key in (await ask(client, "GET", KEYS, headers=session))[1]["items"]]
    assert sorted(statuses) == sorted([(signer.key_id, "revoked"), (other.key_id, "active")])


async def test_another_process_learns_of_keys_and_their_end_from_the_tables(
    client: aiohttp.ClientSession, exchange: Exchange
) -> None:
    other = Exchange(
        exchange.settings, exchange.database, exchange.corridor, exchange.projections, exchange.live, exchange.catalogue
    ).access.state
    await other.refresh()
    _, session = await registered(client)
    signer, _ = await make_key(client, session)
    assert signer.key_id not in other.keys
    await other.refresh()
    assert other.keys[signer.key_id].revoked_ns is None
    await ask(client, "DELETE", f"{KEYS}/{signer.key_id}", headers=session)
    await other.refresh()
    assert other.keys[signer.key_id].revoked_ns is not None


async def test_a_key_of_somebody_else_can_neither_be_seen_nor_revoked(client: aiohttp.ClientSession) -> None:
    _, alice = await registered(client)
    _, bob = await registered(client, "bob")
    signer, _ = await make_key(client, alice)
    assert reason(await ask(client, "DELETE", f"{KEYS}/{signer.key_id}", headers=bob)) == (404, "NOT_FOUND")
    assert (await ask(client, "GET", KEYS, headers=bob))[1]["items"] == []
    assert (await signed(client, signer, "GET", "/api/v1/balances"))[0] == 200


async def test_a_key_is_used_from_its_addresses_only(client: aiohttp.ClientSession) -> None:
    _, session = await registered(client)
    for addresses, status in [
        (["127.0.0.1"], 200),
        (["10.0.0.0/8", "127.0.0.0/8"], 200),
        (["203.0.113.7"], 403),
        (["2001:db8::/32"], 403),
    ]:
        signer, told = await make_key(client, session, addresses=addresses)
        assert told["addresses"][-1].startswith(addresses[-1].partition("/")[0])
        answer = await signed(client, signer, "GET", "/api/v1/balances")
        assert answer[0] == status
        if status == 403:
            assert answer[1]["reason"] == "ADDRESS_FORBIDDEN"
            assert "127.0.0.1" in answer[1]["detail"]


async def test_a_key_trades_on_its_markets_only(trading: aiohttp.ClientSession, exchange: Exchange) -> None:
    account, session = await registered(trading)
    usd = exchange.catalogue.asset("USD")
    await exchange.corridor.deposit(account, usd.number, usd.to_units("1000", "amount"))  # type: ignore[attr-defined]
    signer, told = await make_key(trading, session, symbols=["btc-usd", "BTC/USD"])
    assert told["symbols"] == ["BTC/USD"]
    assert (await signed(trading, signer, "POST", "/api/v1/orders", ORDER))[0] == 201
    elsewhere = await signed(trading, signer, "POST", "/api/v1/orders", ORDER | {"symbol": "ETH/USD"})
    assert reason(elsewhere) == (403, "MARKET_FORBIDDEN")
    assert elsewhere[1]["limit"] == "BTC/USD"
    _, by_hand = await ask(trading, "POST", "/api/v1/orders", ORDER | {"symbol": "ETH/USD"}, session)
    cancelling = await signed(trading, signer, "DELETE", f"/api/v1/orders/{by_hand['order_id']}")
    assert reason(cancelling) == (403, "MARKET_FORBIDDEN")
    assert (await ask(trading, "DELETE", f"/api/v1/orders/{by_hand['order_id']}", headers=session))[0] == 200


async def test_a_key_trades_up_to_its_cap_and_the_refusal_says_how_much_would_do(
    trading: aiohttp.ClientSession, exchange: Exchange
) -> None:
    account, session = await registered(trading)
    usd = exchange.catalogue.asset("USD")
    await exchange.corridor.deposit(account, usd.number, usd.to_units("100000", "amount"))  # type: ignore[attr-defined]
    signer, told = await make_key(trading, session, notional_max={"btc-usd": "150.00", "USD": "1000"})
    assert told["notional_max"] == {"BTC/USD": "150", "USD": "1000"}
    status, problem = await signed(trading, signer, "POST", "/api/v1/orders", ORDER | {"quantity": "2"})
    assert (status, problem["reason"], problem["limit"], problem["nearest"]) == (403, "NOTIONAL_CAPPED", "150", "1.5")
    assert (await signed(trading, signer, "POST", "/api/v1/orders", ORDER | {"quantity": "1.5"}))[0] == 201
    ether = ORDER | {"symbol": "ETH/USD", "quantity": "10"}
    assert (await signed(trading, signer, "POST", "/api/v1/orders", ether))[0] == 201
    assert reason(await signed(trading, signer, "POST", "/api/v1/orders", ether | {"quantity": "10.1"}))[0] == 403
    market = {"symbol": "BTC/USD", "side": "Buy", "quantity": "0.001", "order_type": "Market"}
    status, problem = await signed(trading, signer, "POST", "/api/v1/orders", market)
    assert (status, problem["reason"], problem["field"]) == (403, "NOTIONAL_CAPPED", "price")
    assert (await ask(trading, "POST", "/api/v1/orders", ORDER | {"quantity": "2"}, session))[0] == 201, "no session's"


async def test_a_key_tells_about_itself(trading: aiohttp.ClientSession) -> None:
    account, session = await registered(trading)
    signer, told = await make_key(trading, session, scopes=["transfer"], symbols=["ETH/USD"])
    status, found = await signed(trading, signer, "GET", f"{KEYS}/self")
    assert status == 200
    assert (found["key_id"], found["scopes"], found["symbols"]) == (signer.key_id, ["transfer"], ["ETH/USD"])
    assert (found["account_id"], found["address"], found["account_frozen"]) == (str(account), "127.0.0.1", False)
    assert found["budgets"]["cancels"] == {"limit": 20_000, "remaining": 20_000, "full_in_s": 0.0}
    assert found["budgets"]["requests"]["remaining"] in (19_999, 20_000), "a tenth of a millisecond brings one back"
    assert "secret" not in found and told["secret"] not in json.dumps(found)
    assert reason(await ask(trading, "GET", f"{KEYS}/self", headers=session)) == (403, "FORBIDDEN")


async def test_the_list_says_when_a_key_was_used_last(client: aiohttp.ClientSession, exchange: Exchange) -> None:
    _, session = await registered(client)
    signer, told = await make_key(client, session)
    assert told["last_used_at"] is None
    await signed(client, signer, "GET", "/api/v1/balances")
    await exchange.access.state.refresh()
    (listed,) = (await ask(client, "GET", KEYS, headers=session))[1]["items"]
    assert listed["last_used_at"] >= told["created_at"]


RSA_PEM = (
    generate_private_key(65537, 2048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
).decode()
BAD_KEYS: list[tuple[dict[str, Any], str]] = [
    ({"label": ""}, "label"),
    ({"label": "x" * 65}, "label"),
    ({"label": "a\x00b"}, "label"),
    ({"label": "\ud800"}, "label"),
    ({"kind": "rsa"}, "kind"),
    ({"scopes": []}, "scopes"),
    ({"scopes": ["admin"]}, "scopes.0"),
    ({"symbols": []}, "symbols"),
    ({"symbols": ["DOGE/USD"]}, "symbol"),
    ({"notional_max": {"DOGE/USD": "1"}}, "notional_max"),
    ({"notional_max": {"BTC": "1"}}, "notional_max"),
    ({"notional_max": {"USD": "0"}}, "notional_max.USD"),
    ({"notional_max": {"USD": "1e3"}}, "notional_max.USD"),
    ({"notional_max": {"USD": "-1"}}, "notional_max.USD"),
    ({"notional_max": {"USD": 1000}}, "notional_max.USD"),
    ({"addresses": []}, "addresses"),
    ({"addresses": ["localhost"]}, "addresses"),
    ({"addresses": ["10.0.0.1/8"]}, "addresses"),
    ({"receive_window_ms": 0}, "receive_window_ms"),
    ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ({"expires_at": "2999-01-01T00:00:00Z"}, "expires_at"),
    ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
    ({"public_key": public_pem(Ed25519PrivateKey.generate())}, "public_key"),
    ({"kind": "ed25519"}, "public_key"),
    ({"kind": "ed25519", "public_key": "nonsense"}, "public_key"),
    ({"kind": "ed25519", "public_key": RSA_PEM}, "public_key"),
    ({"withdraw_to": "me"}, "withdraw_to"),
]


async def test_terms_that_make_no_sense_are_refused_by_name(client: aiohttp.ClientSession) -> None:
    _, session = await registered(client)
    for change, field in BAD_KEYS:
        body = {"label": "x", "kind": "hmac", "scopes": ["read"]} | change
        status, problem = await ask(client, "POST", KEYS, body, session)
        assert (status, problem["field"]) == (422, field), (change, problem)
    assert (await ask(client, "GET", KEYS, headers=session))[1]["items"] == []


async def test_an_account_has_so_many_keys_and_no_more(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain, "KEYS_MAX", 3)
    monkeypatch.setattr(domain, "REVOKED_KEPT", 2)
    _, session = await registered(client)
    made = [await make_key(client, session) for _ in range(3)]
    body = {"label": "x", "kind": "hmac", "scopes": ["read"]}
    refused = await ask(client, "POST", KEYS, body, session)
    assert (*reason(refused), refused[1]["limit"]) == (409, "LIMIT_REACHED", "3")
    for _ in range(6):
        signer, _ = made.pop(0)
        await ask(client, "DELETE", f"{KEYS}/{signer.key_id}", headers=session)
        made.append(await make_key(client, session))
    statuses = [key["status"] for key in (await ask(client, "GET", KEYS, headers=session))[1]["items"]]
    assert statuses.count("active") == 3
    assert statuses.count("revoked") <= 3


async def test_keys_are_sealed_with_the_installations_secret(client: aiohttp.ClientSession, exchange: Exchange) -> None:
    """Another secret of the installation makes HMAC keys useless, and nothing breaks."""
    _, session = await registered(client)
    signer, _ = await make_key(client, session)
    async with exchange.database.engine.begin() as connection:
        values = {"secret": b"sealed with something else.........", "changed_ns": time.time_ns()}
        await connection.execute(update(api_keys).values(values))
    await exchange.access.state.refresh()
    assert reason(await signed(client, signer, "GET", "/api/v1/balances")) == (401, "SIGNATURE_INVALID")
