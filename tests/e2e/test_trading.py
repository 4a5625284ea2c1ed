"""Two people trade in two browsers."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.server import ExchangeServer

pytestmark = pytest.mark.e2e
PASSWORD = "correct horse battery"
OpenPage = Callable[..., Page]


def sign_up(page: Page, url: str, username: str) -> None:
    page.goto(f"{url}/register")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def fund(exchange: ExchangeServer, username: str, **funds: str) -> str:
    _, session = exchange.call("POST", "/api/v1/auth/login", {"username": username, "password": PASSWORD})
    for asset, amount in funds.items():
        exchange.call("POST", "/api/v1/faucet", {"asset": asset, "amount": amount}, session["access_token"])
    token: str = session["access_token"]
    return token


def place(page: Page, side: str, price: str, quantity: str) -> None:
    page.get_by_role("radio", name=side, exact=True).or_(page.get_by_role("tab", name=side, exact=True)).or_(
        page.get_by_role("button", name=side, exact=True)
    ).first.click()
    page.get_by_label("Price", exact=True).fill(price)
    page.get_by_label("Quantity", exact=True).fill(quantity)
    page.get_by_role("button", name=f"{side} BTC").click()


def ladder(page: Page) -> list[str]:
    return [
        " ".join(row.inner_text().split())
        for row in page.get_by_role("table", name="Order book").get_by_role("row").all()
    ]


def test_two_traders_a_partial_fill_a_cancel_and_a_reconnect(exchange: ExchangeServer, open_page: OpenPage) -> None:
    maker, taker = open_page(exchange.url), open_page(exchange.url, scheme="light")
    sign_up(maker, exchange.url, "maria")
    sign_up(taker, exchange.url, "tom")
    maker_token = fund(exchange, "maria", USD="100000")
    fund(exchange, "tom", BTC="2")

    # Maria bids; Tom's book shows it without a reload.
    place(maker, "Buy", "50000.00", "1")
    open_orders = maker.get_by_role("tabpanel", name="Open orders")
    expect(open_orders.get_by_role("button", name=re.compile("Cancel order"))).to_have_count(1)
    expect(taker.get_by_role("table", name="Order book")).to_contain_text("50000.00")

    # Tom sells into it, partly.
    place(taker, "Sell", "50000.00", "0.4")
    expect(taker.get_by_role("table", name="Recent trades")).to_contain_text("0.4")
    expect(open_orders.get_by_role("cell", name="0.4", exact=True)).to_be_visible()  # filled
    _, orders = exchange.call("GET", "/api/v1/orders?status=open", token=maker_token)
    assert [(order["status"], order["remaining_quantity"]) for order in orders["items"]] == [("PartiallyFilled", "0.6")]

    # The exchange is killed mid-stream and comes back: both pages catch up by themselves.
    exchange.kill()
    expect(maker.get_by_role("status").first).not_to_contain_text("Live")
    exchange.start()
    expect(maker.get_by_role("status").first).to_contain_text("Live", timeout=30_000)
    expect(taker.get_by_role("status").first).to_contain_text("Live", timeout=30_000)
    place(taker, "Sell", "50000.00", "0.1")
    expect(open_orders.get_by_role("cell", name="0.5", exact=True)).to_be_visible()

    # Maria cancels what is left; the book empties everywhere.
    open_orders.get_by_role("button", name=re.compile("Cancel order")).click()
    expect(open_orders.get_by_role("button", name=re.compile("Cancel order"))).to_have_count(0)
    expect(taker.get_by_role("table", name="Order book")).not_to_contain_text("50000.00")
    _, balances = exchange.call("GET", "/api/v1/balances", token=maker_token)
    assert {item["asset"]: item["available"] for item in balances["items"]} == {"USD": "75000", "BTC": "0.4995"}


def test_the_book_shown_is_the_book_served(exchange: ExchangeServer, open_page: OpenPage) -> None:
    token = exchange.trader("ladder", {"USD": "1000000", "BTC": "10"})
    for side, prices in (("Buy", (49990, 49980, 49900)), ("Sell", (50010, 50020, 50100))):
        for price in prices:
            body = {"symbol": "BTC/USD", "side": side, "price": f"{price}.00", "quantity": "0.5", "order_type": "Limit"}
            assert exchange.call("POST", "/api/v1/orders", body, token)[0] == 201
    page = open_page(exchange.url)
    book = page.get_by_role("table", name="Order book")
    _, depth = exchange.call("GET", "/api/v1/markets/BTC-USD/depth")
    served = [f"Ask {price} {quantity}" for price, quantity in reversed(depth["asks"])]
    served += [f"Bid {price} {quantity}" for price, quantity in depth["bids"]]
    expect(book.get_by_role("row")).to_have_count(len(served) + 1)  # and the header
    assert ladder(page)[1:] == served


def test_a_browser_gets_its_streams_compressed_and_shows_what_they_say(
    exchange: ExchangeServer, open_page: OpenPage
) -> None:
    token = exchange.trader("ladder", {"USD": "10000000"})
    for price in range(49_900, 49_940):  # a snapshot that is worth it
        body = {"symbol": "BTC/USD", "side": "Buy", "price": f"{price}.00", "quantity": "0.5", "order_type": "Limit"}
        assert exchange.call("POST", "/api/v1/orders", body, token)[0] == 201
    page = open_page(exchange.url)
    network, answers = page.context.new_cdp_session(page), list[str]()
    network.on(
        "Network.webSocketHandshakeResponseReceived", lambda event: answers.append(str(event["response"]["headers"]))
    )
    network.send("Network.enable")
    page.reload()
    expect(page.get_by_role("table", name="Order book")).to_contain_text("49939.00")
    assert "permessage-deflate" in answers[-1]


def test_a_refusal_says_what_to_change_and_offers_it(exchange: ExchangeServer, open_page: OpenPage) -> None:
    page = open_page(exchange.url)
    sign_up(page, exchange.url, "poor-pete")
    fund(exchange, "poor-pete", USD="100")
    place(page, "Buy", "50000.00", "1")
    expect(
        page.get_by_text(re.compile("available balance|too low|Insufficient|not enough", re.I)).first
    ).to_be_visible()
    _, trades = exchange.call("GET", "/api/v1/markets/BTC-USD/depth")
    assert trades["bids"] == []


def test_swagger_ui_signs_in_and_places_an_order(exchange: ExchangeServer, open_page: OpenPage) -> None:
    token = exchange.trader("swagger", {"USD": "100000"})
    page = open_page(f"{exchange.url}/swagger-ui")
    expect(page.get_by_role("heading", name=re.compile("Exchange")).first).to_be_visible()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.get_by_role("button", name="Authorize").first.click()
    bearer = page.locator(".auth-container form").filter(has=page.locator("#auth-bearer-value"))
    bearer.locator("#auth-bearer-value").fill(token)
    bearer.locator("button.authorize").click()
    page.locator(".close-modal").click()
    operation = page.locator(".opblock-post").filter(has=page.locator('[data-path="/api/v1/orders"]'))
    operation.locator(".opblock-summary-control").first.click()
    body = '{"symbol":"BTC/USD","side":"Buy","quantity":"1.0","price":"50000.00","order_type":"Limit"}'
    operation.locator("textarea.body-param__text").fill(body)
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("201")
    assert all(request.startswith(exchange.url) for request in requests), "everything comes from our own server"


@pytest.mark.parametrize("path", ["/assets/missing.js", "/api/v1/missing", "/swagger-ui/missing.js"])
def test_a_missing_file_is_not_answered_with_the_page(exchange: ExchangeServer, path: str) -> None:
    status, _ = exchange.call("GET", path)
    assert status == 404


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (375, 812)])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_page_fits_and_is_not_blank(
    exchange: ExchangeServer, open_page: OpenPage, width: int, height: int, scheme: str
) -> None:
    page = open_page(exchange.url, width=width, height=height, scheme=scheme)
    expect(page.get_by_role("status").first).to_be_visible()
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(number) for number in re.findall(r"\d+", background)[:3]]
    assert (sum(channels) < 3 * 128) == (scheme == "dark")
