"""Every operation asked by everybody: who is let in, who is told why not, and that nobody meets what is not theirs."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import update

from exchange.gateway.auth import ADMISSION
from exchange.gateway.context import Exchange
from exchange.gateway.openapi import openapi_document
from exchange.storage.tables import api_keys, users
from tests.support.local_exchange import SECRET, registered
from tests.support.signing import Signer, hmac_signer, make_key, public_pem

PASSWORD = "correct horse battery"
ORDER = {"symbol": "BTC/USD", "side": "Buy", "quantity": "1", "price": "100.00"}
ADMISSION_NAMES = {reason.name for reason in ADMISSION} | {"ADMIN_ONLY"}
PATHS = openapi_document()["paths"]
OPERATIONS = {
    operation["operationId"]: (method.upper(), path)
    for path, methods in PATHS.items()
    for method, operation in methods.items()
}

#: What each operation asks of who sends it. An operation that is missing here is one that nobody thought about.
PUBLIC = {
    "register", "login", "refresh", "logout", "list_markets", "get_market", "get_depth", "list_trades", "list_candles",
    "get_fee_schedule", "health", "get_past_book", "livez_livez_get", "readyz_readyz_get",
}  # fmt: skip
NEEDS = {
    "read": {
        "me", "list_orders", "get_order", "get_order_by_client_id", "list_order_trades", "list_balances", "list_ledger",
        "get_cancel_after",
        "list_fills", "list_history_orders", "list_history_fills", "list_history_ledger", "export_orders",
        "export_fills", "export_ledger", "get_statement", "export_statement", "list_past_balances",
        "get_transfer_terms", "list_deposits", "list_withdrawals", "get_withdrawal",
        "get_commission",
    },
    "trade": {"place_order", "test_order", "batch_orders", "place_order_list", "amend_order", "replace_order"},
    "cancel": {"cancel_orders", "cancel_order", "delete_order", "set_cancel_after"},
    "transfer": {"draw_from_faucet", "request_deposit", "request_withdrawal"},
    "revoke": {
        "list_sessions", "end_session", "end_other_sessions", "get_second_factor", "list_api_keys", "revoke_api_key",
        "kill_switch",
    },
    "manage": {"create_api_key", "enrol_second_factor", "confirm_second_factor", "disable_second_factor"},
    "any": {"inspect_api_key"},
    "administer": {
        "admin_list_assets", "admin_create_asset", "admin_list_markets", "admin_create_market", "admin_change_terms",
        "admin_set_mode", "admin_list_users", "admin_get_user", "admin_freeze_user", "admin_thaw_user",
        "admin_end_sessions", "admin_cancel_orders", "admin_list_audit_log", "admin_propose_adjustment",
        "admin_list_adjustments", "admin_get_adjustment", "admin_approve_adjustment", "admin_reject_adjustment",
        "admin_withdraw_adjustment",
    },
}  # fmt: skip
QUERIES = {"get_past_book": "?symbol=BTC-USD&sequence=7", "list_past_balances": "?sequence=7"}
SESSION_ONLY = ("revoke", "manage", "administer")  # never an API key
#: Operations whose path names what is somebody's.
OF_SOMETHING = (
    "{order_id}", "{client_order_id}", "{key_id}", "{session_id}", "{withdrawal_id}", "{account_id}", "{adjustment_id}",
)  # fmt: skip
BODIES: dict[str, Any] = {
    "set_cancel_after": {"timeout_ms": 86_400_000},
    "place_order": ORDER,
    "test_order": ORDER,
    "batch_orders": {"operations": [{"op": "place", **ORDER}]},
    "place_order_list": {"kind": "oco", "orders": [ORDER, ORDER]},
    "amend_order": {"quantity": "0.5"},
    "replace_order": ORDER,
    "draw_from_faucet": {"asset": "USD", "amount": "1"},
    "request_deposit": {"asset": "USD", "amount": "10", "reference": "mine"},
    "request_withdrawal": {"asset": "USD", "amount": "10", "destination": "home", "reference": "mine"},
    "create_api_key": {"label": "x", "kind": "hmac", "scopes": ["read", "trade", "transfer"]},
    "enrol_second_factor": {"password": PASSWORD},
    "confirm_second_factor": {"code": "000000"},
    "disable_second_factor": {"password": PASSWORD, "code": "000000"},
    "kill_switch": {},
    "admin_create_asset": {"name": "SOL", "scale": 9},
    "admin_create_market": {
        "base": "ETH",
        "quote": "BTC",
        "tick_size": "0.0001",
        "lot_size": "0.0001",
        "maker_fee": "0.001",
        "taker_fee": "0.002",
    },
    "admin_change_terms": {"maker_fee": "0.001"},
    "admin_set_mode": {"mode": "Open"},
    "admin_freeze_user": {"reason": "why not"},
    "admin_thaw_user": {"reason": "why not"},
    "admin_end_sessions": {"reason": "why not"},
    "admin_reject_adjustment": {"reason": "why not"},
    "admin_propose_adjustment": {
        "account_id": "1000",
        "asset": "USD",
        "direction": "Credit",
        "amount": "1",
        "reason": "why not",
    },
    "admin_cancel_orders": {"reason": "why not"},
}
Ask = Callable[[str], Awaitable[tuple[int, Any]]]


def needed(operation: str) -> str:
    return next(permission for permission, operations in NEEDS.items() if operation in operations)


def asked() -> list[str]:
    """Operations with an account behind them; those that change who has access come last."""
    changing = ("administer", "revoke", "manage")
    ending = ("end_session", "admin_end_sessions", "admin_cancel_orders")
    return sorted(set(OPERATIONS) - PUBLIC, key=lambda name: (name in ending, needed(name) in changing, name))


class EmptyPast:
    """A past in which nothing was: what is asked here is who may look into it."""

    async def book(self, market: int, sequence: int, levels: int) -> tuple[int, list[Any], list[Any]]:
        return 0, [], []

    async def balances(self, account: int, sequence: int) -> tuple[int, dict[int, tuple[int, int]]]:
        return 0, {}


class World:
    """Alice has an order, a key and a session; others ask about them."""

    def __init__(self, client: aiohttp.ClientSession, exchange: Exchange) -> None:
        self.client = client
        self.exchange = exchange

    async def begin(self) -> None:
        self.alice, self.session = await registered(self.client)
        await self.fund(self.alice)
        _, order = await self.send("POST", "/api/v1/orders", ORDER | {"client_order_id": "mine"}, self.session)
        self.signer, self.key = await make_key(self.client, self.session)
        self.order_id = order["order_id"]
        sent = BODIES["request_withdrawal"] | {"reference": "hers"}
        _, withdrawal = await self.send("POST", "/api/v1/withdrawals", sent, self.session)
        self.withdrawal_id = withdrawal["withdrawal_id"]
        claims = jwt.decode(self.session["authorization"].split()[1], options={"verify_signature": False})
        self.session_id = claims["sid"]

    async def fund(self, account: int) -> None:
        usd = self.exchange.catalogue.asset("USD")
        amount = usd.to_units("10000", "amount")
        await self.exchange.corridor.deposit(account, usd.number, amount)  # type: ignore[attr-defined]

    async def user(self, name: str, **changes: Any) -> dict[str, str]:
        """Another account with money, and its session."""
        account, session = await registered(self.client, name)
        await self.fund(account)
        if changes:
            async with self.exchange.database.engine.begin() as connection:
                await connection.execute(update(users).where(users.c.account_id == account).values(changes))
            await self.exchange.access.state.refresh()
        return session

    async def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        given = {**(headers or {}), **({} if data is None else {"content-type": "application/json"})}
        async with self.client.request(method, path, data=data, headers=given) as answer:
            is_json = "json" in answer.content_type
            return answer.status, await answer.json() if is_json else await answer.text()

    def request(self, operation: str) -> tuple[str, str, Any]:
        method, path = OPERATIONS[operation]
        names = {"{order_id}": self.order_id, "{session_id}": self.session_id, "{key_id}": self.key["key_id"]}
        names["{withdrawal_id}"] = self.withdrawal_id
        names["{account_id}"] = str(self.alice)
        names["{adjustment_id}"] = "1"
        for name, value in {**names, "{client_order_id}": "mine", "{symbol}": "BTC-USD", "{month}": "2026-01"}.items():
            path = path.replace(name, value)
        return method, path + QUERIES.get(operation, ""), BODIES.get(operation)

    async def belongings(self) -> list[Any]:
        """What Alice has: order, money, keys, sessions, withdrawals."""
        names = ("get_order", "list_balances", "list_api_keys", "list_sessions", "list_withdrawals", "list_deposits")
        found = [(await self.by(self.session)(name))[1] for name in names]
        found[1].pop("sequence")
        return found

    def by(self, headers: dict[str, str] | None) -> Ask:
        """Ask with these headers."""

        async def ask(operation: str) -> tuple[int, Any]:
            return await self.send(*self.request(operation), headers)

        return ask

    def signed(self, signer: Signer) -> Ask:
        async def ask(operation: str) -> tuple[int, Any]:
            method, path, body = self.request(operation)
            data = b"" if body is None else json.dumps(body).encode()
            return await self.send(method, path, body, signer.headers(method, path, data))

        return ask


@pytest.fixture
async def world(trading: aiohttp.ClientSession, exchange: Exchange) -> World:
    exchange.past = EmptyPast()
    made = World(trading, exchange)
    await made.begin()
    return made


def check_documented(operation: str, answer: tuple[int, Any]) -> None:
    """The answer is one that the document declares, with its reason among the examples."""
    method, path = OPERATIONS[operation]
    responses = PATHS[path][method.lower()]["responses"]
    status, body = answer
    assert str(status) in responses, (operation, answer)
    if status >= 400:
        examples = responses[str(status)]["content"]["application/problem+json"]["examples"]
        assert body["reason"] in examples, (operation, answer)


async def expect(ask: Ask, expected: Callable[[str], str | None]) -> None:
    """Ask for every operation. ``expected``: the reason that admission refuses it for, None where it lets it in."""
    for operation in asked():
        answer = await ask(operation)
        check_documented(operation, answer)
        given = answer[1]["reason"] if answer[0] >= 400 else None
        reason = expected(operation)
        if reason is None:
            # Kill switch and the like answer for themselves: what counts is that admission did not refuse.
            assert given not in ADMISSION_NAMES, (operation, answer)
        else:
            assert given == reason, (operation, answer)


def test_every_operation_is_in_the_table_once() -> None:
    listed = [*PUBLIC, *(name for names in NEEDS.values() for name in names)]
    assert sorted(listed) == sorted(OPERATIONS)


def test_the_document_says_which_operations_a_session_and_a_key_may_ask_for() -> None:
    for name, (method, path) in OPERATIONS.items():
        security = PATHS[path][method.lower()].get("security", [])
        schemes = [sorted(one) for one in security]
        if name in PUBLIC:
            assert schemes == []
        elif needed(name) in SESSION_ONLY:
            assert schemes == [["bearer"]], name
        else:
            assert schemes == [["bearer"], ["key", "signature", "timestamp"]], name


def of_a_user(operation: str) -> str | None:
    """Why a session that is no admin's is refused."""
    return "ADMIN_ONLY" if needed(operation) == "administer" else None


