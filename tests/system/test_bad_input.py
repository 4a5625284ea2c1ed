"""Bad input answers with a 4xx problem naming field, limit and nearest valid value, and never reaches the engine."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jwt
import pytest

from tests.support.server import ExchangeServer

GOOD = {"symbol": "BTC/USD", "side": "Buy", "quantity": "1.0", "price": "50000.00", "order_type": "Limit"}

STOP = {"order_type": "Stop", "trigger_price": "90000.00", "price": None}
TRAILING = {"order_type": "TrailingStop", "trail": "100.00", "price": None}
AMOUNT = {"order_type": "Market", "quote_quantity": "10", "quantity": None, "price": None}

ORDER_TYPES = "Market, Limit, Stop, StopLimit, TakeProfit, TakeProfitLimit or TrailingStop"
TRIGGERED = "Stop, StopLimit, TakeProfit, TakeProfitLimit and TrailingStop orders"
SELF_TRADES = "None, CancelNewest, CancelOldest, CancelBoth or Decrement"
LASTING = "GTC, GTD or DAY"
DECIMAL = "a decimal string"
CLIENT_ID = "1 to 36 of A-Z a-z 0-9 _ . : -"


class Bad(NamedTuple):
    """A change of the good order (None takes the field away) and the problem that it meets."""

    change: dict[str, Any]
    reason: str
    field: str
    limit: str
    nearest: str | None = None


CASES = {
    "off tick": Bad({"price": "50000.004"}, "PRICE_OFF_TICK", "price", "0.01", "50000.00"),
    "off tick, nearest above": Bad({"price": "50000.006"}, "PRICE_OFF_TICK", "price", "0.01", "50000.01"),
    "off lot": Bad({"quantity": "1.000000001"}, "QUANTITY_OFF_LOT", "quantity", "0.00000001", "1"),
    "unknown symbol": Bad({"symbol": "BTC/EUR"}, "UNKNOWN_SYMBOL", "symbol", "BTC/USD, ETH/USD", "BTC/USD"),
    "unknown symbol, close": Bad({"symbol": "BTCUSD"}, "UNKNOWN_SYMBOL", "symbol", "BTC/USD, ETH/USD", "BTC/USD"),
    "huge price": Bad({"price": "9" * 24}, "PRICE_OUT_OF_RANGE", "price", "10000000.00", "10000000.00"),
    "huger price": Bad({"price": "9" * 400}, "FIELD_INVALID", "price", DECIMAL),
    "huge quantity": Bad({"quantity": "1" + "0" * 20}, "QUANTITY_OUT_OF_RANGE", "quantity", "100000", "100000"),
    "zero price": Bad({"price": "0"}, "PRICE_OUT_OF_RANGE", "price", "0.01", "0.01"),
    "zero quantity": Bad({"quantity": "0"}, "QUANTITY_OUT_OF_RANGE", "quantity", "0.00000001", "0.00000001"),
    "tiny value": Bad({"price": "0.01", "quantity": "0.5"}, "NOTIONAL_TOO_SMALL", "quantity", "0.01", "1"),
    "huge value": Bad(
        {"price": "10000000.00", "quantity": "100000"},
        "NOTIONAL_TOO_LARGE",
        "quantity",
        "461168601.8427387903",
        "46.11686018",
    ),
    "float price": Bad({"price": 50000.0}, "FIELD_INVALID", "price", DECIMAL),
    "float quantity": Bad({"quantity": 1.5}, "FIELD_INVALID", "quantity", DECIMAL),
    "integer quantity": Bad({"quantity": 1}, "FIELD_INVALID", "quantity", DECIMAL),
    "negative price": Bad({"price": "-1"}, "FIELD_INVALID", "price", DECIMAL),
    "negative quantity": Bad({"quantity": "-0.1"}, "FIELD_INVALID", "quantity", DECIMAL),
    "empty price": Bad({"price": ""}, "FIELD_INVALID", "price", DECIMAL),
    "exponent": Bad({"price": "5e4"}, "FIELD_INVALID", "price", DECIMAL),
    "not a number": Bad({"price": "NaN"}, "FIELD_INVALID", "price", DECIMAL),
    "other digits": Bad({"quantity": "١"}, "FIELD_INVALID", "quantity", DECIMAL),
    "null quantity": Bad({"quantity": None}, "FIELD_INVALID", "quantity", "required"),
    "no price": Bad({"price": None}, "FIELD_INVALID", "price", "required"),
    "unknown side": Bad({"side": "Hold"}, "SIDE_INVALID", "side", "Buy or Sell"),
    "no side": Bad({"side": None}, "SIDE_INVALID", "side", "Buy or Sell"),
    "list as side": Bad({"side": ["Buy"]}, "SIDE_INVALID", "side", "Buy or Sell"),
    "unknown type": Bad({"order_type": "Iceberg"}, "ORDER_TYPE_INVALID", "order_type", ORDER_TYPES),
    "unknown time in force": Bad(
        {"time_in_force": "GFD"}, "TIME_IN_FORCE_INVALID", "time_in_force", "GTC, GTD, DAY, IOC or FOK"
    ),
    "stop that does not last": Bad(
        STOP | {"time_in_force": "IOC"}, "TIME_IN_FORCE_INVALID", "time_in_force", LASTING, "GTC"
    ),
    "market order that rests": Bad(
        {"order_type": "Market", "time_in_force": "GTC"}, "TIME_IN_FORCE_INVALID", "time_in_force", "IOC or FOK", "IOC"
    ),
    "post-only market order": Bad(
        {"order_type": "Market", "post_only": True}, "FLAGS_INVALID", "post_only", LASTING + " Limit", "false"
    ),
    "post-only stop": Bad(STOP | {"post_only": True}, "FLAGS_INVALID", "post_only", LASTING + " Limit", "false"),
    "slide alone": Bad({"slide": True}, "FLAGS_INVALID", "slide", "with post_only", "false"),
    "slide as text": Bad({"slide": "no"}, "FIELD_INVALID", "slide", "true or false"),
    "stop without trigger": Bad(STOP | {"trigger_price": None}, "FIELD_INVALID", "trigger_price", "required"),
    "trigger off tick": Bad(STOP | {"trigger_price": "1.001"}, "PRICE_OFF_TICK", "trigger_price", "0.01", "1.00"),
    "trigger of zero": Bad(STOP | {"trigger_price": "0"}, "TRIGGER_PRICE_INVALID", "trigger_price", "0.01", "0.01"),
    "limit with trigger": Bad({"trigger_price": "1.00"}, "TRIGGER_PRICE_INVALID", "trigger_price", TRIGGERED),
    "stop-limit without price": Bad(
        STOP | {"order_type": "StopLimit", "price": None}, "FIELD_INVALID", "price", "required"
    ),
    "trail of a stop": Bad(STOP | {"trail": "1.00"}, "TRAIL_INVALID", "trail", "TrailingStop orders"),
    "trailing stop without trail": Bad(TRAILING | {"trail": None}, "FIELD_INVALID", "trail", "required"),
    "trailing stop with price": Bad(TRAILING | {"price": "5.00"}, "PRICE_OUT_OF_RANGE", "price", "none"),
    "huge trail": Bad(TRAILING | {"trail": "20000000"}, "TRAIL_INVALID", "trail", "10000000.00", "10000000.00"),
    "iceberg that shows all": Bad(
        {"display_quantity": "1.0"}, "DISPLAY_QUANTITY_INVALID", "display_quantity", "0.99999999", "0.99999999"
    ),
    "iceberg that shows nothing": Bad(
        {"display_quantity": "0"}, "DISPLAY_QUANTITY_INVALID", "display_quantity", "0.00000001", "0.00000001"
    ),
    "iceberg at once": Bad(
        {"display_quantity": "0.5", "time_in_force": "IOC"},
        "DISPLAY_QUANTITY_INVALID",
        "display_quantity",
        LASTING + " Limit",
    ),
    "minimum above quantity": Bad({"min_quantity": "2"}, "MIN_QUANTITY_INVALID", "min_quantity", "1", "1"),
    "minimum of a post-only order": Bad(
        {"min_quantity": "1", "post_only": True}, "MIN_QUANTITY_INVALID", "min_quantity", "Market by quantity, Limit"
    ),
    "GTD without a time": Bad({"time_in_force": "GTD"}, "FIELD_INVALID", "expire_at", "required"),
    "a time without GTD": Bad(
        {"expire_at": "2099-01-01T00:00:00Z"}, "EXPIRE_TIME_INVALID", "expire_at", "with time_in_force GTD"
    ),
    "no time": Bad({"time_in_force": "GTD", "expire_at": "tomorrow"}, "FIELD_INVALID", "expire_at", "RFC 3339 with Z"),
    "a time as number": Bad(
        {"time_in_force": "GTD", "expire_at": 9e9}, "FIELD_INVALID", "expire_at", "RFC 3339 with Z"
    ),
    "unknown self-trade prevention": Bad(
        {"self_trade_prevention": "Maybe"}, "SELF_TRADE_INVALID", "self_trade_prevention", SELF_TRADES
    ),
    "decrement by amount": Bad(
        AMOUNT | {"self_trade_prevention": "Decrement"},
        "SELF_TRADE_INVALID",
        "self_trade_prevention",
        "None, CancelNewest, CancelOldest or CancelBoth",
        "CancelNewest",
    ),
    "amount of a limit order": Bad({"quote_quantity": "10"}, "AMOUNT_OUT_OF_RANGE", "quote_quantity", "Market orders"),
    "amount and quantity": Bad(AMOUNT | {"quantity": "1"}, "AMOUNT_OUT_OF_RANGE", "quote_quantity", "without quantity"),
    "amount or nothing": Bad(AMOUNT | {"time_in_force": "FOK"}, "TIME_IN_FORCE_INVALID", "time_in_force", "IOC", "IOC"),
    "tiny amount": Bad(AMOUNT | {"quote_quantity": "0.001"}, "NOTIONAL_TOO_SMALL", "quote_quantity", "0.01", "0.01"),
    "amount too fine": Bad(
        AMOUNT | {"quote_quantity": "1.00000000001"}, "AMOUNT_OUT_OF_RANGE", "quote_quantity", "0.0000000001", "1"
    ),
    "post-only as text": Bad({"post_only": "yes"}, "FIELD_INVALID", "post_only", "true or false"),
    "client id too long": Bad(
        {"client_order_id": "x" * 37}, "CLIENT_ORDER_ID_INVALID", "client_order_id", CLIENT_ID, "x" * 36
    ),
    "client id with a blank": Bad(
        {"client_order_id": "a b"}, "CLIENT_ORDER_ID_INVALID", "client_order_id", CLIENT_ID, "ab"
    ),
    "client id empty": Bad({"client_order_id": ""}, "CLIENT_ORDER_ID_INVALID", "client_order_id", CLIENT_ID),
}


def last_sequence(exchange: ExchangeServer) -> int:
    status, _ = exchange.call("GET", "/readyz")
    assert status == 200
    _, depth = exchange.call("GET", "/api/v1/markets/BTC-USD/depth?levels=1")
    return int(depth["sequence"])


@pytest.mark.parametrize("name", CASES)
def test_a_bad_field_is_named_with_its_limit_and_the_nearest_valid_value(
    exchange_server: ExchangeServer, trader: Callable[..., str], name: str
) -> None:
    change, *expected = CASES[name]
    token = trader(USD="100")
    before = last_sequence(exchange_server)
    body = {key: value for key, value in (GOOD | change).items() if value is not None}
    status, answer = exchange_server.call("POST", "/api/v1/orders", body, token)
    assert status == 422, answer
    if expected[0] == "UNKNOWN_SYMBOL":  # other tests may have made more markets
        answer["limit"] = answer["limit"][: len(expected[2])]
    assert [answer["reason"], answer["field"], answer["limit"], answer["nearest"]] == expected
    assert answer["status"] == status and answer["detail"] and answer["request_id"]
    assert last_sequence(exchange_server) == before, "what is refused at the edge never reaches the engine"


def test_an_order_of_the_least_value_is_taken(exchange_server: ExchangeServer, trader: Callable[..., str]) -> None:
    token = trader(USD="100")
    before = last_sequence(exchange_server)
    status, answer = exchange_server.call("POST", "/api/v1/orders", GOOD | {"price": "0.01"}, token)
    assert status == 201, answer
    assert last_sequence(exchange_server) == before + 1


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
    known: dict[str, Any] = {"iss": "exchange", "aud": "exchange-api", "sub": "1000", "sid": "x", "jti": "x"}
    known |= {"iat": now, "exp": now + 60}
    return jwt.encode(known | claims, "x" * 48, algorithm="HS256", headers={"typ": "at+jwt"})


def _unsigned() -> str:
    _, payload, _ = _token().split(".")
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
    now = int(time.time())
    claims: dict[str, Any] = {"iss": "exchange", "aud": "exchange-api", "sub": "1000", "sid": "x", "jti": "x"}
    claims |= {"iat": now - 700, "exp": now - 100}
    token = jwt.encode(claims, exchange_server.jwt_secret, algorithm="HS256", headers={"typ": "at+jwt"})
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
