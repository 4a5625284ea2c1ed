"""A load generator: every connection sends, waits for the answer, and sends again: at once, or when its time has come.

With a rate, a request that could not be sent in time is late by that, and its latency counts from when it was due: else
a server that stands still would be asked less just then (coordinated omission, Tene 2013).

Requests are bytes made beforehand into which only a serial number is written, and answers are read no further than
their status and length, so that the generator costs far less than what it measures.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast
from urllib.parse import urlsplit

from exchange.simulation.latency import LatencyHistogram

HEAD_BYTES_MAX = 64 * 1024
SERIAL_DIGITS = 9
TEMPLATES = 2000  # different orders a connection draws from

MakeRequest = Callable[[], bytes]


@dataclass
class LoadResult:
    """What one load run saw. Only answers within the measured time count."""

    duration_s: float = 0.0
    cpu_s: float = 0.0  # of the generator itself
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    statuses: Counter[int] = field(default_factory=Counter)
    accepted: int = 0  # orders: an answer to a batch tells of several
    failures: Counter[str] = field(default_factory=Counter)  # connections that ended, by cause

    def document(self) -> dict[str, Any]:
        """The result as JSON types."""
        return {
            "answers": self.latency.count,
            "answers_per_second": round(self.latency.count / self.duration_s, 1) if self.duration_s else None,
            "orders_per_second": round(self.accepted / self.duration_s, 1) if self.duration_s else None,
            "latency_ms": self.latency.summary_ms(),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "failures": dict(self.failures),
            "duration_s": round(self.duration_s, 3),
            "generator_cpu_s": round(self.cpu_s, 3),
        }


class Requests:
    """Pre-serialised requests in a random order, each with a serial number of its own wherever the mark is."""

    def __init__(self, templates: Sequence[bytes], rng: random.Random) -> None:
        self._parts = [template.split(SERIAL_MARK) for template in templates]
        self._rng = rng
        self._serial = 0

    def __call__(self) -> bytes:
        """The next request."""
        self._serial += 1
        parts = self._parts[int(self._rng.random() * len(self._parts))]
        return (b"%0*d" % (SERIAL_DIGITS, self._serial)).join(parts)


SERIAL_MARK = b"#" * SERIAL_DIGITS
_ACCEPTED = b'"status":201'  # an outcome of a batch


def http_request(method: str, url: str, body: bytes | None, headers: dict[str, str] | None = None) -> bytes:
    """One HTTP/1.1 keep-alive request as bytes. Raises ValueError for a URL that is not plain http."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url!r} is not a plain http URL such as http://localhost:8080/path")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + (body or b"")


class Connection(asyncio.Protocol):
    """One keep-alive connection in a closed loop. `ended` resolves with None at the stop, or with what broke it."""

    def __init__(self, make_request: MakeRequest, result: LoadResult, every_ns: int = 0, first_ns: int = 0) -> None:
        """``every_ns``: between requests where there is a rate; ``first_ns``: when the first is due."""
        self.ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._make_request = make_request
        self._result = result
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._sent_ns = 0  # or when it was due
        self._every_ns = every_ns
        self._due_ns = first_ns
        self._running = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._go_on()

    def measure(self, result: LoadResult) -> None:
        """Count into `result` from now on."""
        self._result = result

    def stop(self) -> None:
        """Send nothing more, and forget the answer under way."""
        self._end(None)

    def _go_on(self) -> None:
        """Send the next request when it is due."""
        now_ns = time.perf_counter_ns()
        if not self._every_ns:
            self._send(now_ns)
            return
        due_ns, self._due_ns = self._due_ns, self._due_ns + self._every_ns
        if due_ns <= now_ns:
            self._send(due_ns)
        else:
            asyncio.get_running_loop().call_later((due_ns - now_ns) / 1e9, self._send_now)

    def _send_now(self) -> None:
        if self._running:
            self._send(time.perf_counter_ns())  # what the timer is late by is nobody's latency

    def _send(self, due_ns: int) -> None:
        assert self._transport is not None
        self._sent_ns = due_ns
        self._transport.write(self._make_request())

    def data_received(self, data: bytes) -> None:
        if not self._running:
            return
        self._buffer = self._buffer + data if self._buffer else data
        try:
            length = answer_length(self._buffer)
        except ValueError as error:
            self._end(str(error))
            return
        if length is None or len(self._buffer) < length:
            return
        status = int(self._buffer[9:12])
        self._result.latency.add(time.perf_counter_ns() - self._sent_ns)
        self._result.statuses[status] += 1
        self._result.accepted += 1 if status == 201 else self._buffer.count(_ACCEPTED, 0, length)
        self._buffer = self._buffer[length:]
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"connection lost: {exc or 'closed by the server'}")

    def _end(self, cause: str | None) -> None:
        self._running = False
        if self._transport is not None:
            self._transport.abort()
        if not self.ended.done():
            self.ended.set_result(cause)