async def test_the_owner_is_let_in_everywhere_but_where_admins_are(world: World) -> None:
    await expect(world.by(world.session), of_a_user)


async def test_an_admin_is_let_in_everywhere(world: World) -> None:
    admin = await world.user("root", role="admin")
    await expect(world.by(admin), lambda operation: None)


async def test_an_admin_that_was_revoked_or_frozen_is_let_in_nowhere_where_admins_are(world: World) -> None:
    admin = await world.user("root", role="admin")
    for change, reason in (({"frozen_ns": 1}, "ACCOUNT_FROZEN"), ({"frozen_ns": None, "role": "user"}, "ADMIN_ONLY")):
        async with world.exchange.database.engine.begin() as connection:
            await connection.execute(update(users).where(users.c.username == "root").values(change))
        await world.exchange.access.state.refresh()
        for operation in NEEDS["administer"]:
            answer = await world.by(admin)(operation)
            check_documented(operation, answer)
            assert answer[1]["reason"] == reason, operation


async def test_nobody_is_let_in_anywhere(world: World) -> None:
    await expect(world.by(None), lambda operation: "UNAUTHENTICATED")


async def test_public_operations_ask_for_nothing(world: World) -> None:
    for operation in PUBLIC - {"register", "login", "refresh", "logout"}:
        status, _ = await world.by(None)(operation)
        assert status == 200, operation


def unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none", "typ": "at+jwt"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


async def test_a_token_that_is_not_exactly_ours_opens_nothing(world: World) -> None:
    good = world.session["authorization"].split()[1]
    claims = jwt.decode(good, options={"verify_signature": False})
    head = {"typ": "at+jwt"}
    private = Ed25519PrivateKey.generate()
    _, with_public_key = await make_key(world.client, world.session, "ed25519")
    assert with_public_key["kind"] == "ed25519"
    # HS256 with a public key as the secret: what confuses a verifier that takes the algorithm from the token.
    head_and_body = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "HS256", "typ": "at+jwt"}, claims)
    )
    confused = hmac.new(public_pem(private).encode(), head_and_body.encode(), hashlib.sha256).digest()
    tokens = {
        "no algorithm": unsigned(claims),
        "EdDSA": jwt.encode(claims, private, algorithm="EdDSA", headers=head),
        "HS256 by a public key": f"{head_and_body}.{base64.urlsafe_b64encode(confused).decode().rstrip('=')}",
        "another secret": jwt.encode(claims, SECRET[::-1], algorithm="HS256", headers=head),
        "HS384": jwt.encode(claims, SECRET * 2, algorithm="HS384", headers=head),
        "another audience": jwt.encode({**claims, "aud": "elsewhere"}, SECRET, algorithm="HS256", headers=head),
        "another issuer": jwt.encode({**claims, "iss": "elsewhere"}, SECRET, algorithm="HS256", headers=head),
        "another type": jwt.encode(claims, SECRET, algorithm="HS256", headers={"typ": "JWT"}),
        "no session": jwt.encode({**claims, "sid": None}, SECRET, algorithm="HS256", headers=head),
        "the key's secret": world.key["secret"],
    }
    for name, token in tokens.items():
        try:
            await expect(world.by({"authorization": f"Bearer {token}"}), lambda operation: "UNAUTHENTICATED")
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


