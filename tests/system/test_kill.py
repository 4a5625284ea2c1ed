"""kill -9: nothing acknowledged is lost or doubled, every unknown outcome can be learned.

Of the exchange at random instants and at every named step of the corridor, of its projections, of Postgres and of
single processes of it. EXCHANGE_KILLS sets how often; `make soak` kills 500 times.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import psutil
import pytest

from tests.support.books import check_books, read, replayed
from tests.support.crash_at import AT_START, STEPS
from tests.support.server import ExchangeServer
from tests.system.test_audit import audit

KILLS = int(os.environ.get("EXCHANGE_KILLS", "40"))
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=20)
NAMES = tuple(f"trader-{number}" for number in range(8))
WORKERS_PER_TRADER = 2
PASSWORD = "correct horse battery"

Strike = Callable[[ExchangeServer, random.Random], None]


@dataclass
class Evidence:
    """What the traders were told, and what they do not know."""

    acknowledged: dict[str, str] = field(default_factory=dict)  # client order id -> order id
    refused: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)  # order ids
    struck: bool = False  # what was to be struck is: enough of trading
    unknown: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)  # client order id -> (name, body)


async def trade(
    session: aiohttp.ClientSession, url: str, name: str, token: str, rng: random.Random, evidence: Evidence
) -> None:
    """Place and cancel until the exchange is gone, or was struck and stands."""
    headers = {"Authorization": f"Bearer {token}"}
    mine: list[str] = []
    while not evidence.struck:
        if mine and rng.random() < 0.3:
            order_id = mine.pop(rng.randrange(len(mine)))
            try:
                async with session.delete(f"{url}/api/v1/orders/{order_id}", headers=headers) as answer:
                    if answer.status == 200:
                        evidence.cancelled.add(order_id)
                    elif answer.status >= 500:
                        return
            except (aiohttp.ClientError, TimeoutError):
                return
            continue
        client_order_id = uuid.uuid4().hex
        body = {
            "symbol": "BTC/USD", "side": rng.choice(("Buy", "Sell")), "price": f"{50000 + rng.randint(-50, 50)}.00",
            "quantity": f"0.{rng.randint(1, 99):03d}", "order_type": "Limit", "client_order_id": client_order_id,
        }  # fmt: skip
        evidence.unknown[client_order_id] = (name, body)
        try:
            async with session.post(f"{url}/api/v1/orders", json=body, headers=headers) as answer:
                content = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return
        if answer.status in (200, 201):  # 200: it was sent on twice, since a leader went away with its answer
            del evidence.unknown[client_order_id]
            evidence.acknowledged[client_order_id] = content["order_id"]
            mine.append(content["order_id"])
        elif answer.status == 422:
            del evidence.unknown[client_order_id]
            evidence.refused.add(client_order_id)
        elif answer.status == 503:
            return
        else:
            raise AssertionError((answer.status, content))


async def load_until(
    exchange: ExchangeServer, tokens: dict[str, str], rng: random.Random, evidence: Evidence, strike: Strike
) -> None:
    """Trade until the strike was made and felt."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=REQUEST_TIMEOUT) as session:
        workers = [
            asyncio.create_task(trade(session, exchange.url, name, token, random.Random(rng.random()), evidence))
            for name, token in tokens.items()
            for _ in range(WORKERS_PER_TRADER)
        ]
        await asyncio.to_thread(strike, exchange, rng)
        evidence.struck = True
        await asyncio.gather(*workers)
        evidence.struck = False


# What is struck: each returns when it is done


def kill_exchange(exchange: ExchangeServer, rng: random.Random) -> None:
    time.sleep(rng.uniform(0.02, 0.6))
    exchange.kill()


def await_death(exchange: ExchangeServer, rng: random.Random) -> None:
    """It kills itself at a step that it comes to while orders arrive."""
    assert exchange.process is not None
    assert exchange.process.wait(60) == -signal.SIGKILL, exchange.log()[-2000:]


def kill_projections(exchange: ExchangeServer, rng: random.Random) -> None:
    time.sleep(rng.uniform(0.02, 0.6))
    _kill_one_of(exchange, lambda child: "exchange.projections.process" in " ".join(child.cmdline()))
    time.sleep(0.3)


def kill_postmaster(exchange: ExchangeServer, rng: random.Random) -> None:
    time.sleep(rng.uniform(0.02, 0.6))
    _kill_one_of(exchange, lambda child: _is_server(child) and not _is_server(child.parent()))


def kill_backend(exchange: ExchangeServer, rng: random.Random) -> None:
    """One of the server's processes: all others end with it, and what was not yet on disk is lost."""
    time.sleep(rng.uniform(0.02, 0.6))
    _kill_one_of(exchange, lambda child: _is_server(child) and _is_server(child.parent()), rng)


def _is_server(process: psutil.Process | None) -> bool:
    return process is not None and process.name() == "postgres"