def answer_length(buffer: bytes) -> int | None:
    """Length of the answer that starts the buffer, head and body; None while its head is incomplete.

    Raises ValueError for what is no HTTP/1.1 answer with a Content-Length.
    """
    head_end = buffer.find(b"\r\n\r\n")
    if head_end < 0:
        if len(buffer) > HEAD_BYTES_MAX:
            raise ValueError(f"an answer's head is longer than {HEAD_BYTES_MAX} bytes")
        return None
    head = buffer[:head_end].lower()
    if not head.startswith(b"http/1.1 ") or not head[9:12].isdigit():
        raise ValueError(f"not an HTTP/1.1 answer: {bytes(buffer[:40])!r}")
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        if head[9:12] in (b"204", b"304"):
            return head_end + 4
        raise ValueError("an answer has no Content-Length")
    line_end = head.find(b"\r\n", at + 2)
    return head_end + 4 + int(head[at + 17 : line_end if line_end >= 0 else len(head)])


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Where, how long, and how fast. Nothing is counted during the first `warm_up_s`.

    ``rate``: requests a second over all connections, None for as many as are answered.
    """

    url: str
    connections: int
    seconds: float
    warm_up_s: float = 1.0
    rate: float | None = None


class Driven(Protocol):
    """A connection under load. `ended` resolves with None at the stop, or with what broke it."""

    ended: "asyncio.Future[str | None]"

    def measure(self, result: LoadResult) -> None:
        """Count into `result` from now on."""

    def stop(self) -> None:
        """Send nothing more."""


async def run_load(settings: LoadSettings, requests: Sequence[MakeRequest]) -> LoadResult:
    """Drive one connection for each of `requests`, and measure.

    Raises OSError when the server cannot be connected to. A connection that breaks later is counted and not replaced.
    """
    warming = LoadResult()
    every_ns = int(len(requests) * 1e9 / settings.rate) if settings.rate else 0
    begin_ns = time.perf_counter_ns()
    connections = [
        await _connect(
            settings.url, Connection(make_request, warming, every_ns, begin_ns + number * every_ns // len(requests))
        )
        for number, make_request in enumerate(requests)
    ]
    return await measure(settings, connections)


async def measure(settings: LoadSettings, connections: Sequence[Driven]) -> LoadResult:
    """Let connections run through the warm-up and the measured time, then stop them."""
    try:
        await asyncio.sleep(settings.warm_up_s)
        result = LoadResult()
        for connection in connections:
            connection.measure(result)
        started_s, cpu_s = time.perf_counter(), time.process_time()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_all_ended(connections), settings.seconds)
        result.duration_s = time.perf_counter() - started_s
        result.cpu_s = time.process_time() - cpu_s
    finally:
        for connection in connections:
            connection.stop()
    causes = [connection.ended.result() for connection in connections]
    result.failures.update(cause for cause in causes if cause is not None)
    return result


async def _connect(url: str, connection: Connection) -> Connection:
    parts = urlsplit(url)
    address = (parts.hostname or "localhost", parts.port or 80)
    await asyncio.get_running_loop().create_connection(lambda: connection, *address)
    return connection


async def _all_ended(connections: Sequence[Driven]) -> None:
    await asyncio.wait([connection.ended for connection in connections])


@dataclass(frozen=True, slots=True)
class OrderMix:
    """Limit orders around one price: `crossing_percent` of them reach across it and trade with what rests there.

    A crossing order is as large as the resting ones it should meet and reaches as far as any of them rests, so that the
    book neither grows without end nor runs dry. The others rest at distances uniform in 1..`spread_ticks`.
    """

    mid_ticks: int
    tick_decimals: int = 2
    spread_ticks: int = 200
    crossing_percent: int = 25
    quantity_units: int = 1000
    quantity_decimals: int = 6
    client_ids: bool = True

    @property
    def crossing_size(self) -> int:
        """How many times larger than a resting order a crossing one is."""
        return max((100 - self.crossing_percent) // max(self.crossing_percent, 1), 1)

    def describe(self) -> str:
        """The mix in words."""
        return (
            f"GTC limit orders 1..{self.spread_ticks} ticks from the middle, and "
            f"{self.crossing_percent} % that reach across all of it with {self.crossing_size} times the quantity"
        )

    def bodies(self, symbol: str, prefix: str, rng: random.Random, count: int) -> list[bytes]:
        """`count` order bodies whose client id is `prefix` and a serial number."""
        return [self._body(symbol, prefix, rng) for _ in range(count)]

    def batch(self, symbol: str, prefix: str, rng: random.Random, orders: int) -> bytes:
        """The body of a batch that places so many orders, each with a client id of its own."""
        bodies = [self._body(symbol, f"{prefix}{number}-", rng) for number in range(orders)]
        return b'{"operations":[{"op":"place",' + b',{"op":"place",'.join(body[1:] for body in bodies) + b"]}"

    def _body(self, symbol: str, prefix: str, rng: random.Random) -> bytes:
        side: Literal["Buy", "Sell"] = rng.choice(("Buy", "Sell"))
        crossing = rng.randrange(100) < self.crossing_percent
        reach = self.spread_ticks if crossing else -rng.randint(1, self.spread_ticks)
        price = decimal_text(self.mid_ticks + (reach if side == "Buy" else -reach), self.tick_decimals)
        quantity = decimal_text(self.quantity_units * (self.crossing_size if crossing else 1), self.quantity_decimals)
        client_id = f',"client_order_id":"{prefix}{SERIAL_MARK.decode()}"' if self.client_ids else ""
        return (
            f'{{"symbol":"{symbol}","side":"{side}","quantity":"{quantity}","price":"{price}",'
            f'"order_type":"Limit","self_trade_prevention":"None"{client_id}}}'
        ).encode()


def order_requests(
    settings: LoadSettings, mix: OrderMix, symbol: str, tokens: Sequence[str], run: str, seed: int, batch: int = 1
) -> list[MakeRequest]:
    """Orders for each connection to `settings.url`, under the tokens in turn; client ids begin with `run`.

    `batch`: how many orders a request has; more than one as the body of a batch.
    """
    rng = random.Random(seed)
    requests: list[MakeRequest] = []
    for number in range(settings.connections):
        headers = {"Authorization": f"Bearer {tokens[number % len(tokens)]}"}
        if batch == 1:
            bodies = mix.bodies(symbol, f"{run}-{number}-", rng, TEMPLATES)
        else:
            bodies = [mix.batch(symbol, f"{run}-{number}-", rng, batch) for _ in range(-(-TEMPLATES // batch))]
        templates = [http_request("POST", settings.url, body, headers) for body in bodies]
        requests.append(Requests(templates, random.Random(rng.random())))
    return requests


def decimal_text(value: int, decimals: int) -> str:
    """`value / 10**decimals` as text with that many decimals; value >= 0."""
    digits = str(value).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
