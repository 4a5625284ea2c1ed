"""A trader looks after the access to an account: second factor, sessions, API keys, kill switch."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_admin import PASSWORD, SIZES, no_wider_than_the_screen, row, sign_in
from tests.support.server import ExchangeServer
from tests.support.signing import hmac_signer

pytestmark = pytest.mark.e2e
OpenPage = Callable[..., Page]
AXE = Path(__file__).parents[2] / "frontend/node_modules/axe-core/axe.min.js"


def faults(page: Page) -> list[str]:
    """What axe finds that not everybody can use. Through the debugger: the page's policy keeps foreign script out."""
    found: list[str] = page.evaluate(f"""{AXE.read_text()};
        axe.run().then(({{violations}}) => violations.map(({{id, nodes}}) => id + ": " + nodes[0].html))""")
    return found


def test_a_second_factor_is_set_up_asked_for_and_turned_off(exchange: ExchangeServer, open_page: OpenPage) -> None:
    exchange.trader("wendy")
    page = open_page(exchange.url)
    sign_in(page, exchange, "wendy")
    page.get_by_role("link", name="Security").click()
    factor = page.get_by_role("region", name="Second factor")
    factor.get_by_label("Password").fill("not the password")
    factor.get_by_role("button", name="Set up").click()
    expect(factor.get_by_role("alert")).to_have_text("The password is wrong.")
    factor.get_by_label("Password").fill(PASSWORD)
    factor.get_by_role("button", name="Set up").click()
    secret = factor.get_by_label("Secret").inner_text()
    expect(factor.get_by_role("img", name="QR code for your authenticator")).to_be_visible()
    factor.get_by_label("Code from your app").fill(pyotp.TOTP(secret).now())
    factor.get_by_role("button", name="Turn on").click()
    recovery = factor.get_by_label("Recovery codes").inner_text().split()
    assert len(set(recovery)) == 10
    factor.get_by_role("button", name="I have kept them").click()
    expect(factor.get_by_text("10 recovery codes are left.")).to_be_visible()

    other = open_page(exchange.url)
    sign_in(other, exchange, "wendy", secret)
    factor.get_by_label("Password").fill(PASSWORD)
    factor.get_by_label("Code").fill(recovery[0])
    factor.get_by_role("button", name="Turn off").click()
    expect(factor.get_by_role("button", name="Set up")).to_be_visible()
    status, _ = exchange.call("POST", "/api/v1/auth/login", {"username": "wendy", "password": PASSWORD})
    assert status == 200, "a password is enough again"


def test_keys_sessions_and_orders_end_at_the_press_of_a_button(exchange: ExchangeServer, open_page: OpenPage) -> None:
    exchange.trader("wendy", {"USD": "100000"})
    page, other = open_page(exchange.url), open_page(exchange.url)
    sign_in(page, exchange, "wendy")
    sign_in(other, exchange, "wendy")
    page.get_by_role("link", name="Security").click()

    page.get_by_role("button", name="New key").click()
    form = page.get_by_role("form", name="New key")
    form.get_by_label("Label").fill("maker")
    form.get_by_label("BTC/USD").check()
    form.get_by_label("Most that one order may be worth (USD)").fill("1000")
    form.get_by_label("Addresses").fill("127.0.0.1, nowhere")
    form.get_by_role("button", name="Make the key").click()
    expect(form.get_by_role("alert")).to_contain_text("'nowhere' is not an IPv4 or IPv6 address or network")
    form.get_by_label("Addresses").fill("127.0.0.1, 203.0.113.0/24")
    form.get_by_role("button", name="Make the key").click()
    made = page.get_by_role("dialog", name="Your new key")
    signer = hmac_signer(made.get_by_label("Key id").inner_text(), made.get_by_label("Secret").inner_text())
    made.get_by_role("button", name="Done").click()
    expect(row(page, "API keys", "maker").get_by_text("BTC/USD · 1,000 USD an order")).to_be_visible()

    def place(quantity: str) -> tuple[int, dict[str, str]]:
        body = json.dumps({"symbol": "BTC/USD", "side": "Buy", "quantity": quantity, "price": "50000"}).encode()
        headers = signer.headers("POST", "/api/v1/orders", body)
        return exchange.call("POST", "/api/v1/orders", raw=body, headers=headers)

    assert place("0.01")[0] == 201
    assert place("0.03")[1]["reason"] == "NOTIONAL_CAPPED"
    page.reload()
    expect(row(page, "API keys", "maker").get_by_text("Never")).to_have_count(0)

    expect(page.get_by_role("button", name="End the session of")).to_have_count(2)  # the other page, and who registered
    page.get_by_role("button", name="Stop everything").click()
    page.get_by_role("dialog", name="Stop everything?").get_by_role("button", name="Stop everything").click()
    expect(page.get_by_text("Keys revoked: 1, sessions ended: 2, orders cancelled: 1.")).to_be_visible()
    expect(row(page, "API keys", "maker").get_by_text("Revoked")).to_be_visible()
    expect(page.get_by_role("button", name="End the session of")).to_have_count(0)
    assert place("0.01")[1]["reason"] == "KEY_REVOKED"
    other.goto(f"{exchange.url}/portfolio")
    expect(other.get_by_role("banner").get_by_role("link", name="Sign in")).to_be_visible()
    page.get_by_role("link", name="Portfolio").click()
    expect(page.get_by_role("row", name="USD").get_by_text("100,000").first).to_be_visible()


