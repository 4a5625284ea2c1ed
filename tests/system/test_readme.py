"""The README's commands are run as they stand."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from tests.support.server import ExchangeServer, free_port

REPOSITORY = Path(__file__).resolve().parents[2]


def commands(heading: str) -> list[str]:
    """The shell blocks of a section of the README."""
    sections = re.split(r"^## ", (REPOSITORY / "README.md").read_text(), flags=re.M)
    (section,) = [section for section in sections if section.startswith(heading)]
    return [block.strip() for block in re.findall(r"```sh\n(.*?)```", section, flags=re.S)]


def test_the_first_trade_by_curl_works_as_written(exchange_server: ExchangeServer) -> None:
    (block,) = commands("A first trade")
    script = "set -e\n" + block.replace("http://localhost:8080", exchange_server.url)
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    decoder, text, documents = json.JSONDecoder(), answer.stdout.strip(), []
    while text:
        document, end = decoder.raw_decode(text)
        documents.append(document)
        text = text[end:].strip()
    faucet, order, balances = documents
    assert faucet["asset"] == "USD"
    assert (order["status"], order["price"], order["quantity"]) == ("Open", "50000.00", "1")
    assert {item["asset"]: item["held"] for item in balances["items"]} == {"USD": "50000"}


def test_make_run_starts_everything_and_ctrl_c_stops_it() -> None:
    assert commands("Run it") == ["make run", "make test"]
    exchange = ExchangeServer()
    port = free_port()
    environ = {**os.environ, "EXCHANGE_HOME": str(exchange.home), "EXCHANGE_PORT": str(port)}
    environ.pop("MAKEFLAGS", None)
    environ.pop("MAKELEVEL", None)
    started = subprocess.Popen(
        ["make", "run"], cwd=REPOSITORY, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert started.stdout is not None
    try:
        lines: list[str] = []
        for line in started.stdout:
            lines.append(line)
            if "stop everything with Ctrl-C" in line:
                break
        told = "".join(lines)
        assert f"http://localhost:{port}" in told
        assert re.search(r"demo login +demo / [0-9a-f]{16}", told), told
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
            assert b"<div id=" in page.read()
        os.killpg(started.pid, signal.SIGINT)
        assert "stopped" in started.stdout.read()
        started.wait(60)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
            time.sleep(2)
        shutil.rmtree(exchange.home, ignore_errors=True)


def test_every_command_has_help_with_examples() -> None:
    for command in ("serve", "demo", "replay", "load", "db", "openapi", "reset"):
        answer = subprocess.run(
            [str(REPOSITORY / ".venv/bin/exchange"), command, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert f"exchange {command}" in answer.stdout.split("Usage:", 1)[1].split("\n", 1)[1], (
            f"{command} shows no example"
        )
