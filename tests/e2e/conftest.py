"""A real browser: the system's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from exchange.settings import REPOSITORY_FRONTEND
from tests.support.server import ExchangeServer

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_path() -> str | None:
    """The system's browser, None for Playwright's own."""
    named = os.environ.get("CHROMIUM_PATH")
    return named or next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


expect.set_options(timeout=20_000)  # a shared machine may take its time; what never comes still fails


@pytest.fixture(scope="session", autouse=True)
def built_frontend() -> Path:
    assert (REPOSITORY_FRONTEND / "index.html").is_file(), (
        "build the frontend first: make test does, or npm run build in frontend/"
    )
    return REPOSITORY_FRONTEND


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages in contexts of their own; a page with an error in its console fails the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_one(url: str, *, width: int = 1440, height: int = 900, scheme: str = "dark") -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def exchange(own_exchange: ExchangeServer) -> ExchangeServer:
    """An exchange whose books hold only what the test puts there."""
    return own_exchange
