"""`exchange demo`: robots that keep the demo markets alive."""

import logging
import os
import secrets
import signal
from asyncio import get_running_loop
from pathlib import Path

import click
import uvloop

from exchange.installation.children import follow_parent
from exchange.simulation.demo import Demo, DemoError, DemoSettings

PASSWORD_VARIABLE = "EXCHANGE_DEMO_ROBOT_PASSWORD"  # noqa: S105  (the name of the variable)


@click.command("demo")
@click.option("--url", default="http://localhost:8080", show_default=True, help="The exchange to trade on.")
@click.option("--seed", default=1, show_default=True, help="Of everything the robots decide.")
@click.option(
    "--rate", default=15.0, show_default=True, type=click.FloatRange(0.5, 1000), help="Messages a second, in all."
)
@click.option("--makers", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--takers", default=2, show_default=True, type=click.IntRange(0, 20))
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"The robots' password [default: {PASSWORD_VARIABLE}; without either, new accounts with a new one]",
)
def demo(url: str, seed: int, rate: float, makers: int, takers: int, password_file: Path | None) -> None:
    """Trade BTC/USD and ETH/USD with seeded market makers and takers until interrupted, then cancel their quotes.

    \b
    exchange demo
    exchange demo --url http://localhost:9000 --seed 7 --rate 50
    """
    follow_parent()
    password = password_file.read_text().strip() if password_file else os.environ.get(PASSWORD_VARIABLE, "")
    suffix = "" if password else f"-{secrets.token_hex(3)}"
    settings = DemoSettings(url, password or secrets.token_urlsafe(24), suffix, seed, rate, makers, takers)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        counts = uvloop.run(_run(settings))
    except DemoError as error:
        raise click.ClickException(str(error)) from error
    click.echo(counts, err=True)


async def _run(settings: DemoSettings) -> str:
    running = Demo(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        get_running_loop().add_signal_handler(number, running.stop)
    await running.run()
    counts = running.counts
    return (
        f"{counts.placed:,} orders placed, {counts.cancelled:,} cancelled, {counts.refused.total():,} refused; "
        f"{counts.reconnects:,} reconnects"
    )