async def test_an_expired_token_says_so_everywhere(world: World) -> None:
    good = world.session["authorization"].split()[1]
    claims = jwt.decode(good, options={"verify_signature": False})
    stale = {**claims, "iat": claims["iat"] - 1000, "exp": claims["exp"] - 1000}
    token = jwt.encode(stale, SECRET, algorithm="HS256", headers={"typ": "at+jwt"})
    await expect(world.by({"authorization": f"Bearer {token}"}), lambda operation: "TOKEN_EXPIRED")


async def test_an_ended_session_opens_nothing(world: World) -> None:
    body = {"username": "alice", "password": PASSWORD}
    _, other = await world.send("POST", "/api/v1/auth/login", body)
    await world.send("DELETE", "/api/v1/auth/sessions", headers={"authorization": f"Bearer {other['access_token']}"})
    await expect(world.by(world.session), lambda operation: "UNAUTHENTICATED")


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
@pytest.mark.parametrize(
    ("scopes", "permissions"),
    [
        (["read"], {"read"}),
        (["trade"], {"trade", "cancel"}),
        (["transfer"], {"transfer"}),
        (["read", "trade", "transfer"], {"read", "trade", "cancel", "transfer"}),
    ],
)
async def test_a_key_does_what_its_scopes_say_and_never_gives_or_takes_access(
    world: World, kind: str, scopes: list[str], permissions: set[str]
) -> None:
    signer, _ = await make_key(world.client, world.session, kind, scopes=scopes)
    allowed = permissions | {"any"}
    await expect(world.signed(signer), lambda operation: None if needed(operation) in allowed else "SCOPE_MISSING")
    _, keys = await world.send("GET", "/api/v1/api-keys", headers=world.session)
    assert [key["status"] for key in keys["items"]] == ["active", "active"]