def test_one_session_is_ended_and_one_key_revoked(exchange: ExchangeServer, open_page: OpenPage) -> None:
    token = exchange.trader("wendy")
    body = {"label": "reader", "kind": "hmac", "scopes": ["read"]}
    assert exchange.call("POST", "/api/v1/api-keys", body, token)[0] == 201
    page = open_page(exchange.url)
    sign_in(page, exchange, "wendy")
    page.goto(f"{exchange.url}/security")
    page.get_by_role("button", name="End the session of").click()
    expect(page.get_by_text("The session has ended.")).to_be_visible()
    assert exchange.call("GET", "/api/v1/balances", token=token)[0] == 401
    page.get_by_role("button", name="Revoke reader").click()
    page.get_by_role("dialog", name="Revoke reader").get_by_role("button", name="Revoke").click()
    expect(row(page, "API keys", "reader").get_by_text("Revoked")).to_be_visible()
    expect(page.get_by_role("button", name="Revoke reader")).to_have_count(0)


def test_the_page_fits_every_screen(exchange: ExchangeServer, open_page: OpenPage) -> None:
    token = exchange.trader("wendy")
    for label, more in (("maker", {"symbols": ["BTC/USD"], "notional_max": {"USD": "50000"}}), ("reader", {})):
        body = {"label": label, "kind": "hmac", "scopes": ["read", "trade"]} | more
        assert exchange.call("POST", "/api/v1/api-keys", body, token)[0] == 201
    shots = os.environ.get("EXCHANGE_SCREENSHOTS")
    for width, height, scheme in SIZES:
        page = open_page(exchange.url, width=width, height=height, scheme=scheme)
        sign_in(page, exchange, "wendy")
        page.goto(f"{exchange.url}/security")
        expect(page.get_by_role("table", name="API keys")).to_be_visible()
        assert faults(page) == []
        assert no_wider_than_the_screen(page), width
        if shots:
            time.sleep(0.5)
            page.screenshot(path=f"{shots}/{width}-{scheme}-Security.png")
        page.get_by_role("button", name="New key").click()
        page.get_by_label("Ed25519").check()
        assert faults(page) == []
        if shots:
            page.screenshot(path=f"{shots}/{width}-{scheme}-New-key.png")
        page.keyboard.press("Escape")
        expect(page.get_by_role("form", name="New key")).to_have_count(0)
        page.get_by_role("region", name="Second factor").get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Set up").click()
        expect(page.get_by_role("img", name="QR code for your authenticator")).to_be_visible()
        assert faults(page) == []
        assert no_wider_than_the_screen(page), width
        if shots:
            page.screenshot(path=f"{shots}/{width}-{scheme}-Set-up.png")
