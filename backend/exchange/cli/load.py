"""`exchange load`: measure what an exchange, or any HTTP endpoint, answers under a closed loop of connections."""

import json
import random
import secrets
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import uvloop

from exchange.simulation.client import Account, ApiClient, Depth, Market, Refused, Unreachable
from exchange.simulation.load import (
    TEMPLATES,
    LoadResult,
    LoadSettings,
    OrderMix,
    Requests,
    http_request,
    measure,
    order_requests,
    run_load,
)
from exchange.simulation.stream_load import open_pipelines, place_frame
from exchange.simulation.venue import ensure_funds

ORDERS_PATH, BATCH_PATH = "/api/v1/orders", "/api/v1/orders/batch"
BATCH_MAX, PIPELINE_MAX = 50, 500
QUOTE_FUNDS, BASE_FUNDS = Decimal(5_000_000), Decimal(1_000)
SECONDS_MAX = 480.0  # access tokens last ten minutes at most, and are not renewed under load


@click.command("load")
@click.option("--mode", type=click.Choice(["orders", "noop"]), default="orders", show_default=True)
@click.option(
    "--url", default="http://localhost:8080", show_default=True, help="orders: the exchange; noop: the endpoint."
)
@click.option("--connections", default=32, show_default=True, type=click.IntRange(1, 2000))
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.1, SECONDS_MAX))
@click.option("--warm-up", default=1.0, show_default=True, type=click.FloatRange(0, 60), help="Seconds not measured.")
@click.option(
    "--token-per-connection/--one-token", default=True, show_default=True, help="An account for each connection."
)
@click.option("--symbol", default="BTC-USD", show_default=True)
@click.option(
    "--price", type=int, help="Whole price around which orders are placed [default: the book's middle, or 50000]"
)
@click.option(
    "--crossing", default=25, show_default=True, type=click.IntRange(0, 90), help="Percent of orders that trade."
)
@click.option("--client-ids/--no-client-ids", default=True, show_default=True, help="Name every order.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, BATCH_MAX), help="Orders a request.")
@click.option(
    "--pipeline", default=0, type=click.IntRange(0, PIPELINE_MAX), help="Over the WebSocket, so many orders under way."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1),
    help="Requests a second over all connections; latency counts from when one was due.",
)
@click.option("--method", default="POST", show_default=True, help="noop: the method.")
@click.option(
    "--body", default='{"price":"50000.00","quantity":"0.001"}', show_default=True, help="noop: the JSON body."
)
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the result here too.")
def load(
    mode: str,
    url: str,
    connections: int,
    seconds: float,
    warm_up: float,
    token_per_connection: bool,
    symbol: str,
    price: int | None,
    crossing: int,
    client_ids: bool,
    batch: int,
    pipeline: int,
    rate: float | None,
    method: str,
    body: str,
    seed: int,
    json_file: Path | None,
) -> None:
    """Send requests on many connections, each after the answer to the one before, and report rate and latency.

    orders: good-till-cancelled limit orders at 1 to 200 ticks from one price, and among them orders that reach across
    all of it, each as large as the resting ones that it should meet: the book stays small. Use a throw-away
    installation.

    \b
    exchange load --seconds 30 --connections 64
    exchange load --batch 50 --connections 16
    exchange load --pipeline 64 --connections 8
    exchange load --rate 3000 --seconds 60
    exchange load --mode noop --url http://localhost:8080/livez --method GET
    """
    if rate is not None and pipeline:
        raise click.UsageError("--rate is for requests one after the other: leave --pipeline out")
    settings = LoadSettings(url, connections, seconds, warm_up, rate)
    try:
        if mode == "orders":
            accounts = connections if token_per_connection else 1
            mix = OrderMix(0, crossing_percent=crossing, client_ids=client_ids)
            document = uvloop.run(_load_orders(settings, symbol, accounts, price, mix, (batch, pipeline), seed))
        else:
            request = http_request(method, url, body.encode() if body and method != "GET" else None)
            document = uvloop.run(run_load(settings, [lambda: request] * connections)).document()
    except (Refused, Unreachable, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    text = json.dumps({"mode": mode, "url": url, "connections": connections} | document, indent=2)
    click.echo(text)
    if json_file is not None:
        json_file.write_text(text + "\n")
    if document["failures"] or not document["answers"]:
        raise SystemExit(1)


async def _load_orders(
    settings: LoadSettings,
    symbol: str,
    accounts: int,
    price: int | None,
    mix: OrderMix,
    way: tuple[int, int],
    seed: int,
) -> dict[str, Any]:
    run = f"load-{secrets.token_hex(4)}"
    async with ApiClient(settings.url) as client:
        market, depth = await client.market(symbol), await client.depth(symbol, 1)
        tokens = [await _open_account(client, f"{run}-{number}", market) for number in range(accounts)]
    decimals = len(market.tick_size.partition(".")[2])
    mix = replace(mix, mid_ticks=_mid_ticks(market, depth, price), tick_decimals=decimals)
    batch, pipeline = way
    if pipeline:
        result = await _pipeline_orders(settings, mix, market.symbol, tokens, run, seed, pipeline)
    else:
        target = replace(settings, url=settings.url.rstrip("/") + (ORDERS_PATH if batch == 1 else BATCH_PATH))
        result = await run_load(target, order_requests(target, mix, market.symbol, tokens, run, seed, batch))
    return {"accounts": accounts, "mix": mix.describe(), "seed": seed} | result.document()


async def _pipeline_orders(
    settings: LoadSettings, mix: OrderMix, symbol: str, tokens: Sequence[str], run: str, seed: int, depth: int
) -> LoadResult:
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    frames = []
    for number in range(settings.connections):
        bodies = mix.bodies(symbol, f"{run}-{number}-", rng, TEMPLATES)
        frames.append(Requests([place_frame(body) for body in bodies], random.Random(rng.random())))  # noqa: S311
    return await measure(settings, await open_pipelines(settings.url, tokens, frames, depth, LoadResult()))


async def _open_account(client: ApiClient, name: str, market: Market) -> str:
    account = Account(client, name, secrets.token_urlsafe(16))
    await account.open()
    await ensure_funds(account, {market.quote: QUOTE_FUNDS, market.base: BASE_FUNDS})
    return await account.token()


def _mid_ticks(market: Market, depth: Depth, price: int | None) -> int:
    tick = Decimal(market.tick_size)
    if price is not None:
        return int(Decimal(price) / tick)
    if depth.bids and depth.asks:
        return int((Decimal(depth.bids[0][0]) + Decimal(depth.asks[0][0])) / 2 / tick)
    return int(Decimal(50_000) / tick)
