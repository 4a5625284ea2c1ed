"""What leaves on a stream is in the journal."""

import asyncio
import json

from engine.matching import Shard
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
