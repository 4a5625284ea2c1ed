"""The API client: what it does when answers are lost, tokens end, and the exchange says no."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from aiohttp import web

from exchange.simulation.client import Account, ApiClient, OrderRequest, Refused, Unreachable
from exchange.simulation.stream import StreamLost, read_stream
from exchange.simulation.venue import ensure_funds
from tests.support.fake_exchange import FakeExchange, Fault

FUNDS = {"USD": Decimal(1_000_000), "BTC": Decimal(1_000)}


def faults_on(path: str, faults: Iterable[Fault]) -> FakeExchange:
    """An exchange whose first requests to `path` meet these faults, one each."""
    coming = list(faults)

    def fail(request: web.Request) -> Fault | None:
        return coming.pop(0) if request.path == path and coming else None

    return FakeExchange(fail)


@asynccontextmanager
async def trading(fake: FakeExchange, give_up_s: float = 20) -> AsyncIterator[tuple[ApiClient, Account]]:
    async with fake.serve() as url, ApiClient(url, give_up_s=give_up_s) as client:
        account = Account(client, "trader", "a password")
        await account.open()
        await ensure_funds(account, FUNDS)
        yield client, account


def buy(client_order_id: str = "my-1", price: str = "100.00", quantity: str = "1") -> OrderRequest:
    return OrderRequest(client_order_id, "BTC-USD", "Buy", quantity, price)


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER])
async def test_an_order_whose_answer_is_lost_is_placed_once(fault: Fault) -> None:
    fake = faults_on("/api/v1/orders", [fault, fault])
    async with trading(fake) as (client, account):
        placed = await account.place(buy())
    assert fake.acted == ["my-1"]
    assert placed.repeated == (fault is Fault.LOST_AFTER)
    assert (client.counts.unknown_outcomes, client.counts.unknown_resolved) == (2, 1)


async def test_an_exchange_that_asks_to_wait_is_asked_again_and_no_outcome_is_called_unknown() -> None:
    fake = faults_on("/api/v1/orders", [Fault.UNAVAILABLE] * 3)
    async with trading(fake) as (client, account):
        await account.place(buy())
    assert (client.counts.deferred, client.counts.unknown_outcomes) == (3, 0)


async def test_an_exchange_that_never_answers_is_unreachable_and_the_message_names_the_call() -> None:
    fake = FakeExchange(lambda request: Fault.LOST_BEFORE if request.path == "/api/v1/orders" else None)
    async with trading(fake, give_up_s=0.5) as (_, account):
        with pytest.raises(Unreachable, match=r"POST .*/api/v1/orders: no answer in 0.5 s"):
            await account.place(buy())


async def test_an_exchange_that_is_not_there_is_unreachable() -> None:
    async with ApiClient("http://127.0.0.1:9", give_up_s=0.3) as client:
        with pytest.raises(Unreachable, match="Cannot connect"):
            await client.markets()
        assert client.counts.unknown_outcomes == 0


async def test_a_refusal_is_raised_with_its_reason_and_is_not_retried() -> None:
    fake = FakeExchange()
    async with trading(fake) as (client, account):
        requests = client.counts.requests
        with pytest.raises(Refused, match="INSUFFICIENT_FUNDS") as caught:
            await account.place(buy(price="1000.00", quantity="5000"))
        assert caught.value.status == 422
        assert client.counts.requests == requests + 1


async def test_a_refused_token_is_renewed_once_and_the_call_sent_again() -> None:
    fake = FakeExchange()
    async with trading(fake) as (_, account):
        stolen = await account.token()
        del fake.tokens[stolen]
        await account.place(buy())
        assert fake.acted == ["my-1"]
        assert await account.token() != stolen


async def test_a_token_is_renewed_before_it_ends_by_one_call_for_all_that_wait() -> None:
    fake = FakeExchange()
    fake.expires_in = 0.0
    async with trading(fake) as (_, account):
        fake.expires_in = 600.0
        before = len(fake.tokens)
        tokens = await asyncio.gather(*(account.token() for _ in range(10)))
        assert len(set(tokens)) == 1
        assert len(fake.tokens) == before + 1


async def test_a_refresh_whose_answer_is_lost_ends_in_a_new_session() -> None:
    fake = faults_on("/api/v1/auth/refresh", [Fault.LOST_AFTER])
    fake.expires_in = 0.0
    async with trading(fake) as (_, account):
        assert await account.token() in fake.tokens


async def test_a_registration_whose_answer_is_lost_ends_in_a_sign_in_and_a_wrong_password_is_refused() -> None:
    fake = faults_on("/api/v1/auth/register", [Fault.LOST_AFTER])
    async with trading(fake) as (client, _):
        assert list(fake.users) == ["trader"]
        with pytest.raises(Refused, match="CREDENTIALS_INVALID"):
            await Account(client, "trader", "another password").open()


async def test_orders_are_found_by_their_client_id_and_not_received_is_an_answer() -> None:
    async with trading(FakeExchange()) as (_, account):
        placed = await account.place(buy())
        found = await account.order_by_client_id("my-1")
        assert found is not None
        assert found.order_id == placed.order.order_id
        assert await account.order_by_client_id("my-2") is None


async def test_a_cancel_answers_the_final_state_and_a_second_one_is_refused() -> None:
    async with trading(FakeExchange()) as (_, account):
        placed = await account.place(buy())
        cancelled = await account.cancel(placed.order.order_id)
        assert cancelled.status == "Cancelled"
        assert not cancelled.is_open
        with pytest.raises(Refused, match="ORDER_ENDED"):
            await account.cancel(placed.order.order_id)


async def test_open_orders_are_read_over_all_pages_up_to_a_limit() -> None:
    async with trading(FakeExchange()) as (_, account):
        for number in range(5):
            await account.place(buy(f"my-{number}"))
        listed = await account.open_orders()
        assert [order.client_order_id for order in listed] == [f"my-{number}" for number in (4, 3, 2, 1, 0)]
        assert len(await account.open_orders(limit=3)) == 3


async def test_no_more_calls_are_in_flight_than_allowed() -> None:
    most, now = 0, 0

    def count(request: web.Request) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)

    fake = FakeExchange(count)
    original = fake.market.submit

    async def slow(command: bytearray) -> bytes:
        nonlocal now
        await asyncio.sleep(0.01)
        events = await original(command)
        now -= 1
        return events

    fake.market.submit = slow  # type: ignore[method-assign]
    async with fake.serve() as url, ApiClient(url, in_flight=3) as client:
        account = Account(client, "trader", "a password")
        await ensure_funds(account, FUNDS)
        most = now = 0
        await asyncio.gather(*(account.place(buy(f"my-{number}")) for number in range(12)))
    assert most == 3


async def test_the_faucet_is_asked_only_by_who_has_less_than_half() -> None:
    fake = FakeExchange()
    async with trading(fake) as (_, account):
        assert fake.faucet_asked == 2
        await ensure_funds(account, FUNDS)
        assert fake.faucet_asked == 2
        assert (await account.balances())["USD"].total == "1000000"


async def test_a_stream_starts_with_a_snapshot_and_starts_again_after_a_gap() -> None:
    fake = FakeExchange()
    async with trading(fake) as (client, account):
        stream = read_stream(client, [("orders", None)], account)
        first = await anext(stream)
        await account.place(buy("my-1"))
        update = await anext(stream)
        fake.skip_update()
        await account.place(buy("my-2"))
        again = await anext(stream)
        await stream.aclose()
    assert [first["type"], update["type"], again["type"]] == ["snapshot", "update", "snapshot"]
    assert [order["client_order_id"] for order in again["orders"]] == ["my-1", "my-2"]


async def test_the_end_of_the_connection_is_the_end_of_the_stream() -> None:
    fake = FakeExchange()
    async with ApiClient("http://127.0.0.1:9") as nowhere:
        with pytest.raises(StreamLost):
            await anext(read_stream(nowhere, [("orders", None)]))
    async with fake.serve() as url, ApiClient(url) as client:
        account = Account(client, "trader", "a password")
        stream = read_stream(client, [("orders", None)], account)
        await anext(stream)
        await fake.close_streams()
        with pytest.raises(StreamLost, match="closed the stream with code"):
            await anext(stream)
