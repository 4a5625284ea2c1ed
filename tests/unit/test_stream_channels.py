"""Channels and subscribers at their bounds: nothing piles up, and who is too slow is told so."""

import asyncio
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from engine.records import OrderType, Side, TimeInForce
from exchange.contracts import commands
from exchange.gateway import channels, hub, subscriber
from tests.support.stream_mirrors import DepthMirror
from tests.support.stream_socket import Listener
from tests.support.streamed import Streamed

DOCS = Path(__file__).parents[2] / "docs" / "streams.md"


def order(side: Side, price_ticks: int, lots: int = 10**8, account: int = 7) -> bytearray:
    return commands.place(account, 1, side, OrderType.LIMIT, TimeInForce.GTC, 0, price_ticks, lots)


def types(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


async def test_the_checksum_of_the_documentation_is_that_of_a_message() -> None:
    streamed = Streamed()
    streamed.do(order(Side.BUY, 5_000_000, 150_000_000), order(Side.SELL, 5_000_100, 200_000_000, 8))
    (snapshot,) = (await streamed.listen("depth")).taken()
    text = DOCS.read_text()
    found = re.search(r'zlib\.crc32\((b"[^"]*")\)\n(\d+)', text)
    assert found is not None
    assert zlib.crc32(found[1][2:-1].encode()) == int(found[2]) == snapshot["checksum"]
    assert f'"checksum":{found[2]},"tick_size":"{snapshot["tick_size"]}","lot_size":"{snapshot["lot_size"]}"' in text
    assert (snapshot["bids"], snapshot["asks"]) == ([["50000.00", "1.5"]], [["50001.00", "2"]])


async def test_a_client_that_reads_slowly_gets_one_update_for_many_that_leads_to_the_same_book() -> None:
    streamed, mirrors = Streamed(), (DepthMirror(), DepthMirror())
    quick, slow = [await streamed.listen("depth") for _ in mirrors]
    updates = [0, 0]
    slow.subscriber.flush()
    for price_ticks in range(100, 110):
        slow.socket.has_room = price_ticks == 109
        streamed.do(order(Side.BUY, price_ticks))
        streamed.turn()
        for number, listener in enumerate((quick, slow)):
            for message in listener.taken():
                mirrors[number].take(message)
                updates[number] += message["type"] == "update"
    assert updates == [10, 1]
    assert mirrors[0].levels() == mirrors[1].levels() == [[(price, 10**8) for price in range(109, 99, -1)], []]


async def test_who_missed_more_than_is_kept_gets_a_snapshot_of_what_is_conflated_and_4008_of_what_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "KEPT_MESSAGES", 3)
    streamed = Streamed()
    conflated, log = await streamed.listen("depth"), await streamed.listen("depth.raw")
    for listener in (conflated, log):
        listener.taken()
        listener.socket.has_room = False
    for price_ticks in range(100, 105):
        streamed.do(order(Side.BUY, price_ticks))
        streamed.turn()
    for listener in (conflated, log):
        listener.socket.has_room = True
    assert types(conflated.taken()) == ["snapshot"]
    assert log.taken() == []
    assert log.socket.closed == (4008, "slow consumer: more than 3 messages of depth.raw were not read")


async def test_answers_that_are_not_read_end_the_connection_and_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "BUFFER_FRAMES", 10)
    listener = Listener()
    listener.socket.has_room = False
    for number in range(11):
        listener.subscriber.send(subscriber.encode({"type": "pong", "id": number}))
    assert listener.socket.closed == (4008, "slow consumer: 10 answers were not read")
    listener.subscriber.send(b"nothing more")
    assert not listener.subscriber._frames


async def test_a_socket_that_takes_nothing_for_long_is_closed_and_one_that_takes_little_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(subscriber.time, "monotonic", lambda: now)
    stuck, slow = Listener(), Listener()
    for listener in (stuck, slow):
        listener.socket.has_room, listener.socket.unsent = False, 1_000
    for _ in range(30):
        now += 1
        slow.socket.unsent -= 1
        for listener in (stuck, slow):
            listener.subscriber.look()
    assert stuck.socket.closed == (4008, "slow consumer: nothing was read for 10 s")
    assert slow.socket.is_open


async def test_heartbeats_do_not_pile_up_either() -> None:
    streamed = Streamed()
    listener = await streamed.listen("trades")
    listener.taken()
    listener.socket.has_room = False
    for _ in range(5):
        streamed.do(order(Side.BUY, 100))
        streamed.hub._heartbeat()
        streamed.turn()
    listener.socket.has_room = True
    (beat,) = listener.taken()
    assert (beat["type"], beat["sequence"]) == ("heartbeat", streamed.shard.sequence)


async def test_however_many_listen_a_message_is_made_once_and_written_once_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streamed = Streamed()
    listeners = [await streamed.listen("trades") for _ in range(50)]
    for listener in listeners:
        await streamed.listen("depth", listener)
        listener.taken()
        listener.socket.writes = 0
    made = 0

    def counted(message: dict[str, Any]) -> bytes:
        nonlocal made
        made += 1
        return subscriber.encode(message)

    monkeypatch.setattr(channels, "encode", counted)
    for _ in range(3):
        streamed.do(order(Side.BUY, 100), order(Side.SELL, 100, account=8))
    streamed.turn()
    assert made == 4, "three batches of trades, and what became of the book"
    assert {listener.socket.writes for listener in listeners} == {1}
    assert {len(listener.taken()) for listener in listeners} == {4}


@pytest.mark.parametrize(("spare", "share"), [(0.0, hub.SHARE), (0.1, hub.SHARE), (0.8, 0.8 * hub.SHARE_OF_SPARE)])
async def test_turns_take_their_share_of_time_and_no_more(
    monkeypatch: pytest.MonkeyPatch, spare: float, share: float
) -> None:
    """With a clock that moves when something is written: what is counted is counted exactly."""
    streamed = Streamed()
    monkeypatch.setattr(streamed.hub._leisure, "spare", lambda: spare)
    now = 0.0
    monkeypatch.setattr(hub.time, "perf_counter", lambda: now)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    listeners = [await streamed.listen("depth") for _ in range(100)]
    for listener in listeners:
        listener.taken()

        def write(frames: bytes) -> None:
            nonlocal now
            now += 0.0001

        monkeypatch.setattr(listener.socket, "write", write)
    streamed.do(order(Side.BUY, 100))
    for streams in streamed.hub._markets.values():
        streams.flush_depth()
    monkeypatch.setattr(hub.asyncio, "sleep", sleep)
    turning = asyncio.ensure_future(streamed.hub._turn())
    while len(streamed.hub._turns) or not slept:
        await asyncio.wait([turning], timeout=0.001)
    turning.cancel()
    worked = 100 * 0.0001
    assert sum(slept) == pytest.approx(worked * (1 / share - 1), rel=0.1)
    assert 17 <= len(slept) <= 20, "five writes a slice, or six where sums of fractions are a little less"


async def test_streams_that_break_are_nobody_elses_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    streamed = Streamed()
    listener = await streamed.listen("trades")
    listener.taken()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(streamed.hub, "_publish", broken)
    streamed.do(order(Side.BUY, 100))
    assert listener.socket.closed == (1011, "the streams broke: connect again")
