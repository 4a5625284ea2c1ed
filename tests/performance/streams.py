"""What many stream subscribers cost the path of an order: p99 with them and without, in one run.

    python -m tests.performance.streams [--server-cpu 0 --load-cpu 1]

Each round loads orders three times: with subscribers who listen to depth, trades and ticker of the same market as the
web page does, in a process of their own; with nobody; and with a process that takes as much of the processor as the
subscribers' does, in the same manner, and nothing else. Subscribers stand for machines elsewhere, and what they do here
delays Postgres and the load generator, so the exchange's part is the ratio to that third one. Only ratios of a round
count: the machine is shared. They offer compression as browsers do (--plain: they do not). One of them inflates and
reads every message and holds checksums against its book, and the trades' numbers and sequences against each other; the
others only count frames.
"""

import argparse
import base64
import itertools
import json
import os
import resource
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from engine.wire.fanout import step_back
from exchange.gateway.websocket import frame
from tests.performance.order_entry import load
from tests.support.server import ExchangeServer
from tests.support.stream_mirrors import DepthMirror, Mirror, TradesMirror
from tests.support.stream_socket import inflated

CHANNELS = ("depth", "trades", "ticker")
BURST_EVERY_S = 0.1
AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")
#: Of control groups, version 1 and version 2; it is left behind, empty.
IDLE_GROUPS = (Path("/sys/fs/cgroup/cpu/exchange-beside"), Path("/sys/fs/cgroup/exchange-beside"))
CLOSE, PING, PONG, DEFLATED_TEXT = 0x88, 0x89, 0x8A, 0xC1
#: What Chromium and Firefox offer.
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=float, help="orders a second; all that are answered where it is left out")
    parser.add_argument("--fill-seconds", type=float, default=20, help="of full load before")
    parser.add_argument("--subscribers", type=int, default=1_000)
    parser.add_argument("--channels", default=",".join(CHANNELS))
    parser.add_argument("--plain", action="store_true", help="subscribers that offer no compression")
    parser.add_argument("--crossing", type=int, default=25, help="percent of orders that trade")
    parser.add_argument("--server-cpu", type=int, help="pin the server's Python process to this CPU")
    parser.add_argument("--load-cpu", type=int, help="pin the load generator and the subscribers to this CPU")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)  # in the subscribers' process
    parser.add_argument("--burn", type=float, help=argparse.SUPPRESS)  # in the one that stands in for it
    options = parser.parse_args()
    if options.port is not None:
        listen(options)
        return
    if options.burn is not None:
        burn(options.burn)
        return
    if AUTOGROUP.exists() and AUTOGROUP.read_text().strip() == "1":
        print("sessions share the processor as groups here (kernel.sched_autogroup_enabled): docs/operations.md")
    exchange = ExchangeServer()
    try:
        exchange.start()
        assert exchange.process is not None
        if options.server_cpu is not None:
            os.sched_setaffinity(exchange.process.pid, {options.server_cpu})
        fill(exchange, options)
        rounds = [run_round(exchange, options, number) for number in range(options.rounds)]
    finally:
        exchange.close()
    print(json.dumps({beside: _medians([one[beside] for one in rounds]) for beside in ("stand-in", "nobody")}))


def _medians(ratios: list[dict[str, float]]) -> dict[str, Any]:
    by_name = {name: [one[name] for one in ratios] for name in ratios[0]}
    return {
        name: {"median": round(statistics.median(each), 3), "all": [round(one, 3) for one in each]}
        for name, each in by_name.items()
    }


def run_round(exchange: ExchangeServer, options: argparse.Namespace, number: int) -> dict[str, dict[str, float]]:
    """All three, each the first one in its turn: what came before matters, too. Return the ratios to both others."""
    results: dict[str, dict[str, Any]] = {}
    order = ["subscribers", "nobody", "stand-in"]
    for name in order[number % 3 :] + order[: number % 3]:
        with BESIDE[name](exchange, options):
            results[name] = measure(exchange, options, name)
    return {other: _ratios(results["subscribers"], results[other]) for other in ("stand-in", "nobody")}


def _ratios(among: dict[str, Any], without: dict[str, Any]) -> dict[str, float]:
    return {
        "p99": among["latency_ms"]["p99"] / without["latency_ms"]["p99"],
        "p50": among["latency_ms"]["p50"] / without["latency_ms"]["p50"],
        "rate": among["answers_per_second"] / without["answers_per_second"],
    }


