"""Order entry over the WebSocket, from outside: the same operations with the same answers as REST, pipelined."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from exchange.simulation.stream_load import text_frame
from tests.support.server import ExchangeServer

Message = dict[str, Any]
Trader = Callable[..., str]
#: What one answer has and the same operation's other has not.
OWN = (
    "order_id",
    "client_order_id",
    "sequence",
    "created_at",
    "updated_at",
    "executed_at",
    "trade_id",
    "request_id",
    "ahead_orders",
    "ahead_quantity",
)  # the one's order is before the other's


class Desk:
    """A connection that trades: asks, and finds the answers by their ids whatever comes between."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self._answers: dict[int, Message] = {}

    async def send(self, op: str, **body: Any) -> int:
        self._number += 1
        await self._connection.send(json.dumps({"op": op, "id": self._number, **body}))
        return self._number

    async def answer(self, number: int) -> Message:
        async with asyncio.timeout(60):
            while number not in self._answers:
                message = json.loads(await self._connection.recv())
                if message["type"] in ("ack", "error") and message["id"] is not None:
                    self._answers[message["id"]] = message
        return self._answers.pop(number)

    async def ask(self, op: str, **body: Any) -> Message:
        return await self.answer(await self.send(op, **body))

    async def done(self, op: str, **body: Any) -> Any:
        answer = await self.ask(op, **body)
        assert answer["type"] == "ack", answer
        return answer["result"]

    async def refused(self, op: str, **body: Any) -> Message:
        answer = await self.ask(op, **body)
        assert answer["type"] == "error", answer
        return answer


@asynccontextmanager
async def desk(exchange: ExchangeServer, token: str) -> AsyncIterator[Desk]:
    async with connect(exchange.url.replace("http", "ws") + "/ws/v1", max_size=None) as connection:
        opened = Desk(connection)
        assert (await opened.ask("authenticate", token=token))["type"] == "ack"
        yield opened


async def call(exchange: ExchangeServer, *arguments: Any) -> tuple[int, Any]:
    return await asyncio.to_thread(exchange.call, *arguments)


def order(side: str, price: int, quantity: str = "0.1", **terms: Any) -> Message:
    return {"symbol": "BTC/USD", "side": side, "price": f"{price}.00", "quantity": quantity, **terms}


def plain(answer: Any) -> Any:
    """An answer without what is each operation's own."""
    if isinstance(answer, dict):
        return {key: plain(value) for key, value in answer.items() if key not in OWN}
    return [plain(value) for value in answer] if isinstance(answer, list) else answer


# --- The same as REST ---------------------------------------------------------------------------------------------


