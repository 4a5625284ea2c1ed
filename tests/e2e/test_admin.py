"""Two admins run an exchange in their browsers, one of them with a second factor."""

import os
import time
from collections.abc import Callable

import pyotp
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.server import ExchangeServer
from tests.system.test_admin import granted

pytestmark = pytest.mark.e2e
PASSWORD = "correct horse battery"
SIZES = ((1280, 800, "dark"), (1280, 800, "light"), (390, 800, "dark"), (390, 800, "light"))
OpenPage = Callable[..., Page]


def sign_in(page: Page, exchange: ExchangeServer, username: str, secret: str | None = None) -> None:
    page.goto(f"{exchange.url}/login")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    if secret is not None:
        page.get_by_label("Code").fill(pyotp.TOTP(secret).at(time.time() + 30))  # a code is good once
        page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def confirm(page: Page, name: str, reason: str | None = None) -> None:
    dialog = page.get_by_role("dialog", name=name)
    if reason is not None:
        dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name="Confirm").click()
    expect(dialog).to_have_count(0)


def second_factor(exchange: ExchangeServer, token: str) -> str:
    _, enrolment = exchange.call("POST", "/api/v1/auth/second-factor", {"password": PASSWORD}, token)
    code = pyotp.TOTP(enrolment["secret"]).now()
    status, answer = exchange.call("POST", "/api/v1/auth/second-factor/confirm", {"code": code}, token)
    assert status == 200, answer
    return str(enrolment["secret"])


def row(page: Page, table: str, text: str) -> Locator:
    return page.get_by_role("table", name=table).get_by_role("row").filter(has_text=text).first


def no_wider_than_the_screen(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def test_two_admins_halt_a_market_freeze_a_user_and_correct_a_balance(
    exchange: ExchangeServer, open_page: OpenPage
) -> None:
    trader = exchange.trader("wendy", {"USD": "100"})
    granted(exchange, "ada")
    secret = second_factor(exchange, granted(exchange, "bob"))
    ada, bob = open_page(exchange.url), open_page(exchange.url, scheme="light")
    sign_in(ada, exchange, "ada")
    sign_in(bob, exchange, "bob", secret)

    ada.get_by_role("link", name="Admin").click()
    ada.get_by_label("Mode of BTC/USD").select_option("Halted")
    confirm(ada, "BTC/USD: Halted", "odd prices")
    expect(row(ada, "Markets", "BTC/USD").get_by_text("Halted", exact=True).first).to_be_visible()
    assert exchange.call("GET", "/api/v1/markets/BTC-USD")[1]["status"] == "Halted"

    ada.get_by_role("tab", name="Users").click()
    ada.get_by_label("Find by username or account").fill("wen")
    ada.get_by_label("Action for wendy").select_option(label="Freeze")
    confirm(ada, "Freeze wendy", "asked for by phone")
    expect(row(ada, "Users", "wendy").get_by_text("Frozen")).to_be_visible()

    ada.get_by_role("tab", name="Adjustments").click()
    form = ada.get_by_role("form", name="Propose")
    form.get_by_label("Username").fill("wendy")
    form.get_by_label("Amount").fill("12.50")
    form.get_by_label("Reason").fill("fee charged twice on trade 17")
    form.get_by_role("button", name="Propose").click()
    expect(row(ada, "Adjustments", "wendy").get_by_role("button", name="Withdraw")).to_be_visible()

    bob.get_by_role("link", name="Admin").click()
    bob.get_by_role("tab", name="Adjustments").click()
    row(bob, "Adjustments", "wendy").get_by_role("button", name="Approve").click()
    confirm(bob, "Approve: 12.5 USD to wendy")
    expect(row(bob, "Adjustments", "wendy").get_by_text("Executed")).to_be_visible()
    _, balances = exchange.call("GET", "/api/v1/balances", token=trader)
    assert [item["available"] for item in balances["items"]] == ["112.5"]

    bob.get_by_role("tab", name="Audit log").click()
    expect(row(bob, "Audit log", "adjustment.execute").get_by_text("exchange", exact=True)).to_be_visible()
    expect(row(bob, "Audit log", "user.freeze").get_by_text("ada", exact=True)).to_be_visible()


def test_the_page_fits_every_screen(exchange: ExchangeServer, open_page: OpenPage) -> None:
    exchange.trader("wendy")
    token = granted(exchange, "ada")
    _, me = exchange.call("GET", "/api/v1/auth/me", token=token)
    body = {"account_id": me["account_id"], "asset": "USD", "direction": "Debit", "amount": "7", "reason": "a reason"}
    assert exchange.call("POST", "/api/v1/admin/adjustments", body, token)[0] == 201
    shots = os.environ.get("EXCHANGE_SCREENSHOTS")
    for width, height, scheme in SIZES:
        page = open_page(exchange.url, width=width, height=height, scheme=scheme)
        sign_in(page, exchange, "ada")
        page.goto(f"{exchange.url}/admin")
        for tab in ("Markets", "Users", "Adjustments", "Audit log"):
            page.get_by_role("tab", name=tab).click()
            expect(page.get_by_role("table", name=tab)).to_be_visible()
            assert no_wider_than_the_screen(page), (width, tab)
            if shots:
                page.screenshot(path=f"{shots}/{width}-{scheme}-{tab.replace(' ', '-')}.png")
