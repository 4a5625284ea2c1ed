"""`exchange replay`, `load` and `demo` as a person runs them, against a small exchange in this process."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tests.support.fake_exchange import FakeExchange

TAPE = """\
1000 order_created {"price": "236.47", "amount": "2.0", "id": 1, "order_type": 0}
1200 order_created {"price": "236.40", "amount": "0.5", "id": 2, "order_type": 1}
1201 order_changed {"price": "236.47", "amount": "1.5", "id": 1, "order_type": 0}
1202 order_deleted {"price": "236.40", "amount": "0.0", "id": 2, "order_type": 1}
1203 trade {"price": 236.47, "amount": 0.5, "id": 1}
1300 order_book {"bids": [["236.47", "1.5"]], "asks": []}
"""


async def start(home: Path, *arguments: str) -> asyncio.subprocess.Process:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("EXCHANGE_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exchange.cli.main", *arguments),
        env=environ | {"EXCHANGE_HOME": str(home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(home: Path, *arguments: str) -> tuple[int | None, str, str]:
    """Exit status, standard output and standard error."""
    process = await start(home, *arguments)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_a_replay_reports_in_words_and_json_and_can_be_played_again(tmp_path: Path) -> None:
    file, report = tmp_path / "tape.log", tmp_path / "report.json"
    file.write_text(TAPE)
    fake = FakeExchange()
    async with fake.serve() as url:
        command = ["replay", str(file), "--url", url, "--run", "one", "--accounts", "2", "--json", str(report)]
        command += ["--warm-up", "0", "--compare-every", "1"]
        status, out, err = await run(tmp_path, *command)
        assert (status, "2 sent, 2 acknowledged" in out) == (0, True), err
        document = json.loads(report.read_text())
        assert document["book"]["best_equal"] == document["book"]["books"] == 1
        assert (document["trades"], document["lost"], document["run"]) == ({"ours": 1, "venue": 1}, 0, "one")
        status, out, err = await run(tmp_path, *command)
        assert (status, "2 acknowledged (2 before)" in out) == (0, True), err
        status, out, err = await run(tmp_path, "replay", str(file), "--url", url, "--accounts", "2")
        assert status == 2
        assert "--into-open-book" in err
    passwords = list((tmp_path / "replay").iterdir())
    assert all(password.stat().st_mode & 0o077 == 0 for password in passwords)
    assert set(fake.users) >= {"replay-one-00", "replay-one-01"}


async def test_a_replay_that_meets_a_bad_line_says_where_and_fails(tmp_path: Path) -> None:
    file = tmp_path / "tape.log"
    file.write_text(TAPE + "nonsense\n")
    async with FakeExchange().serve() as url:
        status, out, _ = await run(tmp_path, "replay", str(file), "--url", url, "--accounts", "1")
    assert status == 1
    assert "tape.log, line 7" in out
    assert "2 acknowledged" in out


async def test_load_measures_orders_of_which_some_trade(tmp_path: Path) -> None:
    fake = FakeExchange()
    async with fake.serve() as url:
        options = ("--url", url, "--connections", "3", "--seconds", "1", "--warm-up", "0.2")
        status, out, err = await run(tmp_path, "load", *options)
        assert status == 0, err
        document = json.loads(out)
        assert document["statuses"] == {"201": document["answers"]}
        assert document["answers"] > 0
        assert fake.market.shard.trades > 0
        assert len(fake.acted) >= document["answers"]
        status, out, err = await run(tmp_path, "load", *options, "--mode", "noop", "--method", "GET")
        assert (status, list(json.loads(out)["statuses"])) == (0, ["404"]), err


async def test_load_says_when_nothing_listens(tmp_path: Path) -> None:
    status, _, err = await run(tmp_path, "load", "--mode", "noop", "--url", "http://127.0.0.1:9/")
    assert status == 1
    assert "Error:" in err


async def test_the_demo_cancels_its_quotes_when_interrupted(tmp_path: Path) -> None:
    fake = FakeExchange()
    async with fake.serve() as url:
        process = await start(tmp_path, "demo", "--url", url, "--rate", "200")
        async with asyncio.timeout(60):
            while len(fake.market.shard.book(1)) < 10:  # noqa: ASYNC110  (what is waited for is in the engine)
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        assert b"orders placed" in err
        assert fake.market.shard.book(1) == []