async def test_every_operation_answers_as_rest_does(exchange_server: ExchangeServer, trader: Trader) -> None:
    token, other = trader(USD="1000000"), trader(USD="1000000")

    async def rest(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return await call(exchange_server, method, f"/api/v1{path}", body, other)

    async with desk(exchange_server, token) as stream:

        async def same(op: str, body: Message, by_rest: tuple[int, Any]) -> Any:
            answer = await stream.ask(op, **body)
            assert answer["status"] == by_rest[0], (answer, by_rest)
            assert plain(answer["result"]) == plain(by_rest[1])
            return answer["result"], by_rest[1]

        terms = order("Buy", 100, "1")
        mine, theirs = await same("place", terms, await rest("POST", "/orders", terms))
        await same("test", terms, await rest("POST", "/orders/test", terms))
        change = {"quantity": "0.5"}
        by_rest = await rest("PATCH", f"/orders/{theirs['order_id']}", change)
        await same("amend", {"order_id": mine["order_id"], **change}, by_rest)
        await same("order", {"order_id": mine["order_id"]}, await rest("GET", f"/orders/{theirs['order_id']}"))
        new = order("Buy", 101, "1", client_order_id=uuid.uuid4().hex)
        mine, theirs = await same(
            "replace",
            {"order_id": mine["order_id"], **new},
            await rest("POST", f"/orders/{theirs['order_id']}/replace", new),
        )
        by_id = {"client_order_id": new["client_order_id"]}
        await same("order", by_id, await rest("GET", f"/orders/by-client-id/{new['client_order_id']}"))
        await same("place", terms | {"price": "102.00"}, await rest("POST", "/orders", terms | {"price": "102.00"}))
        await same("cancel", {"order_id": mine["order_id"]}, await rest("DELETE", f"/orders/{theirs['order_id']}"))
        oco = {
            "kind": "bracket",
            "entry": order("Buy", 103),
            "stop_loss": {"order_type": "Stop", "trigger_price": "1.00"},
        }
        result = await stream.done("order_list", **oco)
        _, by_rest_list = await rest("POST", "/order-lists", oco)
        links = ("parent_order_id", "child_order_id", "other_leg_order_id")
        for listed in (result, by_rest_list):
            for one in listed["orders"]:
                for link in links:
                    one.pop(link)
        assert plain(result) == plain(by_rest_list)
        operations = [
            {"op": "place", **order("Buy", 104)},
            {"op": "place", **order("Buy", 104, "x")},
            {"op": "cancel", "order_id": "999999999"},
        ]
        batch = {"operations": operations}
        result, _ = await same("batch", batch, await rest("POST", "/orders/batch", batch))
        assert [outcome["status"] for outcome in result["outcomes"]] == [201, 422, 404]
        scope = {"symbol": "BTC-USD", "side": "Buy", "price_from": "104.00"}
        by_rest = await rest("DELETE", "/orders?symbol=BTC-USD&side=Buy&price_from=104.00")
        by_rest[1].pop("order_ids")
        result = await stream.done("cancel_all", **scope)
        result.pop("order_ids")
        assert plain(result) == plain(by_rest[1]) == {"cancelled": 1}
        assert (await stream.done("cancel_all"))["cancelled"] == 3


REFUSED = {
    "no order": ("place", {}, 422, "UNKNOWN_SYMBOL"),
    "off tick": ("place", order("Buy", 1) | {"price": "1.001"}, 422, "PRICE_OFF_TICK"),
    "unknown field": ("place", order("Buy", 1) | {"colour": "red"}, 400, "MALFORMED"),
    "no funds": ("place", order("Sell", 100), 422, "INSUFFICIENT_FUNDS"),
    "test: no funds": ("test", order("Sell", 100), 422, "INSUFFICIENT_FUNDS"),
    "cancel nothing": ("cancel", {}, 422, "FIELD_INVALID"),
    "cancel a number": ("cancel", {"order_id": 7}, 422, "FIELD_INVALID"),
    "cancel nobody's": ("cancel", {"order_id": "999999999"}, 404, "UNKNOWN_ORDER"),
    "amend nobody's": ("amend", {"order_id": "999999999", "quantity": "1"}, 404, "UNKNOWN_ORDER"),
    "amend with more": ("amend", {"order_id": "1", "side": "Buy"}, 400, "MALFORMED"),
    "replace nobody's": ("replace", order("Buy", 1, order_id="999999999"), 404, "UNKNOWN_ORDER"),
    "replace how": ("replace", order("Buy", 1, order_id="1", mode="maybe"), 422, "FIELD_INVALID"),
    "cancel all of null": ("cancel_all", {"symbol": None}, 422, "UNKNOWN_SYMBOL"),
    "cancel all by nobody": ("cancel_all", {"side": None}, 422, "SIDE_INVALID"),
    "cancel all before nothing": ("cancel_all", {"client_order_id_prefix": None}, 422, "CLIENT_ORDER_ID_INVALID"),
    "cancel all below null": ("cancel_all", {"symbol": "BTC-USD", "price_to": None}, 422, "FIELD_INVALID"),
    "cancel all of something": ("cancel_all", {"colour": "red"}, 400, "MALFORMED"),
    "batch of nothing": ("batch", {"operations": []}, 422, "FIELD_INVALID"),
    "batch of a dance": ("batch", {"operations": [{"op": "dance"}]}, 400, "MALFORMED"),
    "batch of no list": ("batch", {"operations": 7}, 400, "MALFORMED"),
    "list of what": ("order_list", {"kind": "four"}, 422, "FIELD_INVALID"),
    "order by nothing": ("order", {}, 422, "FIELD_INVALID"),
    "order by both": ("order", {"order_id": "1", "client_order_id": "x"}, 422, "FIELD_INVALID"),
    "order nobody's": ("order", {"order_id": "999999999"}, 404, "UNKNOWN_ORDER"),
    "order never sent": ("order", {"client_order_id": "never-sent"}, 404, "NOT_RECEIVED"),
    "order by a blank": ("order", {"client_order_id": "a b"}, 422, "CLIENT_ORDER_ID_INVALID"),
    "timer of when": ("cancel_after", {}, 422, "FIELD_INVALID"),
    "timer too soon": ("cancel_after", {"timeout_ms": 999}, 422, "FIELD_INVALID"),
    "timer of true": ("cancel_after", {"timeout_ms": True}, 422, "FIELD_INVALID"),
    "timer too late": ("cancel_after", {"timeout_ms": 86_400_001}, 422, "FIELD_INVALID"),
    "timer told": ("timer", {"timeout_ms": 5000}, 400, "MALFORMED"),
    "disconnect maybe": ("cancel_on_disconnect", {"on": "yes"}, 422, "FIELD_INVALID"),
    "disconnect of what": ("cancel_on_disconnect", {"on": True, "scope": "world"}, 422, "FIELD_INVALID"),
}


async def test_what_is_wrong_is_refused_as_by_rest_and_the_connection_goes_on(
    exchange_server: ExchangeServer, trader: Trader
) -> None:
    async with desk(exchange_server, trader(USD="1000")) as stream:
        for name, (op, body, status, reason) in REFUSED.items():
            error = await stream.refused(op, **body)
            assert (error["status"], error["reason"], bool(error["detail"])) == (status, reason, True), (name, error)
            assert error["code"], name
        assert (await stream.ask("place", **order("Buy", 1, "1")))["status"] == 201


async def test_who_is_not_signed_in_trades_nothing(exchange_server: ExchangeServer) -> None:
    async with connect(exchange_server.url.replace("http", "ws") + "/ws/v1") as connection:
        stream = Desk(connection)
        for op, (_, body, _, _) in {case[0]: case for case in REFUSED.values()}.items():
            assert (await stream.refused(op, **body))["reason"] == "UNAUTHENTICATED", op


async def test_every_answer_tells_what_is_left_of_the_budget(exchange_server: ExchangeServer, trader: Trader) -> None:
    async with desk(exchange_server, trader(USD="1000")) as stream:
        for op, body in {"place": order("Buy", 1), "cancel": {"order_id": "1"}, "order": {}, "batch": {}}.items():
            answer = await stream.ask(op, **body)
            if op == "batch":  # not even read: it drew on nothing
                assert "rate_limit" not in answer
            else:
                assert set(answer["rate_limit"]) == {"limit", "remaining", "reset"}, answer
                assert answer["rate_limit"]["limit"] > answer["rate_limit"]["remaining"]


# --- Pipelined ----------------------------------------------------------------------------------------------------


async def test_what_is_sent_at_once_is_taken_in_the_order_of_the_messages(
    exchange_server: ExchangeServer, trader: Trader
) -> None:
    names = [uuid.uuid4().hex for _ in range(5)]
    async with desk(exchange_server, trader(USD="1000000")) as stream:
        sent: list[int] = []
        for number in range(200):
            if number % 40 == 20:  # a batch and a repeated order among them
                operations = [{"op": "place", **order("Buy", 50, "0.01")}] * 3
                sent.append(await stream.send("batch", operations=operations))
            elif number % 40 == 30:
                sent.append(await stream.send("place", **order("Buy", 49, "0.01", client_order_id=names[number // 40])))
                sent.append(await stream.send("place", **order("Buy", 49, "0.01", client_order_id=names[number // 40])))
            else:
                sent.append(await stream.send("place", **order("Buy", 50, "0.01")))
        answers = [await stream.answer(number) for number in sent]
        assert {answer["type"] for answer in answers} == {"ack"}
        sequences: list[int] = []
        for answer in answers:
            result = answer["result"]
            orders = [outcome["order"] for outcome in result["outcomes"]] if "outcomes" in result else [result]
            if answer["status"] != 200 or "outcomes" in result:
                sequences += [int(one["order_id"]) for one in orders]
        assert sequences == sorted(sequences)
        assert sum(answer["status"] == 200 and "outcomes" not in answer["result"] for answer in answers) == 5
        assert (await stream.done("cancel_all"))["cancelled"] == len(sequences) == 190 + 5 * 3 + 5


async def test_one_id_a_hundred_times_at_once_by_every_way_is_one_order(
    exchange_server: ExchangeServer, trader: Trader
) -> None:
    token, name = trader(USD="1000000"), uuid.uuid4().hex
    terms = order("Buy", 60, client_order_id=name)
    async with desk(exchange_server, token) as first, desk(exchange_server, token) as second:

        async def by_stream(stream: Desk, number: int) -> tuple[int, Message]:
            answer = await stream.answer(number)
            return answer["status"], answer["result"]

        async def by_batch() -> tuple[int, Message]:
            body = {"operations": [{"op": "place", **terms}]}
            _, answer = await call(exchange_server, "POST", "/api/v1/orders/batch", body, token)
            (outcome,) = answer["outcomes"]
            return outcome["status"], outcome["order"]

        asked = [by_batch() for _ in range(20)]
        asked += [call(exchange_server, "POST", "/api/v1/orders", terms, token) for _ in range(20)]
        running = [asyncio.create_task(one) for one in asked]
        sent = [(stream, await stream.send("place", **terms)) for _ in range(30) for stream in (first, second)]
        results = [await by_stream(*one) for one in sent] + await asyncio.gather(*running)
        assert len(results) == 100
        assert sorted(status for status, _ in results) == [200] * 99 + [201]
        assert len({json.dumps(result, sort_keys=True) for _, result in results}) == 1
        assert (await first.done("cancel_all"))["cancelled"] == 1
        other = await second.refused("place", **terms | {"quantity": "0.2"})
        assert (other["status"], other["reason"]) == (409, "CLIENT_ORDER_ID_REUSED")


# --- The dead-man timer, and cancel on disconnect -------------------------------------------------------------------


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)


def live_orders(exchange: ExchangeServer, token: str) -> list[Message]:
    status, answer = exchange.call("GET", "/api/v1/orders?status=open&limit=500", None, token)
    assert status == 200, answer
    found: list[Message] = answer["items"]
    return found


async def test_the_timer_is_one_by_rest_and_stream_and_ends_everything(
    exchange_server: ExchangeServer, trader: Trader
) -> None:
    token = trader(USD="1000000")
    path = "/api/v1/orders/cancel-after"
    async with desk(exchange_server, token) as stream:
        off = {"cancel_at": None, "remaining_ms": None, "cancel_on_disconnect": False}
        assert await stream.done("timer") == off == (await call(exchange_server, "GET", path, None, token))[1]
        placed = await stream.done("place", **order("Buy", 70))
        state = await stream.done("cancel_after", timeout_ms=60_000)
        assert 0 < state["remaining_ms"] <= 60_000
        assert (await call(exchange_server, "GET", path, None, token))[1]["cancel_at"] == state["cancel_at"]
        assert await stream.done("cancel_after", timeout_ms=0) == off
        status, state = await call(exchange_server, "PUT", path, {"timeout_ms": 1000}, token)
        assert (status, state["remaining_ms"] <= 1000) == (200, True)
        await until(lambda: not live_orders(exchange_server, token))
        ended = await stream.done("order", order_id=placed["order_id"])
        assert (ended["status"], ended["end_reason"]) == ("Cancelled", "DEAD_MAN_TIMER")
        assert ended["updated_at"] >= state["cancel_at"]
        assert await stream.done("timer") == off


@pytest.mark.parametrize("scope", ["connection", "account"])
async def test_the_orders_of_a_connection_end_with_it(
    exchange_server: ExchangeServer, trader: Trader, scope: str
) -> None:
    token = trader(USD="1000000")
    _, kept = await call(exchange_server, "POST", "/api/v1/orders", order("Buy", 71), token)
    async with desk(exchange_server, token) as stream:
        first = await stream.done("place", **order("Buy", 72))
        state = await stream.done("cancel_on_disconnect", on=True, scope=scope)
        assert (state["on"], state["scope"]) == (True, scope)
        assert (await stream.done("timer"))["cancel_on_disconnect"] is True
        operations = [{"op": "place", **order("Buy", 73)}, {"op": "place", **order("Buy", 74)}]
        await stream.done("batch", operations=operations)
        await stream.done("replace", **order("Buy", 75, order_id=first["order_id"]))
        for number in range(50):  # sent, and not waited for
            await stream.send("place", **order("Buy", 76 + number, "0.01"))
    await until(lambda: len(live_orders(exchange_server, token)) <= (scope == "connection"))
    left = [one["order_id"] for one in await asyncio.to_thread(live_orders, exchange_server, token)]
    assert left == ([kept["order_id"]] if scope == "connection" else [])
    _, timer = await call(exchange_server, "GET", "/api/v1/orders/cancel-after", None, token)
    assert timer == {"cancel_at": None, "remaining_ms": None, "cancel_on_disconnect": False}


async def test_a_peer_that_is_gone_without_a_word_is_noticed(exchange_server: ExchangeServer, trader: Trader) -> None:
    """Half an open connection: nothing closes it, and nobody answers its pings."""
    token = trader(USD="1000000")
    reader, writer = await asyncio.open_connection("127.0.0.1", exchange_server.port)
    writer.write(
        b"GET /ws/v1 HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    for message in (
        {"op": "authenticate", "token": token},
        {"op": "cancel_on_disconnect", "on": True},
        {"op": "place", **order("Buy", 72)},
    ):
        writer.write(text_frame(json.dumps(message).encode()))
    await until(lambda: len(live_orders(exchange_server, token)) == 1)
    await until(lambda: not live_orders(exchange_server, token))
    writer.close()


async def test_it_can_be_turned_off_again(exchange_server: ExchangeServer, trader: Trader) -> None:
    token = trader(USD="1000000")
    async with desk(exchange_server, token) as stream:
        await stream.done("cancel_on_disconnect", on=True)
        await stream.done("place", **order("Buy", 72))
        assert (await stream.done("cancel_on_disconnect", on=False))["on"] is False
        assert (await stream.done("timer"))["cancel_on_disconnect"] is False
    async with desk(exchange_server, token) as stream:  # which is later than the end of the other
        await stream.done("place", **order("Buy", 73))
        assert len(await asyncio.to_thread(live_orders, exchange_server, token)) == 2


async def test_a_session_that_is_ended_takes_its_orders_along(exchange_server: ExchangeServer) -> None:
    name = f"leaver-{uuid.uuid4().hex[:8]}"
    token = await asyncio.to_thread(exchange_server.trader, name, {"USD": "1000"})
    credentials = {"username": name, "password": "correct horse battery"}
    _, other = await call(exchange_server, "POST", "/api/v1/auth/login", credentials)
    async with desk(exchange_server, token) as stream:
        await stream.done("cancel_on_disconnect", on=True)
        await stream.done("place", **order("Buy", 72))
        status, _ = await call(exchange_server, "DELETE", "/api/v1/auth/sessions", None, other["access_token"])
        assert status == 200
        await until(lambda: not live_orders(exchange_server, other["access_token"]))
        assert (await stream.refused("place", **order("Buy", 72)))["reason"] == "UNAUTHENTICATED"


async def test_the_traders_timer_and_a_watched_connection_do_not_put_each_other_off(
    exchange_server: ExchangeServer, trader: Trader
) -> None:
    token = trader(USD="1000000")
    async with desk(exchange_server, token) as stream:
        await stream.done("cancel_on_disconnect", on=True)
        far = await stream.done("cancel_after", timeout_ms=3_600_000)
        assert far["remaining_ms"] > 3_000_000, "what the trader asked for is told, not the lease"
        near = await stream.done("cancel_after", timeout_ms=1_000)
        assert near["remaining_ms"] <= 1_000
        placed = await stream.done("place", **order("Buy", 72))
        await until(lambda: not live_orders(exchange_server, token))
        ended = await stream.done("order", order_id=placed["order_id"])
        assert ended["end_reason"] == "DEAD_MAN_TIMER"
        assert (await stream.done("timer")) == {
            "cancel_at": None, "remaining_ms": None, "cancel_on_disconnect": True,
        }  # fmt: skip


async def test_what_a_killed_exchange_owed_is_done_by_the_next(own_exchange: ExchangeServer) -> None:
    """kill -9: the trader's timer fires when it was to, and so does that of a connection that nobody opens again."""
    exchange = own_exchange
    tokens = [exchange.trader(name, {"USD": "1000"}) for name in ("timed", "gone", "back")]
    timed, gone, back = tokens
    streams = [connect(exchange.url.replace("http", "ws") + "/ws/v1") for _ in tokens]
    async with streams[0] as one, streams[1] as two, streams[2] as three:
        desks = [Desk(one), Desk(two), Desk(three)]
        for stream, token in zip(desks, tokens, strict=True):
            await stream.ask("authenticate", token=token)
            await stream.done("place", **order("Buy", 72))
        for stream in desks[1:]:
            await stream.done("cancel_on_disconnect", on=True)
        timer = await desks[0].done("cancel_after", timeout_ms=6_000)
        await asyncio.to_thread(exchange.kill)
    await asyncio.to_thread(exchange.start)
    async with desk(exchange, back) as stream:  # in time: these orders live on
        await stream.done("cancel_on_disconnect", on=True, scope="account")
        await until(lambda: not live_orders(exchange, timed) and not live_orders(exchange, gone))
        assert len(await asyncio.to_thread(live_orders, exchange, back)) == 1
        for token in (timed, gone):
            _, listed = await call(exchange, "GET", "/api/v1/orders", None, token)
            (ended,) = listed["items"]
            assert ended["end_reason"] == "DEAD_MAN_TIMER"
            if token == timed:
                assert ended["updated_at"] >= timer["cancel_at"]
        await asyncio.to_thread(exchange.stop)  # a restart that was asked for ends connections, and so their orders
    await asyncio.to_thread(exchange.start)
    _, listed = await call(exchange, "GET", "/api/v1/orders", None, back)
    (ended,) = listed["items"]
    assert (ended["status"], ended["end_reason"]) == ("Cancelled", "MASS_CANCEL")