def measure(exchange: ExchangeServer, options: argparse.Namespace, name: str) -> dict[str, Any]:
    assert exchange.process is not None
    server = psutil.Process(exchange.process.pid)
    before, began = server.cpu_times(), time.monotonic()
    result = load_orders(exchange, options)
    after, took = server.cpu_times(), time.monotonic() - began
    cpu = (after.user + after.system - before.user - before.system) / took
    latency = result["latency_ms"]
    print(
        f"{name:12} {result['answers_per_second']:8.0f}/s  p50 {latency['p50']:6.2f} ms  p99 {latency['p99']:6.2f} ms"
        f"  the server's process {cpu:4.0%} of a CPU",
        flush=True,
    )
    return result


def fill(exchange: ExchangeServer, options: argparse.Namespace) -> None:
    """Load so much that all rounds meet a book, and the write-ahead log has the files that it will use again.

    To make one holds every commit for some 50 ms; the server does it until its first checkpoint.
    """
    before = argparse.Namespace(**vars(options) | {"rate": None, "seconds": options.fill_seconds})
    load_orders(exchange, before)


def load_orders(exchange: ExchangeServer, options: argparse.Namespace) -> dict[str, Any]:
    arguments = ["--url", exchange.url, "--no-client-ids", "--crossing", str(options.crossing)]
    if options.rate:
        arguments += ["--rate", str(options.rate)]
    return load(options, ["exchange.cli.main", "load", *arguments], "--warm-up", "2")


@contextmanager
def subscribers(exchange: ExchangeServer, options: argparse.Namespace) -> Iterator[None]:
    """Until the end of the block. What they took of the processor is remembered, for the stand-in."""
    arguments = ["--port", str(exchange.port), "--subscribers", str(options.subscribers)]
    arguments += ["--channels", options.channels, *["--plain"] * options.plain]
    with _process(options, *arguments) as process:
        child, began = psutil.Process(process.pid), time.monotonic()
        before = child.cpu_times()
        yield
        after, took = child.cpu_times(), time.monotonic() - began
        options.taken = (after.user + after.system - before.user - before.system) / took


@contextmanager
def stand_in(exchange: ExchangeServer, options: argparse.Namespace) -> Iterator[None]:
    """What subscribers take of the processor, without them."""
    if not hasattr(options, "taken"):
        with subscribers(exchange, options):
            load_orders(exchange, options)
    with _process(options, "--burn", str(options.taken)):
        yield


@contextmanager
def nobody(exchange: ExchangeServer, options: argparse.Namespace) -> Iterator[None]:
    """Nothing beside."""
    yield


BESIDE = {"subscribers": subscribers, "stand-in": stand_in, "nobody": nobody}


