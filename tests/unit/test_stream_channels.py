"""Channels and subscribers at their bounds: nothing piles up, and who is too slow is told so."""

import asyncio
import itertools
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.records import OrderType, Side, TimeInForce
from exchange.contracts import commands
from exchange.gateway import channels, hub, rounds, slices, subscriber, websocket
from exchange.gateway.deflate import Steps, deflating
from tests.support.stream_mirrors import DepthMirror
from tests.support.stream_socket import Listener, messages_of
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
        streamed.hub.rounds.beat()
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
    assert made == 2, "the trades of three batches, and what became of the book"
    assert {listener.socket.writes for listener in listeners} == {1}
    assert {len(listener.taken()) for listener in listeners} == {2}


async def test_a_message_for_many_is_compressed_once_and_only_for_those_who_take_it_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streamed = Streamed()
    listeners = [await streamed.listen("trades") for _ in range(20)]
    for number, listener in enumerate(listeners):
        listener.taken()
        listener.socket.deflates = number % 2 == 0
    made: list[int] = []

    def counted(message: bytes) -> Steps:
        made.append(len(message))
        return deflating(message)

    monkeypatch.setattr(websocket, "deflating", counted)
    for _ in range(3):
        streamed.do(order(Side.BUY, 100), order(Side.SELL, 100, account=8))
        streamed.turn()
    assert len(made) == 3
    assert [listener.socket.deflated for listener in listeners] == [3, 0] * 10
    told = [listener.taken() for listener in listeners]
    assert all(messages == told[1] for messages in told)
    late = Listener()
    late.socket.deflates = True
    for _ in range(2):
        await streamed.listen("trades", late)
    assert len(made) == 4, "a snapshot, twice"
    assert late.taken()[0]["type"] == "snapshot"


async def test_what_is_an_accounts_own_is_never_compressed() -> None:
    streamed, listener = Streamed(), Listener()
    listener.socket.deflates = True
    await streamed.listen("orders", listener, account=7)
    for price_ticks in range(100, 103):
        streamed.do(order(Side.BUY, price_ticks))
        assert listener.taken()
    listener.subscriber.send(subscriber.encode({"type": "ack", "id": "x" * 1_000}))
    assert listener.taken()
    assert listener.socket.deflated == 0
    await streamed.listen("depth.raw", listener)
    listener.taken()
    streamed.do(*[order(Side.BUY, price_ticks, account=8) for price_ticks in range(110, 150)])
    streamed.turn()
    listener.taken()
    assert listener.socket.deflated == 1, "what is public is"


def test_what_is_compressed_in_one_go_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    message, small = b'{"a":"' + b"x" * 70_000 + b'"}', b'{"b":1}'
    frames = [websocket.frame(each) for each in (small, message, small, message, message)]
    monkeypatch.setattr(websocket, "DEFLATED_MAX", 2 * len(message))
    shortened = websocket.deflated(b"".join(frames))
    assert len(shortened) < len(message) + 2_000
    assert shortened.startswith(frames[0]) and shortened.endswith(frames[4])
    assert messages_of(shortened) == messages_of(b"".join(frames))


