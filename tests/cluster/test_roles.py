"""Roles apart: it is one exchange whichever process one asks, and none that dies takes with it what was told."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest
from websockets.asyncio.client import connect

from exchange.storage.lease import LAPSED_S
from tests.support.roles import Cluster, RoleProcess

BID = {"symbol": "BTC/USD", "side": "Buy", "quantity": "0.1", "price": "500.00", "order_type": "Limit"}
DEADLINE_S = 60


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    try:
        yield cluster.start()
    finally:
        cluster.close()


@pytest.fixture
def token(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    cluster.wait_open()
    return cluster.trader(f"t-{abs(hash(request.node.name)) % 10**9}", {"USD": "1000000"})


def until(what: str, condition: Callable[[], Any], timeout_s: float = DEADLINE_S) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {timeout_s} s"
        time.sleep(0.05)
    return found


def place(cluster: Cluster, token: str, name: str, **changes: str) -> tuple[int, Any]:
    return cluster.call("POST", "/api/v1/orders", {**BID, "client_order_id": name, **changes}, token)


def placed_at_last(cluster: Cluster, token: str, name: str) -> dict[str, Any]:
    """Place an order however often it takes: it has a client order id."""

    def answer() -> Any:
        status, order = place(cluster, token, name)
        assert status in (200, 201, 503), order
        return order if status < 300 else None

    found: dict[str, Any] = until("an order", answer)
    return found


def until_it_stands_by(engine: RoleProcess) -> None:
    until("that it stands by", lambda: "standing by" in engine.log().split("leading shard 1")[-1])


def orders_of(cluster: Cluster, token: str) -> dict[str, str]:
    _, page = cluster.call("GET", "/api/v1/orders?limit=500", token=token)
    return {order["client_order_id"]: order["order_id"] for order in page["items"]}


def query(cluster: Cluster, statement: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(cluster.environ["DATABASE_URL"])
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    return asyncio.run(fetch())


def test_what_one_process_told_every_other_knows(cluster: Cluster, token: str) -> None:
    for number in range(20):  # each call goes to another process than the one before
        status, order = place(cluster, token, f"o{number}")
        assert status == 201
        assert f"o{number}" in orders_of(cluster, token)
        path = f"/api/v1/orders/{order['order_id']}"
        assert cluster.call("GET", path, token=token)[1]["status"] == "Open"
        place(cluster, token, f"p{number}")
        status, cancelled = cluster.call("DELETE", path, token=token)
        assert (status, cancelled["status"]) == (200, "Cancelled")
        _, balances = cluster.call("GET", "/api/v1/balances", token=token)
        assert balances["items"][0]["held"] == f"{50 * (number + 1)}"


def test_one_client_order_id_is_one_order_whoever_is_asked(cluster: Cluster, token: str) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: place(cluster, token, "once"), range(100)))
    assert sorted(status for status, _ in answers) == [200] * 99 + [201]
    assert len({order["order_id"] for _, order in answers}) == 1
    assert place(cluster, token, "once", price="501.00")[1]["reason"] == "CLIENT_ORDER_ID_REUSED"
    _, unknown = cluster.call("GET", "/api/v1/orders/by-client-id/never", token=token)
    assert unknown["reason"] == "NOT_RECEIVED"


def test_a_refusal_is_told_as_beside_the_leader(cluster: Cluster, token: str) -> None:
    status, refused = place(cluster, token, "dear", quantity="9000")
    assert (status, refused["reason"]) == (422, "INSUFFICIENT_FUNDS")
    assert {"detail", "sequence", "nearest"} <= refused.keys()
    body = {"operations": [{"op": "place", **BID}, {"op": "cancel", "order_id": "1"}, {"op": "place", **BID}]}
    status, batch = cluster.call("POST", "/api/v1/orders/batch", body, token)
    assert [outcome["status"] for outcome in batch["outcomes"]] == [201, 404, 201]


async def test_the_publisher_streams_what_the_api_was_told(cluster: Cluster, token: str) -> None:
    url = cluster.publishers[0].url.replace("http", "ws") + "/ws/v1"
    async with connect(url) as stream, asyncio.timeout(DEADLINE_S):
        await stream.send(json.dumps({"op": "authenticate", "id": 1, "token": token}))
        await stream.send(json.dumps({"op": "subscribe", "id": 2, "channel": "orders"}))
        await stream.send(json.dumps({"op": "subscribe", "id": 3, "channel": "depth", "symbol": "BTC-USD"}))

        async def next_of(channel: str, kind: str) -> dict[str, Any]:
            while True:
                message: dict[str, Any] = json.loads(await stream.recv())
                if (message.get("channel"), message["type"]) == (channel, kind):
                    return message

        await next_of("orders", "snapshot")
        await next_of("depth", "snapshot")
        _, order = await asyncio.to_thread(place, cluster, token, "streamed", price="499.99")
        update = await next_of("orders", "update")
        assert [o["order_id"] for o in update["orders"]] == [order["order_id"]]
        assert ["499.99", "0.1"] in (await next_of("depth", "update"))["bids"]
        await stream.send(json.dumps({"op": "cancel", "id": 4, "order_id": order["order_id"]}))
        ended = (await next_of("orders", "update"))["orders"]
        assert [(o["order_id"], o["status"]) for o in ended] == [(order["order_id"], "Cancelled")]


def test_the_lead_passes_on_when_its_leader_dies_is_asked_to_or_stands_still(cluster: Cluster, token: str) -> None:
    told: dict[str, str] = {}

    def trade(name: str) -> None:
        told[name] = placed_at_last(cluster, token, name)["order_id"]

    def passes_on(leader: RoleProcess) -> float:
        """Place orders until another one leads, and return how long none was taken."""
        began, number = time.monotonic(), len(told)
        until("another leader", lambda: trade(f"w{len(told)}") or cluster.leader() is not leader)
        trade(f"x{number}")
        return time.monotonic() - began

    trade("first")
    for manner in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
        leader = cluster.leader()
        leader.send(manner)
        print(f"{manner.name}: another leads after {passes_on(leader):.2f} s")
        if manner == signal.SIGSTOP:
            leader.send(signal.SIGCONT)  # it wakes up, and believes that it leads
            for number in range(20):
                trade(f"after-{number}")
            until_it_stands_by(leader)
        else:
            leader.wait()
            leader.start().wait_ready()
    assert orders_of(cluster, token) == told
    epochs = [row["epoch"] for row in query(cluster, "SELECT epoch FROM journal ORDER BY sequence")]
    assert epochs == sorted(epochs), "nothing of an old leader comes after a new one"
    assert len(set(epochs)) >= 4 and LAPSED_S < 5


def test_without_redis_orders_are_refused_reads_go_on_and_all_comes_back(cluster: Cluster, token: str) -> None:
    placed_at_last(cluster, token, "before")
    cluster.valkey.stop()
    status, refused = until("a refusal", lambda: (a := place(cluster, token, "during"))[0] == 503 and a)
    assert (status, refused["reason"]) in ((503, "UNAVAILABLE"), (503, "OUTCOME_UNKNOWN"))
    assert "before" in orders_of(cluster, token)

    def health_that_tells() -> Any:
        _, health = cluster.call("GET", "/api/v1/health")
        return health if health["parts"]["redis"]["status"] != "ok" else None

    health = until("a health that tells", health_that_tells)
    assert (health["status"], health["role"]) == ("down", "leaderless")
    cluster.valkey.start()
    placed_at_last(cluster, token, "during")
    assert {"before", "during"} <= orders_of(cluster, token).keys()


def test_without_the_projector_orders_go_on_and_reads_wait_for_it(cluster: Cluster, token: str) -> None:
    cluster.projector.kill()
    placed_at_last(cluster, token, "unprojected")
    status, refused = cluster.call("GET", "/api/v1/orders", token=token)
    assert (status, refused["reason"]) == (503, "UNAVAILABLE")
    cluster.projector.start().wait_ready()
    assert "unprojected" in orders_of(cluster, token)


def test_an_api_process_that_dies_takes_nothing_with_it(cluster: Cluster, token: str) -> None:
    placed_at_last(cluster, token, "kept")
    dying = cluster.apis[0]
    dying.kill()
    dying.start().wait_ready()
    cluster.wait_open()
    assert "kept" in orders_of(cluster, token) and "kept" in orders_of(cluster, token)
