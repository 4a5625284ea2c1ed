"""Where the time of an order goes in the process that takes it, stage by stage, under load.

    python -m tests.performance.order_profile      (needs py-spy: uv pip install py-spy)

py-spy looks at the stack of the exchange's thread several hundred times a second while `exchange load` sends orders; a
sample belongs to the innermost stage that its stack names. Waiting is not counted.
"""

import argparse
import collections
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.support.server import ExchangeServer

#: By what a frame of py-spy says; the innermost frame that is named here decides.
STAGES = {
    "data_received (uvicorn": "request: bytes to headers and body",
    "data_received (exchange/gateway/http_protocol.py": "request: bytes to headers and body",
    "on_message_complete (exchange/gateway/http_protocol.py": "request: bytes to headers and body",
    "Access.admit (": "token, budget, permission",
    "decode (exchange/gateway/json_endpoint.py": "body to command",
    "OrderEntry.place_step (": "body to command",
    "Corridor.begin (": "into the inbox, client order id",
    "Corridor.begin_now (": "into the inbox, client order id",
    "Placing.then (": "into the inbox, client order id",
    "OrderEntry.placed (": "entry to order and fills",
    "_Visit._send (": "order to bytes, headers, metrics",
    "ExchangeProtocol._send (": "answer: bytes to the socket",
    "Writer._apply (": "writer: stamp, engine, split",
    "JournalLeader.append (": "journal: seal and COPY",
    "Corridor._committed (": "live state, streams",
    "observe_batch (": "writer: batches, answers, measures",
    "Writer._process (": "writer: batches, answers, measures",
    "Writer.run (": "writer: batches, answers, measures",
    "Runner.run (": "event loop, receiving, Postgres' answers",
}
MAIN_THREAD = "Runner.run ("


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    spy = shutil.which("py-spy")
    if spy is None:
        raise SystemExit("py-spy is not installed here: uv pip install py-spy")
    exchange = ExchangeServer()
    try:
        exchange.start()
        stacks, us_an_order = record(exchange, spy, options.seconds, options.connections)
    finally:
        exchange.close()
    shares = collections.Counter[str]()
    for stack, count in stacks:
        shares[stage_of(stack)] += count
    total = shares.total()
    print(f"{us_an_order:.0f} us of CPU an order in this process ({total} samples)")
    for stage, count in shares.most_common():
        print(f"{100 * count / total:5.1f} %  {us_an_order * count / total:5.1f} us  {stage}")


def record(exchange: ExchangeServer, spy: str, seconds: int, connections: int) -> tuple[list[tuple[str, int]], float]:
    """Return the stacks of the main thread with their samples, and the CPU time of an order, in us."""
    assert exchange.process is not None
    pid = exchange.process.pid
    command = [sys.executable, "-m", "exchange.cli.main", "load", "--url", exchange.url, "--no-client-ids"]
    arguments = ["--connections", str(connections), "--seconds", str(seconds + 12), "--warm-up", "1"]
    load = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
    time.sleep(6)  # accounts are opened, orders begin
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "stacks"
        before, cpu_s = taken(exchange), cpu(pid)
        recording = [spy, "record", "--pid", str(pid), "--duration", str(seconds), "--output", str(raw)]
        subprocess.run([*recording, "--rate", "400", "--format", "raw"], check=True, capture_output=True)
        us = 1e6 * (cpu(pid) - cpu_s) / (taken(exchange) - before)
        lines = [line.rsplit(" ", 1) for line in raw.read_text().splitlines()]
    answer, _ = load.communicate()
    assert load.returncode == 0 and set(json.loads(answer)["statuses"]) == {"201"}, answer
    return [(stack, int(count)) for stack, count in lines if MAIN_THREAD in stack], us


def taken(exchange: ExchangeServer) -> int:
    _, text = exchange.call("GET", "/metrics")
    found = re.search(r"^exchange_sequence (\S+)$", text, re.MULTILINE)
    assert found is not None
    return int(float(found.group(1)))


def cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def stage_of(stack: str) -> str:
    for frame in reversed(stack.split(";")):
        for named, stage in STAGES.items():
            if named in frame:
                return stage
    return "others"


if __name__ == "__main__":
    main()