async def test_rounds_take_their_share_of_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that moves when something is written, none of which the thread can write, but takes its time for."""
    streamed, write_s = Streamed(), 0.0001
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    listeners = [await streamed.listen("depth") for _ in range(100)]
    written: list[float] = []
    for listener in listeners:
        listener.taken()

        def receive(data: bytes) -> None:
            nonlocal now
            now += write_s
            written.append(now)

        monkeypatch.setattr(listener.socket, "receive", receive)
    real_sleep, slept = asyncio.sleep, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds
        tell()
        await real_sleep(0)

    def tell() -> None:
        streamed.do(order(Side.BUY, 100))
        for streams in streamed.hub._markets.values():
            streams.flush_depth()

    monkeypatch.setattr(asyncio, "sleep", sleep)
    tell()
    turning = asyncio.ensure_future(streamed.hub.rounds.run())
    while len(written) < 400:
        await asyncio.wait([turning], timeout=0.001)
    turning.cancel()
    begun, ended, round_s = written[0:400:100], written[99:400:100], 100 * write_s
    assert [later - before for before, later in itertools.pairwise(begun)] == pytest.approx(
        3 * [round_s / rounds.SHARE], rel=0.1
    )
    assert [last - first for first, last in zip(begun, ended, strict=True)] == pytest.approx(
        4 * [round_s / slices.PACE], rel=0.1
    )
    pauses = [seconds for seconds in slept if seconds < round_s / slices.PACE / 2]
    assert max(pauses) <= (slices.SLICE_S + write_s) * (1 / slices.PACE - 1) + slices.CLOCK_S


async def test_a_round_leads_everybody_to_where_it_began_and_the_next_one_to_the_rest() -> None:
    """However long it takes: so that they hold the same, and what one of them gets is made for all."""
    streamed = Streamed()
    listeners = [await streamed.listen("trades") for _ in range(4)]
    for listener in listeners:
        listener.taken()
    steps = itertools.chain(streamed.hub.rounds.turns(), streamed.hub.rounds.end_jobs())
    streamed.do(order(Side.BUY, 100), order(Side.SELL, 100, account=8))
    for _ in steps:
        streamed.do(order(Side.BUY, 100), order(Side.SELL, 100, account=8))
    told = [listener.socket.messages.pop() for listener in listeners]
    assert [(message["sequence"], len(message["trades"])) for message in told] == 4 * [(told[0]["sequence"], 1)]
    assert not [message for listener in listeners for message in listener.taken()]
    streamed.turn()
    rest = [listener.taken() for listener in listeners]
    assert all(messages == rest[0] for messages in rest)
    assert [message["prev_sequence"] for message in rest[0]] == [told[0]["sequence"]]
    assert len(rest[0][0]["trades"]) > 3


async def test_a_heartbeat_is_never_ahead_of_what_was_told_before_it() -> None:
    streamed = Streamed()
    listener = await streamed.listen("trades")
    listener.taken()
    streamed.do(order(Side.BUY, 100), order(Side.SELL, 100, account=8))
    streamed.hub.rounds.beat()
    for _ in itertools.chain(streamed.hub.rounds.turns(), streamed.hub.rounds.end_jobs()):
        streamed.do(order(Side.BUY, 100), order(Side.SELL, 100, account=8))
    trades, beat = listener.taken()
    assert (beat["type"], beat["sequence"]) == ("heartbeat", trades["sequence"])


async def test_streams_that_break_are_nobody_elses_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    streamed = Streamed()
    listener = await streamed.listen("trades")
    listener.taken()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(streamed.hub, "_publish", broken)
    streamed.do(order(Side.BUY, 100))
    assert listener.socket.closed == (1011, "the streams broke: connect again")


async def test_rounds_that_break_end_connections_and_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "LOOK_EVERY_S", 0)
    streamed = Streamed()
    before = await streamed.listen("trades")
    working = streamed.hub.rounds.turns

    def broken() -> Iterator[None]:
        monkeypatch.setattr(streamed.hub.rounds, "turns", working)
        yield
        raise ZeroDivisionError

    monkeypatch.setattr(streamed.hub.rounds, "turns", broken)
    running = asyncio.ensure_future(streamed.hub.run())
    streamed.do(order(Side.BUY, 100), order(Side.SELL, 100, account=8))
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert before.socket.closed == (1011, "the streams broke: connect again")
    after = await streamed.listen("trades")
    assert (await after.next())["type"] == "snapshot"
    streamed.do(order(Side.BUY, 100), order(Side.SELL, 100, account=8))
    assert (await after.next())["type"] == "update"
    running.cancel()
    await asyncio.wait([running])
