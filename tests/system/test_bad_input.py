"""Bad input answers with a 4xx problem that names field, limit and nearest valid value, and never reaches the engine."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from tests.support.server import ExchangeServer

GOOD = {"symbol": "BTC/USD", "side": "Buy", "quantity": "1.0", "price": "50000.00", "order_type": "Limit"}

# body or change of the good order -> status, reason, field, limit, nearest
CASES: dict[str, tuple[dict[str, Any], int, str, str | None, str | None, str | None]] = {
    "off tick": ({"price": "50000.004"}, 422, "PRICE_OFF_TICK", "price", "0.01", "50000.00"),
    "off tick, nearest above": ({"price": "50000.006"}, 422, "PRICE_OFF_TICK", "price", "0.01", "50000.01"),
    "off lot": ({"quantity": "1.000000001"}, 422, "QUANTITY_OFF_LOT", "quantity", "0.00000001", "1"),
    "unknown symbol": ({"symbol": "BTC/EUR"}, 422, "UNKNOWN_SYMBOL", "symbol", "BTC/USD, ETH/USD", "BTC/USD"),
    "unknown symbol, close": ({"symbol": "BTCUSD"}, 422, "UNKNOWN_SYMBOL", "symbol", "BTC/USD, ETH/USD", "BTC/USD"),
    "huge price": ({"price": "9" * 24}, 422, "PRICE_OUT_OF_RANGE", "price", "10000000.00", "10000000.00"),
    "huger price": ({"price": "9" * 400}, 422, "FIELD_INVALID", "price", "a decimal string", None),
    "huge quantity": ({"quantity": "1" + "0" * 20}, 422, "QUANTITY_OUT_OF_RANGE", "quantity", "100000", "100000"),
    "value too small": ({"price": "0.01"}, 201, "", None, None, None),
    "zero price": ({"price": "0"}, 422, "PRICE_OUT_OF_RANGE", "price", "0.01", "0.01"),
    "zero quantity": ({"quantity": "0"}, 422, "QUANTITY_OUT_OF_RANGE", "quantity", "0.00000001", "0.00000001"),
    "tiny value": ({"price": "0.01", "quantity": "0.5"}, 422, "NOTIONAL_TOO_SMALL", "quantity", "0.01", "1"),
    "huge value": ({"price": "10000000.00", "quantity": "100000"}, 422, "NOTIONAL_TOO_LARGE", "quantity", "461168601.8427387903", "46.11686018"),
    "float price": ({"price": 50000.0}, 422, "FIELD_INVALID", "price", "a decimal string", None),
    "float quantity": ({"quantity": 1.5}, 422, "FIELD_INVALID", "quantity", "a decimal string", None),
    "integer quantity": ({"quantity": 1}, 422, "FIELD_INVALID", "quantity", "a decimal string", None),
    "negative price": ({"price": "-1"}, 422, "FIELD_INVALID", "price", "a decimal string", None),
    "negative quantity": ({"quantity": "-0.1"}, 422, "FIELD_INVALID", "quantity", "a decimal string", None),
    "empty price": ({"price": ""}, 422, "FIELD_INVALID", "price", "a decimal string", None),
    "exponent": ({"price": "5e4"}, 422, "FIELD_INVALID", "price", "a decimal string", None),
    "not a number": ({"price": "NaN"}, 422, "FIELD_INVALID", "price", "a decimal string", None),
    "other digits": ({"quantity": "١"}, 422, "FIELD_INVALID", "quantity", "a decimal string", None),
    "null quantity": ({"quantity": None}, 422, "FIELD_INVALID", "quantity", "required", None),
    "no price": ({"price": None}, 422, "FIELD_INVALID", "price", "required", None),
    "unknown side": ({"side": "Hold"}, 422, "SIDE_INVALID", "side", "Buy or Sell", None),
    "no side": ({"side": None}, 422, "SIDE_INVALID", "side", "Buy or Sell", None),
    "list as side": ({"side": ["Buy"]}, 422, "SIDE_INVALID", "side", "Buy or Sell", None),
    "unknown type": ({"order_type": "Stop"}, 422, "ORDER_TYPE_INVALID", "order_type", "Limit or Market", None),
    "unknown time in force": ({"time_in_force": "DAY"}, 422, "TIME_IN_FORCE_INVALID", "time_in_force", "GTC, IOC or FOK", None),
    "market order that rests": ({"order_type": "Market", "time_in_force": "GTC"}, 422, "TIME_IN_FORCE_INVALID", "time_in_force", "IOC or FOK", "IOC"),
    "post-only market order": ({"order_type": "Market", "post_only": True}, 422, "FLAGS_INVALID", "post_only", "GTC Limit", "false"),
    "post-only as text": ({"post_only": "yes"}, 422, "FIELD_INVALID", "post_only", "true or false", None),
    "client id too long": ({"client_order_id": "x" * 37}, 422, "CLIENT_ORDER_ID_INVALID", "client_order_id", "1 to 36 of A-Z a-z 0-9 _ . : -", "x" * 36),
    "client id with a blank": ({"client_order_id": "a b"}, 422, "CLIENT_ORDER_ID_INVALID", "client_order_id", "1 to 36 of A-Z a-z 0-9 _ . : -", "ab"),
    "client id empty": ({"client_order_id": ""}, 422, "CLIENT_ORDER_ID_INVALID", "client_order_id", "1 to 36 of A-Z a-z 0-9 _ . : -", None),
}  # fmt: skip


def last_sequence(exchange: ExchangeServer) -> int:
    status, health = exchange.call("GET", "/readyz")
    assert status == 200
    _, depth = exchange.call("GET", "/api/v1/markets/BTC-USD/depth?levels=1")
    return int(depth["sequence"])


@pytest.mark.parametrize("name", CASES)
def test_a_bad_field_is_named_with_its_limit_and_the_nearest_valid_value(
    exchange_server: ExchangeServer, trader: Callable[..., str], name: str
) -> None:
    change, status, reason, field, limit, nearest = CASES[name]
    token = trader(USD="100")
    before = last_sequence(exchange_server)
    body = {key: value for key, value in (GOOD | change).items() if value is not None}
    answered, answer = exchange_server.call("POST", "/api/v1/orders", body, token)
    assert answered == status, answer
    if status == 201:
        assert last_sequence(exchange_server) == before + 1
        return
    assert (answer["reason"], answer["field"], answer["limit"], answer["nearest"]) == (reason, field, limit, nearest)
    assert answer["status"] == status and answer["detail"] and answer["request_id"]
    assert last_sequence(exchange_server) == before, "what is refused at the edge never reaches the engine"


@pytest.mark.parametrize(
    ("raw", "status", "reason"),
    [
        (b"", 400, "MALFORMED"),
        (b"{", 400, "MALFORMED"),
        (b"[]", 400, "MALFORMED"),
        (b"null", 400, "MALFORMED"),
        (b'{"symbol":"BTC/USD","sid":"Buy"}', 400, "MALFORMED"),
        (b"\xff\xfe", 400, "MALFORMED"),
        (b'{"symbol":"\\ud800"}', 400, "MALFORMED"),
        (b"[" * 50_000, 400, "MALFORMED"),
        (json.dumps(GOOD | {"client_order_id": "x" * 1_000_000}).encode(), 413, "BODY_TOO_LARGE"),
    ],
    ids=["empty", "cut off", "list", "null", "unknown field", "no text", "half a character", "deep", "1 MB"],
)
def test_a_body_that_is_no_order_is_refused(
    exchange_server: ExchangeServer, trader: Callable[..., str], raw: bytes, status: int, reason: str
) -> None:
    token = trader()
    before = last_sequence(exchange_server)
    answered, answer = exchange_server.call("POST", "/api/v1/orders", token=token, raw=raw)
    assert (answered, answer["reason"]) == (status, reason)
    assert last_sequence(exchange_server) == before


def test_a_body_of_another_type_is_refused(exchange_server: ExchangeServer, trader: Callable[..., str]) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer = exchange_server.call("POST", "/api/v1/orders", token=trader(), raw=b"symbol=BTC", headers=headers)
    assert (status, answer["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def _token(**claims: Any) -> str:
    now = int(time.time())
    known = {"iss": "exchange", "aud": "exchange-api", "sub": "1000", "iat": now, "exp": now + 60, "jti": "x"}
    return jwt.encode(known | claims, "x" * 48, algorithm="HS256", headers={"typ": "at+jwt"})


def _unsigned() -> str:
    header, payload, _ = _token().split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    return f"{none}.{payload}."


@pytest.mark.parametrize("token", [None, "", "nonsense", "a.b.c", _token(), _unsigned(), "x" * 20_000])
def test_a_wrong_token_is_refused(exchange_server: ExchangeServer, token: str | None) -> None:
    for method, path, body in (
        ("POST", "/api/v1/orders", GOOD),
        ("PUT", "/api/v1/orders/1/cancel", None),
        ("DELETE", "/api/v1/orders/1", None),
        ("GET", "/api/v1/orders", None),
        ("GET", "/api/v1/balances", None),
    ):
        status, answer = exchange_server.call(method, path, body, token)
        assert (status, answer["reason"]) == (401, "UNAUTHENTICATED")


def test_an_expired_token_is_refused(exchange_server: ExchangeServer) -> None:
    secret = json.loads((exchange_server.home / "secrets.json").read_text())["JWT_SECRET"]
    now = int(time.time())
    claims = {"iss": "exchange", "aud": "exchange-api", "sub": "1000", "iat": now - 700, "exp": now - 100, "jti": "x"}
    token = jwt.encode(claims, secret, algorithm="HS256", headers={"typ": "at+jwt"})
    status, answer = exchange_server.call("POST", "/api/v1/orders", GOOD, token)
    assert (status, answer["reason"]) == (401, "TOKEN_EXPIRED")


def test_somebody_elses_order_looks_like_no_order(exchange_server: ExchangeServer, trader: Callable[..., str]) -> None:
    owner, other = trader(USD="60000"), trader(USD="60000")
    _, placed = exchange_server.call("POST", "/api/v1/orders", GOOD, owner)
    path = f"/api/v1/orders/{placed['order_id']}"
    for method, at in (("GET", path), ("PUT", path + "/cancel"), ("DELETE", path), ("GET", path + "/trades")):
        status, theirs = exchange_server.call(method, at, token=other)
        _, nothing = exchange_server.call(method, at.replace(placed["order_id"], "999999999"), token=other)
        assert (status, theirs["reason"]) == (404, "UNKNOWN_ORDER")
        assert theirs.keys() == nothing.keys()
    _, still = exchange_server.call("GET", path, token=owner)
    assert still["status"] == "Open"
    exchange_server.call("DELETE", path, token=owner)


@pytest.mark.parametrize("order_id", ["0", "x", "-1", "9" * 19, "9" * 40, "1%00", "%2e%2e"])
def test_an_odd_order_id_is_refused(exchange_server: ExchangeServer, trader: Callable[..., str], order_id: str) -> None:
    token = trader()
    for method, path in (("GET", ""), ("PUT", "/cancel"), ("DELETE", ""), ("GET", "/trades")):
        status, answer = exchange_server.call(method, f"/api/v1/orders/{order_id}{path}", token=token)
        assert status in (404, 422), (method, answer)
        assert answer["reason"] in ("UNKNOWN_ORDER", "FIELD_INVALID", "NOT_FOUND")