@contextmanager
def _process(options: argparse.Namespace, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.performance.streams", *arguments]
    if options.load_cpu is not None:
        command = ["taskset", "-c", str(options.load_cpu), *command]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n", "it did not come so far"
        yield process
        process.stdin.close()
        print("   " + process.stdout.read().strip(), flush=True)
    finally:
        if process.poll() is None:
            process.stdin.close()
            process.wait(30)


# --- In the process beside ----------------------------------------------------------------------------------------


def burn(share: float) -> None:
    """Take so much of a processor, in bursts as subscribers do after each round, until the input closes."""
    _stand_elsewhere()
    print("ready", flush=True)
    began = time.monotonic()
    while not select.select([sys.stdin], [], [], BURST_EVERY_S)[0]:
        until = (time.monotonic() - began) * share
        while time.process_time() < until:
            pass
    print(f"a stand-in: {time.process_time() / (time.monotonic() - began):.0%} of a CPU")


def listen(options: argparse.Namespace) -> None:
    """Subscribe, read until the input closes, and tell how much came."""
    _stand_elsewhere()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    channels = options.channels.split(",")
    sockets = [_subscribe(options.port, channels, options.plain) for _ in range(options.subscribers)]
    poll = select.epoll()
    for each in sockets:
        each.setblocking(False)
        poll.register(each.fileno(), select.EPOLLIN)
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    readers = {each.fileno(): Reader(each) for each in sockets}
    checked = readers[sockets[0].fileno()].checked = Checked()
    print("ready", flush=True)
    received = reads = ended = 0
    began = time.monotonic()
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == sys.stdin.fileno():
                took = time.monotonic() - began
                frames = sum(reader.frames for reader in readers.values())
                print(
                    f"{received / took / 1e6:.1f} MB/s, {frames / took:.0f} frames/s in {reads / took:.0f} reads/s, "
                    f"{ended} ended; one was checked: {checked.told(took)}"
                )
                return
            data = os.read(descriptor, 262_144)
            reads += 1
            received += len(data)
            if not readers[descriptor].take(data):
                ended += 1
                poll.unregister(descriptor)


def _stand_elsewhere() -> None:
    """Take only what nobody on this machine wants of a processor, as far as that can be had.

    A class of a thread's own is not enough where Linux schedules groups: control groups, or sessions (autogroup), as on
    most machines that one signs in to. Against others a group counts as what it is itself, so this goes into one that
    is idle. Only root may do that; without it autogroup is better off (kernel.sched_autogroup_enabled=0).
    """
    step_back()
    for group in IDLE_GROUPS:
        with suppress(OSError):
            group.mkdir(exist_ok=True)
            (group / "cpu.idle").write_text("1")
            (group / "cgroup.procs").write_text("0")
            return
    print("the process beside is not put behind those of other sessions: that needs root", file=sys.stderr)


def _subscribe(port: int, channels: list[str], plain: bool) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET /ws/v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{'' if plain else OFFER}\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += connection.recv(1)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    assert (b"permessage-deflate" in answer) != plain, answer
    for channel in channels:
        name, _, interval = channel.partition(":")
        operation = {"op": "subscribe", "channel": name, "symbol": "BTC-USD"} | (
            {"interval": interval} if interval else {}
        )
        framed = frame(json.dumps(operation).encode())
        assert len(framed) < 128, "one byte of length"
        connection.sendall(bytes((framed[0], framed[1] | 0x80)) + bytes(4) + framed[2:])  # masked by zeros
    return connection


class Reader:
    """Finds the frames in what one connection reads, answers pings, and has messages checked where asked."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""
        self.frames = 0
        self.checked: Checked | None = None

    def take(self, data: bytes) -> bool:
        """Whether the connection goes on."""
        data = self._buffer + data if self._buffer else data
        position = 0
        while (whole := _frame_at(data, position)) is not None:
            start, end = whole
            first = data[position]
            self.frames += 1
            if first == PING:
                self._connection.send(bytes((PONG, 0x80 | (end - start))) + bytes(4) + data[start:end])
            elif first == CLOSE:
                return False
            elif self.checked is not None:
                self.checked.take(inflated(data[start:end]) if first == DEFLATED_TEXT else data[start:end])
            position = end
        self._buffer = data[position:]
        return bool(data)


class Checked:
    """What one subscriber makes of its messages; any that does not follow from those before is an error."""

    def __init__(self) -> None:
        self._mirrors: dict[str | None, Mirror] = {"depth": DepthMirror(), "trades": TradesMirror()}
        self._bytes = 0

    def take(self, text: bytes) -> None:
        message = json.loads(text)
        self._bytes += len(text)
        mirror = self._mirrors.get(message.get("channel"))
        if mirror is None:
            return
        if message["type"] == "update":
            assert message["prev_sequence"] == mirror.sequence, f"{message} after {mirror.sequence}"
        mirror.take(message)
        if isinstance(mirror, TradesMirror):
            numbers = [int(trade["trade_id"]) for trade in mirror.trades]
            assert all(later == before + 1 for before, later in itertools.pairwise(numbers)), numbers
            mirror.trades = mirror.trades[-1:]

    def told(self, took: float) -> str:
        depth, trades = self._mirrors["depth"].taken, self._mirrors["trades"].taken
        return (
            f"{depth / took:.1f} depth messages/s, {trades / took:.1f} of trades, "
            f"{self._bytes / took / 1e3:.0f} KB/s inflated"
        )


def _frame_at(data: bytes, position: int) -> tuple[int, int] | None:
    """Where the payload of a frame begins and ends, None while it is not whole."""
    start = position + 2
    if len(data) < start:
        return None
    length = data[position + 1]
    if length >= 126:
        size = 2 if length == 126 else 8
        length, start = int.from_bytes(data[start : start + size]), start + size
    return (start, start + length) if len(data) >= start + length else None


if __name__ == "__main__":
    main()
