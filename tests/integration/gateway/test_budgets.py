"""Rate limits over HTTP: what is left is told, what is used up is refused, and cancels are never starved."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from exchange.gateway.context import Exchange
from tests.support.local_exchange import local_exchange, registered
from tests.support.signing import make_key

ORDER = {"symbol": "BTC/USD", "side": "Buy", "quantity": "1", "price": "100.00"}
LIMIT = 12  # two seconds' worth; slow enough that a test's few milliseconds bring nothing back


@pytest.fixture
async def exchange(database_url: str) -> AsyncIterator[Exchange]:
    """An exchange whose clock of budgets stands still until a test moves it."""
    rates = {"EXCHANGE_REQUESTS_PER_S": str(LIMIT // 2), "EXCHANGE_CANCELS_PER_S": str(LIMIT // 2)}
    async with local_exchange(database_url, **rates) as running:
        yield running


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(exchange: Exchange) -> Clock:
    standing = Clock()
    exchange.access.limits._clock = standing  # type: ignore[attr-defined]
    return standing


@pytest.fixture
async def session(clock: Clock, trading: aiohttp.ClientSession, exchange: Exchange) -> dict[str, str]:
    account, headers = await registered(trading)
    usd = exchange.catalogue.asset("USD")
    await exchange.corridor.deposit(account, usd.number, usd.to_units("100000", "amount"))  # type: ignore[attr-defined]
    return headers


async def ask(
    client: aiohttp.ClientSession, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, tuple[int, ...]]:
    """Return (status, body, (limit, remaining, reset))."""
    async with client.request(method, path, json=body, headers=headers) as answer:
        told = tuple(int(answer.headers.get(f"ratelimit-{name}", -1)) for name in ("limit", "remaining", "reset"))
        if answer.status == 429:
            told = (*told, int(answer.headers["retry-after"]))
        return answer.status, await answer.json() if answer.status != 204 else None, told


async def test_every_answer_tells_what_is_left_by_every_way(
    trading: aiohttp.ClientSession, session: dict[str, str]
) -> None:
    assert (await ask(trading, "GET", "/api/v1/balances", headers=session))[2] == (LIMIT, 11, 1)
    status, _, told = await ask(trading, "POST", "/api/v1/orders", ORDER, session)
    assert (status, told) == (201, (LIMIT, 10, 1)), "the fast way"
    by_browser = {**session, "origin": "http://localhost:5173"}
    status, _, told = await ask(trading, "POST", "/api/v1/orders", ORDER, by_browser)
    assert (status, told) == (201, (LIMIT, 9, 1)), "the long way"
    assert (await ask(trading, "GET", "/api/v1/orders/999", headers=session))[2] == (LIMIT, 8, 1), "problems too"
    assert (await ask(trading, "POST", "/api/v1/orders", {}, session))[2] == (LIMIT, 7, 1), "refused ones too"
    assert (await ask(trading, "GET", "/api/v1/markets"))[2] == (-1, -1, -1), "public data draws on no budget"
    wrong = {"authorization": "Bearer x.y.z"}
    assert (await ask(trading, "GET", "/api/v1/balances", headers=wrong))[2] == (-1, -1, -1)


async def test_what_is_used_up_is_refused_until_the_time_that_was_told(
    trading: aiohttp.ClientSession, session: dict[str, str], clock: Clock
) -> None:
    for _ in range(LIMIT):
        assert (await ask(trading, "POST", "/api/v1/orders/test", ORDER, session))[0] == 200
    for path, body in (("/api/v1/orders", ORDER), ("/api/v1/orders/test", ORDER)):
        status, problem, told = await ask(trading, "POST", path, body, session)
        assert (status, problem["reason"], told) == (429, "THROTTLED", (LIMIT, 0, 2, 1))
    assert (await ask(trading, "GET", "/api/v1/balances", headers=session))[0] == 429
    _, found, _ = await ask(trading, "GET", "/api/v1/markets/BTC-USD/depth")
    assert found["bids"] == [], "what was refused was not done"
    clock.now += 1
    assert (await ask(trading, "POST", "/api/v1/orders", ORDER, session))[0] == 201


async def test_orders_never_starve_cancels(
    trading: aiohttp.ClientSession, session: dict[str, str], clock: Clock
) -> None:
    placed = [(await ask(trading, "POST", "/api/v1/orders", ORDER, session))[1] for _ in range(5)]
    while (await ask(trading, "POST", "/api/v1/orders", ORDER, session))[0] != 429:
        pass
    first, second, third, *_ = (order["order_id"] for order in placed)
    status, ended, told = await ask(trading, "DELETE", f"/api/v1/orders/{first}", headers=session)
    assert (status, ended["status"], told) == (200, "Cancelled", (LIMIT, 11, 1))
    assert (await ask(trading, "PUT", f"/api/v1/orders/{second}/cancel", headers=session))[2] == (LIMIT, 10, 1)
    batch = {"operations": [{"op": "cancel", "order_id": third}, {"op": "cancel", "order_id": "999999"}]}
    status, outcomes, told = await ask(trading, "POST", "/api/v1/orders/batch", batch, session)
    assert [outcome["status"] for outcome in outcomes["outcomes"]] == [200, 404]
    assert told == (LIMIT, 8, 1), "a batch of cancels draws on the same budget, once for each"
    status, cancelled, told = await ask(trading, "DELETE", "/api/v1/orders?symbol=BTC-USD", headers=session)
    assert (status, told) == (200, (LIMIT, 7, 1)) and cancelled["cancelled"] > 2
    assert (await ask(trading, "POST", "/api/v1/account/kill-switch", {}, session))[2] == (LIMIT, 6, 1)
    for _ in range(6):
        await ask(trading, "DELETE", "/api/v1/orders", headers=session)
    assert (await ask(trading, "DELETE", "/api/v1/orders", headers=session))[0] == 429, "it is a budget all the same"


async def test_a_batch_weighs_as_much_as_its_operations(
    trading: aiohttp.ClientSession, session: dict[str, str]
) -> None:
    operations = [{"op": "place", **ORDER}] * 4 + [{"op": "cancel", "order_id": "1"}] * 3
    status, _, told = await ask(trading, "POST", "/api/v1/orders/batch", {"operations": operations}, session)
    assert (status, told) == (200, (LIMIT, 9, 1)), "the cancels among them on their own budget, told last"
    assert (await ask(trading, "GET", "/api/v1/balances", headers=session))[2] == (LIMIT, 7, 1)
    many = {"operations": [{"op": "place", **ORDER}] * 8}
    status, problem, told = await ask(trading, "POST", "/api/v1/orders/batch", many, session)
    assert (status, problem["reason"], told[1]) == (429, "THROTTLED", 7), "what cannot be paid whole is not begun"


async def test_each_key_has_a_budget_of_its_own_and_sessions_share_one(
    trading: aiohttp.ClientSession, session: dict[str, str], clock: Clock
) -> None:
    first, _ = await make_key(trading, session)
    clock.now += 10
    second, _ = await make_key(trading, session)
    clock.now += 10
    credentials = {"username": "alice", "password": "correct horse battery"}
    _, other, _ = await ask(trading, "POST", "/api/v1/auth/login", credentials)
    while (await ask(trading, "GET", "/api/v1/balances", headers=session))[0] == 200:
        pass
    elsewhere = {"authorization": f"Bearer {other['access_token']}"}
    assert (await ask(trading, "GET", "/api/v1/balances", headers=elsewhere))[0] == 429
    for signer in (first, second):
        headers = signer.headers("GET", "/api/v1/balances")
        assert (await ask(trading, "GET", "/api/v1/balances", headers=headers))[2] == (LIMIT, 11, 1)


async def test_a_browser_may_read_the_headers(trading: aiohttp.ClientSession, session: dict[str, str]) -> None:
    headers = {**session, "origin": "http://localhost:5173"}
    async with trading.get("/api/v1/balances", headers=headers) as answer:
        exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"} <= exposed
