"""What leaves on a stream is in the journal."""

import asyncio

from engine.records import Mode, OrderType, Side, TimeInForce
from exchange.contracts import commands
from tests.support.streamed import Streamed


async def test_a_private_snapshot_never_shows_a_batch_that_is_not_durable_yet() -> None:
    streamed = Streamed()
    under_way = streamed.applied(commands.deposit(77, 1, 5 * 10**10))
    listener = await streamed.listen("orders", account=77)
    await asyncio.sleep(0)
    assert listener.taken() == [], "the deposit is in the engine and not in the journal"
    streamed.commit(under_way)
    (told,) = listener.taken()
    assert (told["type"], told["sequence"]) == ("snapshot", streamed.shard.sequence)
    assert [(item["asset"], item["available"]) for item in told["balances"]] == [("USD", "5")]


def order(account: int, side: Side, price_ticks: int, **terms: int) -> bytearray:
    kind = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, **terms}
    order_type, time_in_force = kind.pop("order_type"), kind.pop("time_in_force")
    return commands.place(account, 1, side, order_type, time_in_force, 0, price_ticks, 10**8, **kind)


async def test_who_commanded_nothing_hears_what_others_and_the_time_did_to_their_orders() -> None:
    streamed = Streamed()
    told = await streamed.listen("orders", account=7)
    assert (await told.next())["orders"] == []
    streamed.do(order(8, Side.SELL, 1_000), order(9, Side.BUY, 1_000))
    stop = {"order_type": OrderType.STOP, "trigger_price_ticks": 1_100}
    streamed.do(order(7, Side.BUY, 0, **stop), order(7, Side.BUY, 10, time_in_force=TimeInForce.GTD, expire_ns=99))
    waiting, short = (await told.next())["orders"]
    assert (waiting["status"], short["status"]) == ("Waiting", "Open")
    streamed.do(order(8, Side.SELL, 1_100), order(8, Side.SELL, 1_100), order(9, Side.BUY, 1_100))
    fired = await told.next()
    assert [(change["order_id"], change["status"]) for change in fired["orders"]] == [(waiting["order_id"], "Filled")]
    assert [fill["order_id"] for fill in fired["fills"]] == [waiting["order_id"]]
    streamed.do(commands.clock(), timestamp_ns=99)
    expired = await told.next()
    assert [(change["order_id"], change["status"]) for change in expired["orders"]] == [(short["order_id"], "Expired")]
    assert {balance["asset"]: balance["held"] for balance in expired["balances"]} == {"USD": "0", "BTC": "0"}
    assert expired["prev_sequence"] == fired["sequence"]


async def test_a_market_tells_its_mode_on_the_ticker() -> None:
    streamed = Streamed()
    watcher = await streamed.listen("ticker")
    assert (await watcher.next())["status"] == "Open"
    streamed.do(commands.set_mode(1, Mode.AUCTION))
    running = asyncio.create_task(streamed.hub.run())
    try:
        messages = [await watcher.next() for _ in range(2)]
    finally:
        running.cancel()
    (update,) = [message for message in messages if message["type"] == "update"]
    assert (update["channel"], update["status"]) == ("ticker", "Auction")
