"""What leaves on a stream is in the journal."""

import asyncio
import json
from typing import Any

from engine.matching import Shard
from engine.records import Mode, OrderType, Side, TimeInForce
from exchange.contracts import commands
from exchange.contracts.catalogue import Catalogue
from exchange.corridor.genesis import genesis
from exchange.corridor.live import Live
from exchange.corridor.writer import split_entries
from exchange.gateway.hub import Hub, Subscriber
from exchange.storage.journal import Entry


def applied(shard: Shard, *batch: bytearray) -> list[Entry]:
    for command in batch:
        commands.stamp(command, shard.sequence + 1 + batch.index(command), 1)
    return split_entries(batch, shard.apply(b"".join(batch)))


async def test_a_private_snapshot_never_shows_a_batch_that_is_not_durable_yet() -> None:
    shard, live = Shard(), Live(Catalogue())
    hub = Hub(live.catalogue, live)
    live.apply(applied(shard, *genesis()))
    hub.begin_term(shard)
    subscriber = Subscriber()
    hub.connections.add(subscriber)
    under_way = applied(shard, commands.deposit(7, 1, 5 * 10**10))
    hub.subscribe_orders(subscriber, 7)
    waiting = asyncio.create_task(subscriber.next())
    await asyncio.sleep(0)
    assert not waiting.done(), "the deposit is in the engine and not in the journal"
    hub.publish(live.apply(under_way))
    told = json.loads(await waiting or "")
    assert (told["type"], told["sequence"]) == ("snapshot", shard.sequence)
    assert [(item["asset"], item["available"]) for item in told["balances"]] == [("USD", "5")]


class Told:
    """A hub, and what it told one account."""

    def __init__(self, account: int) -> None:
        self.shard, self.live = Shard(), Live(Catalogue())
        self.hub = Hub(self.live.catalogue, self.live)
        self.do(*genesis(), *[commands.deposit(who, asset, 10**16) for who in range(7, 11) for asset in (1, 2)])
        self.hub.begin_term(self.shard)
        self.subscriber = Subscriber()
        self.hub.connections.add(self.subscriber)
        self.hub.subscribe_orders(self.subscriber, account)

    def do(self, *batch: bytearray, timestamp_ns: int = 1) -> None:
        for number, command in enumerate(batch, start=self.shard.sequence + 1):
            commands.stamp(command, number, timestamp_ns)
        self.hub.publish(self.live.apply(split_entries(batch, self.shard.apply(b"".join(batch)))))

    async def next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.subscriber.next() or "")
        return message


def order(account: int, side: Side, price_ticks: int, **terms: int) -> bytearray:
    kind = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, **terms}
    order_type, time_in_force = kind.pop("order_type"), kind.pop("time_in_force")
    return commands.place(account, 1, side, order_type, time_in_force, 0, price_ticks, 10**8, **kind)


async def test_who_commanded_nothing_hears_what_others_and_the_time_did_to_their_orders() -> None:
    told = Told(7)
    assert (await told.next())["orders"] == []
    told.do(order(8, Side.SELL, 1_000), order(9, Side.BUY, 1_000))
    stop = {"order_type": OrderType.STOP, "trigger_price_ticks": 1_100}
    told.do(order(7, Side.BUY, 0, **stop), order(7, Side.BUY, 10, time_in_force=TimeInForce.GTD, expire_ns=99))
    waiting, short = (await told.next())["orders"]
    assert (waiting["status"], short["status"]) == ("Waiting", "Open")
    told.do(order(8, Side.SELL, 1_100), order(8, Side.SELL, 1_100), order(9, Side.BUY, 1_100))
    fired = await told.next()
    assert [(change["order_id"], change["status"]) for change in fired["orders"]] == [(waiting["order_id"], "Filled")]
    assert [fill["order_id"] for fill in fired["fills"]] == [waiting["order_id"]]
    told.do(commands.clock(), timestamp_ns=99)
    expired = await told.next()
    assert [(change["order_id"], change["status"]) for change in expired["orders"]] == [(short["order_id"], "Expired")]
    assert {balance["asset"]: balance["held"] for balance in expired["balances"]} == {"USD": "0", "BTC": "0"}
    assert expired["prev_sequence"] == fired["sequence"]


async def test_a_market_tells_its_mode_on_the_ticker() -> None:
    told = Told(7)
    watcher = Subscriber()
    told.hub.connections.add(watcher)
    told.hub.subscribe(watcher, "ticker", told.live.catalogue.market("BTC/USD"))
    assert json.loads(await watcher.next() or "")["status"] == "Open"
    told.do(commands.set_mode(1, Mode.AUCTION))
    running = asyncio.create_task(told.hub.run())
    try:
        messages = [json.loads(await watcher.next() or "") for _ in range(2)]
    finally:
        running.cancel()
    (update,) = [message for message in messages if message["type"] == "update"]
    assert (update["channel"], update["status"]) == ("ticker", "Auction")
