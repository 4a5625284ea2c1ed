"""Operations of a stream connection: each is answered once, by its id, whatever becomes of it."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, cast

import pytest

from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway import streams
from exchange.gateway.context import Exchange
from exchange.gateway.hub import Hub
from exchange.gateway.streams import Answer, Connection, Handler
from tests.support.stream_socket import Listener


class Client:
    """A connection with some operations, and what it was told."""

    def __init__(self, **operations: Handler) -> None:
        self.listener = Listener()
        nothing: Any = None
        self.connection = Connection(
            cast(Exchange, nothing), cast(Hub, nothing), self.listener.subscriber, "", streams.OPERATIONS | operations
        )

    def ask(self, op: str, identity: int) -> None:
        self.connection.take(json.dumps({"op": op, "id": identity}).encode())

    async def told(self) -> dict[str, Any]:
        return await self.listener.next()


async def test_what_takes_its_time_is_begun_in_order_and_answered_by_its_id_when_it_ends() -> None:
    begun: list[bytes] = []
    gates, all_begun = [asyncio.Event(), asyncio.Event()], asyncio.Event()

    def slow(connection: Connection, message: bytes) -> Awaitable[Answer | None]:
        async def run() -> Answer:
            begun.append(message)
            gate = gates[len(begun) - 1]
            if len(begun) == len(gates):
                all_begun.set()
            await gate.wait()
            return {"said": len(begun)}

        return run()

    client = Client(slow=slow)
    client.ask("slow", 1)
    client.ask("slow", 2)
    client.ask("ping", 3)
    assert (await client.told())["id"] == 3, "nothing waits for them"
    await asyncio.wait_for(all_begun.wait(), 10)
    assert [json.loads(message)["id"] for message in begun] == [1, 2]
    gates[1].set()
    assert await client.told() == {"type": "ack", "id": 2, "op": "slow", "said": 2}
    gates[0].set()
    assert (await client.told())["id"] == 1


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_refusal_and_a_failure_are_answers(at_once: bool) -> None:
    def work(connection: Connection, message: bytes) -> Awaitable[Answer | None]:
        def fail() -> Answer:
            if json.loads(message)["id"] == 1:
                raise refuse(EdgeReason.FORBIDDEN, "no")
            raise ZeroDivisionError

        async def later() -> Answer:
            return fail()

        return cast(Awaitable[Answer | None], fail()) if at_once else later()

    client = Client(work=work)
    client.ask("work", 1)
    client.ask("work", 2)
    client.ask("ping", 3)
    told = {message["id"]: message for message in [await client.told() for _ in range(3)]}
    assert (told[1]["type"], told[1]["reason"]) == ("error", "FORBIDDEN")
    assert (told[2]["type"], told[2]["reason"]) == ("error", "INTERNAL")
    assert told[3]["type"] == "pong"


async def test_a_connection_has_so_many_operations_under_way_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "UNDERWAY_MAX", 2)
    gate = asyncio.Event()

    def slow(connection: Connection, message: bytes) -> Awaitable[Answer | None]:
        async def run() -> Answer:
            await gate.wait()
            return {}

        return run()

    client = Client(slow=slow)
    for identity in range(3):
        client.ask("slow", identity)
    refused = await client.told()
    assert (refused["id"], refused["reason"]) == (2, "OVERLOADED")
    gate.set()
    assert {(await client.told())["id"] for _ in range(2)} == {0, 1}
    client.ask("slow", 4)
    assert (await client.told())["id"] == 4