def _kill_one_of(
    exchange: ExchangeServer, is_meant: Callable[[psutil.Process], bool], rng: random.Random | None = None
) -> None:
    """Kill a process that is meant, the first or any one: there is one soon, though others come and go meanwhile."""
    assert exchange.process is not None
    deadline = time.monotonic() + 30
    while True:
        meant = []
        for child in psutil.Process(exchange.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if is_meant(child):
                    meant.append(child)
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            (rng.choice(meant) if rng is not None and meant else meant[0]).kill()
            return
        assert time.monotonic() < deadline, "there was nothing to kill"
        time.sleep(0.02)


def campaign(kills: int, rng: random.Random) -> list[tuple[str, Strike]]:
    """What to strike, in which order: every step of the corridor, every kind of process, and the rest at random."""
    steps = [(step, await_death) for step in STEPS]
    others = [("projections", kill_projections), ("postmaster", kill_postmaster), ("backend", kill_backend)]
    strikes: list[tuple[str, Strike]] = [("exchange", kill_exchange)] * (kills // 3)
    while len(strikes) < kills:
        strikes += [*others, *steps]
    strikes = strikes[:kills]
    rng.shuffle(strikes)
    return strikes


def sign_in(exchange: ExchangeServer, tokens: dict[str, str]) -> None:
    """Everybody anew: tokens last for ten minutes."""
    for name in NAMES:
        status, answer = insist(exchange, "POST", "/api/v1/auth/login", {"username": name, "password": PASSWORD})
        assert status == 200, answer
        tokens[name] = answer["access_token"]


def insist(exchange: ExchangeServer, *request: Any) -> tuple[int, Any]:
    """Ask until there is an answer that says something: the exchange may still be about to notice."""
    deadline = time.monotonic() + 90
    while True:
        try:
            status, answer = exchange.call(*request)
            if status != 503:
                return status, answer
        except OSError as error:
            answer = error
        assert time.monotonic() < deadline, (request, answer)
        time.sleep(0.1)


def resolve_unknown(exchange: ExchangeServer, evidence: Evidence, tokens: dict[str, str]) -> None:
    """Every order whose answer was lost can be asked for; one that was not received can be sent again, once."""
    for client_order_id, (name, body) in list(evidence.unknown.items()):
        token = tokens[name]
        status, found = insist(exchange, "GET", f"/api/v1/orders/by-client-id/{client_order_id}", None, token)
        if status == 404:
            assert found["reason"] == "NOT_RECEIVED"
        asked_at = datetime.now(UTC)
        again, placed = insist(exchange, "POST", "/api/v1/orders", body, token)
        if again == 200 and status == 404:  # it was sent on twice, since a leader went away with its answer
            assert datetime.fromisoformat(placed["created_at"]) >= asked_at, (asked_at, found, placed)
        else:
            assert again == (201 if status == 404 else status) or again == 422, (status, again, placed)
        if again in (200, 201):
            assert status == 404 or placed["order_id"] == found["order_id"]
            evidence.acknowledged[client_order_id] = placed["order_id"]
        else:
            evidence.refused.add(client_order_id)
        del evidence.unknown[client_order_id]


def prepare(exchange: ExchangeServer, name: str, rng: random.Random) -> None:
    """Let it run, or let it run towards the step at which it is to die."""
    assert exchange.process is not None
    running = exchange.process.poll() is None
    if name in STEPS:
        if running:
            exchange.stop()
        passages = 1 if name in AT_START else rng.randint(1, 3) if "snapshot" in name else rng.randint(2, 60)
        exchange.start(wait=False, crash_at=f"{name}:{passages}")
    elif not running:
        exchange.start(wait=False)
        if rng.random() < 0.25:  # killed again while it recovers
            time.sleep(rng.uniform(0.1, 0.8))
            exchange.kill()
            exchange.start(wait=False)
    if name not in AT_START:
        exchange.wait_ready()


@pytest.mark.timeout(300 + 60 * KILLS)
def test_kill_9_loses_and_doubles_nothing(own_exchange: ExchangeServer) -> None:
    exchange, evidence = own_exchange, Evidence()
    seed = int(os.environ.get("EXCHANGE_KILL_SEED", "1"))
    rng = random.Random(seed)
    funds = {"USD": "10000000", "BTC": "1000"}
    tokens = {name: exchange.trader(name, funds) for name in NAMES}
    for kill, (name, strike) in enumerate(campaign(KILLS, rng)):
        prepare(exchange, name, rng)
        if name not in STEPS:  # until then it may wait, whatever else happens meanwhile
            sign_in(exchange, tokens)
            resolve_unknown(exchange, evidence, tokens)
        if name in AT_START:
            strike(exchange, rng)
        else:
            asyncio.run(load_until(exchange, tokens, rng, evidence, strike))
        told = f"{len(evidence.acknowledged)} acknowledged, {len(evidence.unknown)} unknown"
        print(f"kill {kill + 1}/{KILLS}: {name}: {told}")
    prepare(exchange, "nothing", rng)
    sign_in(exchange, tokens)
    resolve_unknown(exchange, evidence, tokens)
    shard = check_books(exchange)  # waits until the tables have everything
    orders = {
        row["client_order_id"]: row for row in read(exchange, "SELECT client_order_id, order_id, status FROM orders")
    }
    assert {client_id: str(row["order_id"]) for client_id, row in orders.items()} == evidence.acknowledged
    by_id = {str(row["order_id"]): row["status"] for row in orders.values()}
    assert all(by_id[order_id] == 4 for order_id in evidence.cancelled), "a cancel that was answered stays"
    (total,) = read(exchange, "SELECT count(*) AS n, count(DISTINCT (account, client_order_id)) AS ids FROM orders")
    assert total["n"] == total["ids"] == len(evidence.acknowledged)
    exchange.stop()
    exchange.start()
    sequence, digest = exchange.recovered_digest()
    assert sequence >= shard.sequence, "a term begins with the fees of who traded much, which may come after the check"
    assert digest == f"{replayed(exchange, sequence).digest():016x}"
    assert audit(exchange)[1]["proven"], "events, digests, ledger, and all tables as a rebuild would make them"
