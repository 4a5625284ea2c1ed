"""`exchange replay FILE`: play recorded order flow through the exchange and report what came of it."""

import asyncio
import json
import os
import secrets
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path

import click
import uvloop

from exchange.settings import default_home
from exchange.simulation.bitstamp_tape import TapeError, TapeEvent, count_events, read_tape
from exchange.simulation.client import Account, ApiClient, Refused, Unreachable
from exchange.simulation.progress import progress
from exchange.simulation.replay import Replay, ReplaySettings
from exchange.simulation.replay_report import ReplayReport
from exchange.simulation.venue import BookBehind, HttpVenue, Venue, ensure_funds

QUOTE_FUNDS, BASE_FUNDS = (
    Decimal(1_000_000),
    Decimal(1_000),
)  # a trader; the whole recording needs a third of it at once


@click.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", default="http://localhost:8080", show_default=True, help="The exchange to play it on.")
@click.option("--symbol", default="BTC-USD", show_default=True, help="The market to play it on.")
@click.option("--accounts", default=20, show_default=True, type=click.IntRange(1, 500), help="Traders to play it as.")
@click.option("--in-flight", default=32, show_default=True, type=click.IntRange(1, 1000), help="Orders sent at a time.")
@click.option("--speed", type=click.FloatRange(0, min_open=True), help="Times real time [default: as fast as it goes]")
@click.option("--limit", type=click.IntRange(1), help="Events to play [default: all]")
@click.option("--run", "run_name", help="Names the orders; the same run again never places one twice [default: new]")
@click.option(
    "--compare-every", default=10, show_default=True, type=click.IntRange(0), help="Of the recorded books; 0: none."
)
@click.option(
    "--warm-up", default=120.0, show_default=True, type=click.FloatRange(0), help="Recorded minutes before that."
)
@click.option("--into-open-book", is_flag=True, help="Play although orders of others rest in the book.")
@click.option("--direct", is_flag=True, help="Play it in this process on the installation's own data, without HTTP.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the report here too.")
def replay(
    file: Path,
    url: str,
    symbol: str,
    accounts: int,
    in_flight: int,
    speed: float | None,
    limit: int | None,
    run_name: str | None,
    compare_every: int,
    warm_up: float,
    into_open_book: bool,
    direct: bool,
    json_file: Path | None,
) -> None:
    """Play the recorded order flow FILE (a Bitstamp order log, .log or .log.xz).

    \b
    exchange replay orders.log.xz
    exchange replay orders.log.xz --speed 60 --accounts 50
    exchange replay orders.log.xz --direct --json report.json
    """
    run_name = run_name or _new_run_name()
    try:
        settings = ReplaySettings(run_name, in_flight, speed, compare_every, warm_up * 60)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    resume = "" if direct else f" (to play it on after a break: --run {run_name})"
    click.echo(f"Playing {file.name} as run {run_name}{resume}.", err=True)
    session = _Session(file, limit, settings, accounts, symbol, into_open_book)
    uvloop.run(session.play_direct() if direct else session.play_http(url))
    report = session.report
    click.echo(report.text())
    if json_file is not None:
        described = {"file": file.name, "run": run_name, "symbol": symbol, "via": "direct" if direct else url}
        json_file.write_text(json.dumps(described | report.document(), indent=2) + "\n")
    if report.failure or report.lost:
        raise SystemExit(1)


class _Session:
    """One command: opens a venue, plays the file on it, keeps the report."""

    def __init__(
        self, file: Path, limit: int | None, settings: ReplaySettings, accounts: int, symbol: str, into_open_book: bool
    ) -> None:
        self.report = ReplayReport()
        self._file = file
        self._limit = limit
        self._settings = settings
        self._accounts = accounts
        self._symbol = symbol
        self._into_open_book = into_open_book

    async def play_http(self, url: str) -> None:
        async with ApiClient(url, self._settings.in_flight) as client:
            try:
                await self._play(await self._open_http(client))
            except (Refused, Unreachable) as error:
                self.report.failure = str(error)
            self.report.unknown_outcomes = client.counts.unknown_outcomes
            self.report.unknown_resolved = client.counts.unknown_resolved

    async def _open_http(self, client: ApiClient) -> HttpVenue:
        market = await client.market(self._symbol)
        depth = await client.depth(self._symbol, 1)
        password = _run_password(self._settings.run)
        names = [f"replay-{self._settings.run}-{number:02d}" for number in range(self._accounts)]
        traders = [Account(client, name, password) for name in names]
        new = [await trader.open() for trader in traders]
        if all(new) and (depth.bids or depth.asks) and not self._into_open_book:
            raise click.UsageError(
                f"orders rest in {market.symbol} already, and the recording would trade with them; "
                "play it on an empty market, or on this one with --into-open-book"
            )
        for trader in traders:
            await ensure_funds(trader, {market.quote: QUOTE_FUNDS, market.base: BASE_FUNDS})
        return HttpVenue(client, self._symbol, traders)

    async def play_direct(self) -> None:
        from exchange.cli.replay_direct import open_direct

        funds = (QUOTE_FUNDS, BASE_FUNDS)
        run = self._settings.run
        async with open_direct(run, self._symbol, self._accounts, funds, self._into_open_book) as venue:
            await self._play(venue)

    async def _play(self, venue: Venue) -> None:
        try:
            total = await asyncio.to_thread(count_events, self._file, self._limit)
            with progress("replay", total) as advance:
                await Replay(venue, self._settings, self.report, advance).run(self._events())
        except (TapeError, BookBehind, Refused, Unreachable) as error:
            self.report.failure = str(error)

    def _events(self) -> Iterator[TapeEvent]:
        return islice(read_tape(self._file), self._limit)


def _new_run_name() -> str:
    return f"r{int(time.time()):x}{secrets.token_hex(1)}"


def _run_password(run: str) -> str:
    """Return the password of a run's traders: from the environment, else from a file that is made the first time."""
    if given := os.environ.get("EXCHANGE_REPLAY_PASSWORD"):
        return given
    home = Path(os.environ.get("EXCHANGE_HOME") or default_home()).expanduser()
    file = home / "replay" / f"{run}.password"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file.exists():
            return file.read_text().strip()
        password = secrets.token_urlsafe(24)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(password + "\n")
    except OSError as error:
        raise click.ClickException(
            f"cannot keep the traders' password: {error}; set EXCHANGE_REPLAY_PASSWORD"
        ) from error
    return password
