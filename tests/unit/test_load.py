"""The load generator: exact requests, answers counted as they come, and a mix that keeps the book in balance."""

import asyncio
import json
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from engine.matching import Book
from engine.records import Side
from exchange.simulation.load import (
    HEAD_BYTES_MAX,
    LoadSettings,
    OrderMix,
    Requests,
    answer_length,
    decimal_text,
    http_request,
    run_load,
)

OK = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nContent-Length: 4\r\n\r\ntrue"


@asynccontextmanager
async def server(answer: Callable[[int, bytes], list[bytes]]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answers each request with the given pieces; gives the URL and the requests it got."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                got.append(head + await reader.readexactly(length))
                for piece in answer(len(got), got[-1]):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/orders?a=b", got


async def drive(url: str, connections: int = 2, seconds: float = 0.3) -> tuple[dict[str, object], int]:
    request = http_request("POST", url, b'{"a":1}', {"Authorization": "Bearer x"})
    settings = LoadSettings(url, connections, seconds, warm_up_s=0.0)
    result = await run_load(settings, [lambda: request] * connections)
    return result.document(), result.latency.count


async def test_every_answer_is_counted_by_its_status_and_requests_are_whole() -> None:
    async with server(lambda number, _: [OK]) as (url, got):
        document, count = await drive(url)
    assert count > 10
    assert document["statuses"] == {"201": count}
    assert document["failures"] == {}
    assert set(got) == {
        f"POST /orders?a=b HTTP/1.1\r\nHost: {url[7:].partition('/')[0]}\r\nAuthorization: Bearer x\r\n"
        'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'.encode()
    }


async def test_a_rate_is_kept_and_who_is_slow_is_told_by_latency() -> None:
    async with server(lambda number, _: [OK]) as (url, got):
        settings = LoadSettings(url, 4, 0.5, warm_up_s=0.0, rate=100)
        await run_load(settings, [lambda: http_request("POST", url, b"{}")] * 4)
    assert 4 <= len(got) <= 56

    async def answer_late() -> list[float]:
        """One connection asks ten times a second of a server that stands still for 0.4 s at first."""
        began = time.monotonic()

        def answer(number: int, request: bytes) -> list[bytes]:
            if number == 1:
                time.sleep(0.4)
            return [OK]

        async with server(answer) as (url, _):
            settings = LoadSettings(url, 1, 0.55, warm_up_s=0.0, rate=10)
            result = await run_load(settings, [lambda: http_request("POST", url, b"{}")])
        assert time.monotonic() - began < 60
        return [result.latency.summary_ms()["p50"], result.latency.summary_ms()["max"]]

    p50_ms, most_ms = await answer_late()
    assert most_ms >= 390, "the first waited for all of it"
    assert p50_ms >= 90, "and those that were due meanwhile for what was left of it"


async def test_answers_in_pieces_are_counted_once() -> None:
    pieces = [OK[:5], OK[5:40], OK[40:-2], OK[-2:]]
    async with server(lambda number, _: pieces) as (url, got):
        _, count = await drive(url)
    assert 0 < count <= len(got)


async def test_statuses_other_than_success_are_told_apart() -> None:
    refused = b"HTTP/1.1 422 Unprocessable\r\nContent-Length: 2\r\n\r\n{}"
    async with server(lambda number, _: [refused if number % 2 else OK]) as (url, _):
        document, count = await drive(url, connections=1)
    statuses = document["statuses"]
    assert isinstance(statuses, dict)
    assert set(statuses) == {"201", "422"}
    assert sum(statuses.values()) == count


async def test_a_connection_that_breaks_is_named_and_the_others_go_on() -> None:
    async with server(lambda number, _: [b"SSH-2.0-hello\r\n\r\n" if number == 1 else OK]) as (url, _):
        document, count = await drive(url)
    failures = document["failures"]
    assert isinstance(failures, dict)
    assert count > 10
    assert ["not an HTTP/1.1 answer" in cause for cause in failures] == [True]


async def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="9"):
        await drive("http://127.0.0.1:9/")


async def test_the_load_ends_early_when_every_connection_has_broken() -> None:
    async with server(lambda number, _: [b"HTTP/1.1 200 OK\r\n\r\n"]) as (url, _):
        document, count = await asyncio.wait_for(drive(url, seconds=60.0), 20)
    assert count == 0
    assert document["failures"] == {"an answer has no Content-Length": 2}


def test_the_length_of_an_answer_is_read_from_its_head() -> None:
    assert answer_length(OK) == len(OK) == answer_length(OK + OK)
    assert answer_length(OK[:30]) is None
    assert answer_length(OK[:-3]) == len(OK)
    assert answer_length(b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n") == 33
    with pytest.raises(ValueError, match="longer than"):
        answer_length(b"HTTP/1.1 200 OK\r\nx: " + b"y" * HEAD_BYTES_MAX)


def test_requests_carry_serial_numbers_of_one_length_that_never_repeat() -> None:
    bodies = OrderMix(5_000_000).bodies("BTC/USD", "load-1-", random.Random(1), 20)
    make = Requests([http_request("POST", "http://h/orders", body) for body in bodies], random.Random(2))
    ids = set()
    for _ in range(200):
        head, _, body = make().partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        ids.add(json.loads(body)["client_order_id"])
    assert len(ids) == 200
    assert all(len(client_id) <= 36 for client_id in ids)


@pytest.mark.parametrize("crossing", [0, 10, 25, 50, 90])
def test_the_mix_crosses_as_often_as_it_says_with_what_should_meet_the_rest(crossing: int) -> None:
    mix = OrderMix(5_000_000, crossing_percent=crossing)
    orders = [json.loads(body) for body in mix.bodies("BTC/USD", "x", random.Random(3), 4000)]
    middle = Decimal(50_000)
    crosses = [(Decimal(order["price"]) > middle) == (order["side"] == "Buy") for order in orders]
    assert sum(crosses) / len(orders) == pytest.approx(crossing / 100, abs=0.03)
    assert all(0 < abs(Decimal(order["price"]) - middle) <= 2 for order in orders)
    sizes = {
        crossed: {order["quantity"] for order, c in zip(orders, crosses, strict=True) if c == crossed}
        for crossed in (True, False)
    }
    assert sizes[False] == {"0.001000"}
    assert sizes[True] == ({decimal_text(1000 * mix.crossing_size, 6)} if crossing else set())


def test_the_book_of_the_mix_neither_grows_nor_runs_dry() -> None:
    book, resting = Book(), []
    for number, body in enumerate(OrderMix(5_000_000).bodies("BTC/USD", "x", random.Random(5), 40_000)):
        order = json.loads(body)
        side = Side.BUY if order["side"] == "Buy" else Side.SELL
        book.limit(number, side, int(Decimal(order["price"]) * 100), int(Decimal(order["quantity"]) * 1_000_000))
        resting.append(len(book))
    assert max(resting) < 2_000
    assert statistics.mean(resting) > 50


def test_the_mix_repeats_for_a_seed() -> None:
    first, second, other = (OrderMix(100_000).bodies("ETH/USD", "x", random.Random(s), 50) for s in (1, 1, 2))
    assert first == second != other


@pytest.mark.parametrize("url", ["https://host/", "host:80", "ftp://host/"])
def test_only_plain_http_urls_are_taken(url: str) -> None:
    with pytest.raises(ValueError, match="plain http URL"):
        http_request("GET", url, None)


def test_decimals_are_written_exactly() -> None:
    assert [decimal_text(5, 2), decimal_text(12345, 2), decimal_text(7, 0)] == ["0.05", "123.45", "7"]
