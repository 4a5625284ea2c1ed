"""Fixtures for tests that need a real, running exchange."""

import itertools
import os
from collections.abc import Callable, Iterator

import pytest

from tests.support.roles import Cluster
from tests.support.server import ExchangeServer

_names = itertools.count(1)
APART = os.environ.get("EXCHANGE_ROLES") == "apart"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where roles run apart, only tests of the one exchange of all tests are others than they were."""
    if APART:
        kept = [item for item in items if "exchange_server" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


@pytest.fixture(scope="session")
def exchange_server() -> Iterator[ExchangeServer | Cluster]:
    """One exchange for all tests that do not stop it. Use accounts of your own.

    With EXCHANGE_ROLES=apart it is one whose roles run apart.
    """
    server = Cluster() if APART else ExchangeServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def own_exchange() -> Iterator[ExchangeServer]:
    """An exchange of the test's own, to kill and restart."""
    server = ExchangeServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def trader(exchange_server: ExchangeServer) -> Callable[..., str]:
    """Make accounts with demo money: trader(USD="1000") returns an access token."""

    def make(**funds: str) -> str:
        return exchange_server.trader(f"trader-{next(_names)}", funds)

    return make


@pytest.fixture
def running_exchange(exchange_server: ExchangeServer, trader: Callable[..., str]) -> tuple[str, str]:
    """(base URL, access token of an account with money)."""
    return exchange_server.url, trader(USD="100000", BTC="10")
