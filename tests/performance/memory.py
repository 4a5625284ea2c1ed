"""Resident memory of an exchange while it takes a million orders, as a figure.

    python -m tests.performance.memory --svg docs/memory.svg

The orders are those of `exchange load`, whose book stays small, so that as many are live at the end as at the
beginning. What is kept of the others must be bounded; then the lines are flat once caches are full.
"""

import argparse
import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.support.server import ExchangeServer

LOAD_S = 30.0  # of one run of the load generator: then its accounts have spent what they had
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 300, 60, 30, 150, 40
COLORS = ("#2563eb", "#d97706", "#059669")


class Sample(NamedTuple):
    """Resident MiB of each process after so many commands, and the live orders then."""

    commands: int
    mib: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--every-s", type=float, default=2.0)
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    exchange = ExchangeServer()
    try:
        exchange.start()
        samples = run(exchange, options.orders, options.every_s)
    finally:
        exchange.close()
    for name in samples[0].mib:
        tell(name, samples)
    if options.svg:
        options.svg.write_text(figure(samples))


def run(exchange: ExchangeServer, orders: int, every_s: float) -> list[Sample]:
    """Load the exchange until it has taken so many orders; return what was seen."""
    assert exchange.process is not None
    api = psutil.Process(exchange.process.pid)
    samples: list[Sample] = []
    while not samples or samples[-1].commands < orders:
        arguments = ["--url", exchange.url, "--seconds", str(LOAD_S), "--seed", str(len(samples))]
        command = [sys.executable, "-m", "exchange.cli.main", "load", *arguments]
        load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while load.poll() is None:
            time.sleep(every_s)
            samples.append(sample(exchange, api))
            if samples[-1].commands >= orders:
                load.terminate()
        _, error = load.communicate()
        assert load.returncode == 0 or samples[-1].commands >= orders, error
    return samples


def sample(exchange: ExchangeServer, api: psutil.Process) -> Sample:
    with urllib.request.urlopen(f"{exchange.url}/metrics", timeout=30) as answer:
        found = re.search(r"^exchange_sequence (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None
    mib = {"api and engine": api.memory_info().rss / 2**20}
    for child in api.children():
        if "exchange.projections.process" in child.cmdline():
            mib["projections"] = child.memory_info().rss / 2**20
    return Sample(int(float(found.group(1))), mib)


def tell(name: str, samples: list[Sample]) -> None:
    """One line: what it was after a tenth, a half and all of the commands."""
    end = samples[-1].commands
    marks = [next(one for one in samples if one.commands >= end * part) for part in (0.1, 0.25, 0.5, 0.75, 1.0)]
    text = ", ".join(f"{one.mib[name]:,.0f} MiB after {one.commands:,}" for one in marks)
    print(f"{name}: {text}", flush=True)
    print(
        json.dumps({name: [(one.commands, round(one.mib[name], 1)) for one in samples[:: max(len(samples) // 40, 1)]]})
    )


def figure(samples: list[Sample]) -> str:
    """The samples as a small SVG: a line a process over the commands taken."""
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    most_commands = max(one.commands for one in samples)
    most_mib = 100 * (1 + int(max(max(one.mib.values()) for one in samples)) // 100)

    def x(commands: float) -> float:
        return LEFT + across * commands / most_commands

    def y(mib: float) -> float:
        return TOP + down * (1 - mib / most_mib)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18">Resident memory, MiB, by commands taken</text>',
    ]
    for mib in range(0, most_mib + 1, max(most_mib // 5 // 50 * 50, 50)):
        parts.append(f'<path d="M{LEFT} {y(mib):.1f}H{LEFT + across}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(mib) + 4:.1f}" text-anchor="end">{mib}</text>')
    for part in range(5):
        commands = most_commands * part / 4
        parts.append(f'<text x="{x(commands):.1f}" y="{HEIGHT - 18}" text-anchor="middle">{commands:,.0f}</text>')
    for (name, last), color in zip(samples[-1].mib.items(), COLORS, strict=False):
        points = " ".join(f"{x(one.commands):.1f},{y(one.mib[name]):.1f}" for one in samples if name in one.mib)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        parts.append(f'<text x="{LEFT + across + 8}" y="{y(last) + 4:.1f}" fill="{color}">{name} {last:,.0f}</text>')
    return "\n".join((*parts, "</svg>\n"))


if __name__ == "__main__":
    main()
