"""The venue of `exchange replay --direct`: the installation's own corridor in this process, without the API."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from decimal import Decimal

import click

from exchange.contracts.refusals import Refused
from exchange.installation.secrets import SecretsError
from exchange.installation.serve import load_settings
from exchange.main import RunningExchange, open_exchange
from exchange.settings import Settings, SettingsError
from exchange.simulation.direct import DirectVenue, deposit
from exchange.storage.database import DatabaseUnreachable
from exchange.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError
from exchange.storage.migrate import SchemaError, upgrade

LEAD_WAIT_S = 60.0
FIRST_TRADER = 10**12  # far above the numbers that registration gives
TRADERS_MAX = 1000  # a run


@asynccontextmanager
async def open_direct(
    run: str, symbol: str, accounts: int, funds: tuple[Decimal, Decimal], into_open_book: bool
) -> AsyncIterator[DirectVenue]:
    """Open the installation, give the run's traders `funds` (quote, base), and yield its market.

    Raises ClickException when the installation cannot be opened or is running, UsageError for a run that was played
    before, and for a book that is not empty unless `into_open_book`.
    """
    try:
        settings, secrets = load_settings()
        with _database(settings, secrets) as url:
            await upgrade(url)
            async with open_exchange(replace(settings, database_url=url)) as exchange:
                await _lead(exchange)
                yield await _venue(exchange, run, symbol, accounts, funds, into_open_book)
    except (DatabaseUnreachable, EmbeddedPostgresError, SchemaError, SecretsError, SettingsError) as error:
        raise click.ClickException(str(error)) from error
    except Refused as error:
        raise click.ClickException(error.refusal.detail) from error


@contextmanager
def _database(settings: Settings, secrets: dict[str, str]) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url
        return
    postgres = EmbeddedPostgres(settings.home, secrets["POSTGRES_PASSWORD"])
    try:
        yield postgres.start()
    finally:
        postgres.stop()


async def _lead(exchange: RunningExchange) -> None:
    try:
        await asyncio.wait_for(exchange.until_leading(), LEAD_WAIT_S)
    except TimeoutError:
        raise click.ClickException(
            f"the exchange is {exchange.corridor.role} and does not lead after {LEAD_WAIT_S:g} s: "
            "stop the process that leads, or play the recording through its API without --direct"
        ) from None


async def _venue(
    exchange: RunningExchange,
    run: str,
    symbol: str,
    accounts: int,
    funds: tuple[Decimal, Decimal],
    into_open_book: bool,
) -> DirectVenue:
    market = exchange.catalogue.market(symbol)
    corridor = exchange.corridor
    first = FIRST_TRADER + zlib.crc32(run.encode()) * TRADERS_MAX
    traders = [first + number for number in range(accounts)]
    if any(corridor.balance(first, asset.number) != (0, 0) for asset in (market.quote, market.base)):
        raise click.UsageError(f"run {run} was played here before; with --direct a run is played once")

    def read_book(levels: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        _, bids, asks = exchange.live.depth(market.number, levels)
        return list(bids), list(asks)

    if any(read_book(1)) and not into_open_book:
        raise click.UsageError(f"orders rest in {market.symbol} already; play on it all the same with --into-open-book")

    async def submit(command: bytearray) -> bytes:
        return (await corridor.submit(command)).events

    async def place(command: bytearray, account: int, client_order_id: str) -> tuple[bytes, bool]:
        entry, repeated = await corridor.place(command, account, client_order_id)
        return entry.events, repeated

    for trader in traders:
        for asset, amount in zip((market.quote, market.base), funds, strict=True):
            await deposit(submit, trader, asset, amount)
    return DirectVenue(submit, place, read_book, market, traders)