async def test_a_revoked_an_expired_and_a_forged_key_open_nothing(world: World) -> None:
    scopes = ["read", "trade", "transfer"]
    revoked, _ = await make_key(world.client, world.session, scopes=scopes)
    await world.send("DELETE", f"/api/v1/api-keys/{revoked.key_id}", headers=world.session)
    await expect(world.signed(revoked), lambda operation: "KEY_REVOKED")
    expired, _ = await make_key(world.client, world.session, "ed25519", scopes=scopes)
    async with world.exchange.database.engine.begin() as connection:
        mine = update(api_keys).where(api_keys.c.key_id == expired.key_id)
        now_ns = time.time_ns()
        await connection.execute(mine.values(expires_ns=now_ns, changed_ns=now_ns))
    await world.exchange.access.state.refresh()
    await expect(world.signed(expired), lambda operation: "KEY_EXPIRED")
    await expect(world.signed(hmac_signer(world.key["key_id"], "guessed")), lambda operation: "SIGNATURE_INVALID")


async def test_a_frozen_account_reads_cancels_and_takes_access_away_with_session_and_key(world: World) -> None:
    session = await world.user("frozen")
    signer, _ = await make_key(world.client, session, scopes=["read", "trade", "transfer"])
    async with world.exchange.database.engine.begin() as connection:
        mine = update(users).where(users.c.username == "frozen")
        await connection.execute(mine.values(frozen_ns=time.time_ns()))
    await world.exchange.access.state.refresh()

    def of_key(operation: str) -> str | None:
        if needed(operation) in SESSION_ONLY:
            return "SCOPE_MISSING"
        return "ACCOUNT_FROZEN" if needed(operation) in ("trade", "transfer") else None

    await expect(world.signed(signer), of_key)
    frozen = ("trade", "transfer", "manage")
    await expect(
        world.by(session), lambda operation: "ACCOUNT_FROZEN" if needed(operation) in frozen else of_a_user(operation)
    )


async def test_a_stranger_neither_sees_nor_changes_anything_of_anybody_else(world: World) -> None:
    stranger = await world.user("mallory")
    key, _ = await make_key(world.client, stranger, scopes=["read", "trade", "transfer"])
    before = await world.belongings()
    owned = (world.order_id, world.key["key_id"], world.session_id, str(world.alice))
    for ask in (world.signed(key), world.by(stranger)):
        for operation in asked():
            status, body = await ask(operation)
            own_path = world.request(operation)[1]
            told = json.dumps(body)
            for secret in owned:
                # A refusal may repeat what was asked for, and nothing else.
                assert f'"{secret}"' not in told, (operation, status, body)
            if any(name in OPERATIONS[operation][1] for name in OF_SOMETHING):
                assert status in (403, 404), (operation, status, body)
                missing = {"UNKNOWN_ORDER", "NOT_FOUND", "NOT_RECEIVED", "SCOPE_MISSING", "ADMIN_ONLY"}
                assert body["reason"] in missing, (operation, own_path, body)
    assert await world.belongings() == before


async def test_what_is_not_theirs_is_answered_like_what_is_not_there(world: World) -> None:
    stranger = world.by(await world.user("mallory"))
    theirs = {name: await stranger(name) for name in ("get_order", "cancel_order", "revoke_api_key", "end_session")}
    world.order_id, world.session_id, world.key["key_id"] = "999999", str(uuid.uuid4()), "f" * 24
    for name, (status, problem) in theirs.items():
        nobodys_status, nobodys = await stranger(name)
        assert (status, problem["reason"]) == (nobodys_status, nobodys["reason"]), name
        assert set(problem) == set(nobodys), name
