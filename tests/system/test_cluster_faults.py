"""Roles apart, each of them struck: nothing acknowledged is lost or doubled, what is unknown can be learned."""

import asyncio
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.support.namespace import namespace
from tests.support.roles import Cluster, RoleProcess
from tests.system.test_faults import HELD_S, ORDER, flowing, proven, rows, until
from tests.system.test_kill import NAMES, Evidence, load_until, resolve_unknown, sign_in

KILLS = int(os.environ.get("EXCHANGE_CLUSTER_KILLS", "10"))

ClusterStrike = Callable[[Cluster, random.Random], None]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    try:
        yield made.start()
    finally:
        made.close()


def kill_leader(cluster: Cluster, rng: random.Random) -> None:
    cluster.leader().kill()


def kill_standby(cluster: Cluster, rng: random.Random) -> None:
    leader = cluster.leader()
    next(engine for engine in cluster.engines if engine is not leader).kill()


def kill_projector(cluster: Cluster, rng: random.Random) -> None:
    cluster.projector.kill()


def kill_api(cluster: Cluster, rng: random.Random) -> None:
    rng.choice(cluster.apis).kill()


def kill_publisher(cluster: Cluster, rng: random.Random) -> None:
    rng.choice(cluster.publishers).kill()


def kill_redis(cluster: Cluster, rng: random.Random) -> None:
    cluster.valkey.stop()
    time.sleep(rng.uniform(0, 1))
    cluster.valkey.start()


def kill_backend(cluster: Cluster, rng: random.Random) -> None:
    """All of the server's processes end with one of them; it starts again by itself."""
    socket = str(cluster.home)
    servers = [p for p in psutil.process_iter(["name", "cmdline"]) if p.info["name"] == "postgres"]
    postmaster = next(p for p in servers if any(socket in part for part in p.info["cmdline"] or ()))
    rng.choice(postmaster.children()).kill()


STRIKES: list[ClusterStrike] = [
    kill_leader, kill_standby, kill_projector, kill_api, kill_publisher, kill_redis, kill_backend,
]  # fmt: skip


def bring_back(cluster: Cluster) -> None:
    for process in cluster.processes:
        if process.process is not None and process.process.poll() is not None:
            process.start()
    cluster.leader()
    for api in cluster.apis:
        api.wait_ready()
    cluster.wait_open()


@pytest.mark.timeout(400 + 60 * KILLS)
def test_kill_9_of_any_role_loses_and_doubles_nothing(cluster: Cluster) -> None:
    rng, evidence = random.Random(int(os.environ.get("EXCHANGE_KILL_SEED", "1"))), Evidence()
    tokens = {name: cluster.trader(name, {"USD": "10000000", "BTC": "1000"}) for name in NAMES}
    for kill in range(KILLS):
        strike = STRIKES[kill % len(STRIKES)]

        def struck(_: Any, rng: random.Random, strike: ClusterStrike = strike) -> None:
            time.sleep(rng.uniform(0.05, 0.8))
            strike(cluster, rng)
            time.sleep(0.3)

        asyncio.run(load_until(cluster, tokens, rng, evidence, struck))  # type: ignore[arg-type]
        bring_back(cluster)
        sign_in(cluster, tokens)  # type: ignore[arg-type]
        resolve_unknown(cluster, evidence, tokens)  # type: ignore[arg-type]
        print(f"kill {kill + 1}/{KILLS}: {strike.__name__}: {len(evidence.acknowledged)} acknowledged")
    url = cluster.environ["DATABASE_URL"]
    until(
        "the tables",
        lambda: rows(url, "SELECT min(w.sequence) = (SELECT max(sequence) FROM journal) AS r FROM watermarks w")[0][
            "r"
        ],
    )
    orders = {row["client_order_id"]: row for row in rows(url, "SELECT client_order_id, order_id, status FROM orders")}
    assert {name: str(row["order_id"]) for name, row in orders.items()} == evidence.acknowledged
    by_id = {str(row["order_id"]): row["status"] for row in orders.values()}
    assert all(by_id[order_id] == 4 for order_id in evidence.cancelled), "a cancel that was answered stays"
    assert proven(url)


@pytest.mark.timeout(600)
def test_without_redis_a_cluster_refuses_and_recovers_by_itself(cluster: Cluster) -> None:
    token = cluster.trader("ann", {"USD": "100000"})
    with flowing(cluster, token) as flow:  # type: ignore[arg-type]
        cluster.valkey.stop()
        until("a refusal", lambda: flow.refusals)
        until("health", lambda: cluster.call("GET", "/api/v1/health")[1]["status"] != "ok")
        cluster.valkey.start()
        told = len(flow.acknowledged)
        until("orders again", lambda: len(flow.acknowledged) > told + 10)
    assert flow.longest_s < HELD_S
    flow.check()
    assert proven(cluster.environ["DATABASE_URL"])


@pytest.mark.timeout(600)
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")
def test_an_api_that_is_cut_off_leaves_no_outcome_unknown_for_good(cluster: Cluster) -> None:
    with namespace() as place:
        cluster.valkey.stop()
        cluster.valkey.addresses.append(place.back.here)
        cluster.valkey.start()
        redis = f"redis://{place.back.here}:{cluster.valkey.port}/0"
        apart = RoleProcess("api", {**cluster.environ, "REDIS_URL": redis}, place.front.there, place.inside(()))
        try:
            apart.start().wait_ready()
            token = cluster.trader("ann", {"USD": "100000"})
            until("the way to the leader", lambda: apart.call("POST", "/api/v1/orders", ORDER, token)[0] == 201)
            with flowing(apart, token) as flow:  # type: ignore[arg-type]
                place.back.pull()
                until("a refusal", lambda: flow.refusals)
                assert cluster.call("POST", "/api/v1/orders", ORDER, token)[0] == 201, "others do not notice"
                time.sleep(5)
                place.back.plug()
                told = len(flow.acknowledged)
                until("orders again", lambda: len(flow.acknowledged) > told + 10)
            assert flow.longest_s < HELD_S
            flow.check()
            flow.exchange = cluster  # type: ignore[assignment]
            flow.check()
        finally:
            apart.close()
    assert proven(cluster.environ["DATABASE_URL"])
    assert (
        subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.count(place.name)
        == 0
    )
