"""What a newcomer does first, over HTTP against the real thing."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.server import ExchangeServer

MANUAL_ORDER = {"symbol": "BTC/USD", "side": "Buy", "quantity": "1.0", "price": "50000.00", "order_type": "Limit"}
Trader = Callable[..., str]


def order(side: str, price: str, quantity: str, **more: Any) -> dict[str, Any]:
    return {"symbol": "ETH-USD", "side": side, "price": price, "quantity": quantity, "order_type": "Limit", **more}


def balances(exchange: ExchangeServer, token: str) -> dict[str, tuple[str, str]]:
    status, answer = exchange.call("GET", "/api/v1/balances", token=token)
    assert status == 200, answer
    return {item["asset"]: (item["available"], item["held"]) for item in answer["items"]}


@pytest.mark.parametrize("path", ["/api/v1/orders", "/api/v1/orders/orders"])
def test_the_manuals_order_rests_is_listed_and_is_cancelled(
    exchange_server: ExchangeServer, trader: Trader, path: str
) -> None:
    token = trader(USD="60000")
    status, placed = exchange_server.call("POST", path, MANUAL_ORDER, token)
    assert (status, placed["status"], placed["price"], placed["quantity"]) == (201, "Open", "50000.00", "1")
    assert placed["fills"] == []
    assert balances(exchange_server, token)["USD"] == ("10000", "50000")
    status, listed = exchange_server.call("GET", path + "?status=open", token=token)
    assert [item["order_id"] for item in listed["items"]] == [placed["order_id"]]
    status, read = exchange_server.call("GET", f"{path}/{placed['order_id']}", token=token)
    assert (status, read) == (200, placed)
    status, cancelled = exchange_server.call("PUT", f"{path}/{placed['order_id']}/cancel", token=token)
    assert (status, cancelled["status"], cancelled["end_reason"]) == (200, "Cancelled", "CANCELLED_BY_OWNER")
    assert balances(exchange_server, token)["USD"] == ("60000", "0")
    status, again = exchange_server.call("PUT", f"{path}/{placed['order_id']}/cancel", token=token)
    assert (status, again["reason"], again["order_status"]) == (409, "ORDER_ENDED", "Cancelled")


def test_two_traders_trade_and_every_unit_is_accounted_for(exchange_server: ExchangeServer, trader: Trader) -> None:
    buyer, seller = trader(USD="10000"), trader(ETH="3")
    _, resting = exchange_server.call("POST", "/api/v1/orders", order("Buy", "3000.00", "2"), buyer)
    status, taken = exchange_server.call("POST", "/api/v1/orders", order("Sell", "2900.00", "0.5"), seller)
    assert (status, taken["status"], taken["average_price"]) == (201, "Filled", "3000")
    assert [(fill["price"], fill["quantity"], fill["liquidity"]) for fill in taken["fills"]] == [
        ("3000.00", "0.5", "Taker")
    ]
    # The seller receives 1500 less 0.2 %, the buyer 0.5 less 0.1 %.
    assert balances(exchange_server, seller) == {"ETH": ("2.5", "0"), "USD": ("1497", "0")}
    assert balances(exchange_server, buyer) == {"ETH": ("0.4995", "0"), "USD": ("4000", "4500")}
    _, mine = exchange_server.call("GET", f"/api/v1/orders/{resting['order_id']}", token=buyer)
    assert (mine["status"], mine["filled_quantity"], mine["remaining_quantity"]) == ("PartiallyFilled", "0.5", "1.5")
    _, fills = exchange_server.call("GET", f"/api/v1/orders/{resting['order_id']}/trades", token=buyer)
    assert [(fill["liquidity"], fill["fee"], fill["fee_asset"]) for fill in fills["items"]] == [
        ("Maker", "0.0005", "ETH")
    ]
    _, cancelled = exchange_server.call("DELETE", f"/api/v1/orders/{resting['order_id']}", token=buyer)
    assert (cancelled["status"], cancelled["filled_quantity"], len(cancelled["fills"])) == ("Cancelled", "0.5", 1)
    _, trades = exchange_server.call("GET", "/api/v1/markets/ETH-USD/trades?limit=1")
    assert trades["items"][0]["trade_id"] == taken["fills"][0]["trade_id"]
    _, candles = exchange_server.call("GET", "/api/v1/markets/ETH-USD/candles")
    assert candles["items"][-1]["close"] == "3000.00"


def test_a_retried_order_is_the_same_order_however_often_it_comes(
    exchange_server: ExchangeServer, trader: Trader
) -> None:
    token = trader(USD="1000000")
    body = order("Buy", "1000.00", "1", client_order_id=f"retry-{uuid.uuid4().hex[:8]}")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: exchange_server.call("POST", "/api/v1/orders", body, token), range(100)))
    assert sorted(status for status, _ in answers) == [200] * 99 + [201]
    assert len({answer["order_id"] for _, answer in answers}) == 1
    assert balances(exchange_server, token)["USD"] == ("999000", "1000")
    status, other = exchange_server.call("POST", "/api/v1/orders", body | {"quantity": "2"}, token)
    assert (status, other["reason"]) == (409, "CLIENT_ORDER_ID_REUSED")
    _, found = exchange_server.call("GET", f"/api/v1/orders/by-client-id/{body['client_order_id']}", token=token)
    assert found["order_id"] == answers[0][1]["order_id"]
    status, nothing = exchange_server.call("GET", "/api/v1/orders/by-client-id/never-sent", token=token)
    assert (status, nothing["reason"]) == (404, "NOT_RECEIVED")


def test_a_refused_order_with_a_client_id_stays_refused(exchange_server: ExchangeServer, trader: Trader) -> None:
    token = trader(USD="10")
    body = order("Buy", "1000.00", "1", client_order_id="too-much")
    first = exchange_server.call("POST", "/api/v1/orders", body, token)
    exchange_server.call("POST", "/api/v1/faucet", {"asset": "USD", "amount": "5000"}, token)
    second = exchange_server.call("POST", "/api/v1/orders", body, token)
    assert first[0] == second[0] == 422
    assert (first[1]["reason"], first[1]["sequence"]) == (second[1]["reason"], second[1]["sequence"])
    assert (first[1]["field"], first[1]["limit"], first[1]["nearest"]) == ("quantity", "10 USD", "0.01")


def test_reads_never_lag_what_their_owner_was_told(exchange_server: ExchangeServer, trader: Trader) -> None:
    token = trader(USD="100000")
    for _ in range(30):
        _, placed = exchange_server.call("POST", "/api/v1/orders", order("Buy", "10.00", "1"), token)
        status, read = exchange_server.call("GET", f"/api/v1/orders/{placed['order_id']}", token=token)
        assert (status, read["sequence"]) == (200, placed["sequence"])


def test_market_orders_take_what_rests_and_cancel_the_remainder(
    exchange_server: ExchangeServer, trader: Trader
) -> None:
    maker, taker = trader(BTC="2"), trader(USD="1000000")
    exchange_server.call("POST", "/api/v1/orders", MANUAL_ORDER | {"side": "Sell", "price": "70000.00"}, maker)
    market = {"symbol": "BTC/USD", "side": "Buy", "quantity": "3", "order_type": "Market"}
    status, taken = exchange_server.call("POST", "/api/v1/orders", market, taker)
    assert (status, taken["status"], taken["filled_quantity"], taken["end_reason"]) == (
        201,
        "Cancelled",
        "1",
        "NO_LIQUIDITY",
    )
    assert balances(exchange_server, taker)["USD"] == ("930000", "0")
