"""`exchange audit`: proofs about what an exchange has stored."""

import asyncio
import json

import click

from exchange.audit.report import Report


class CannotAudit(click.ClickException):
    """Nothing was proven and nothing disproven."""

    exit_code = 2


@click.group()
def audit() -> None:
    """Prove that what is stored is what happened."""


@audit.command()
@click.option("--from", "first", type=click.IntRange(1), help="Begin at the newest snapshot before this entry.")
@click.option("--to", "last", type=click.IntRange(1), help="End with this entry  [default: the last]")
@click.option("--database-url", help="[default: DATABASE_URL, else the embedded server of EXCHANGE_HOME]")
@click.option("--journal-only", is_flag=True, help="Leave the tables out: several times as fast.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON; progress goes to standard error.")
@click.pass_context
def replay(
    context: click.Context,
    first: int | None,
    last: int | None,
    database_url: str | None,
    journal_only: bool,
    as_json: bool,
) -> None:
    """Execute the journal again and compare everything with it.

    Every event byte, the chain over all entries, the recorded snapshots, and the tables of orders, trades, fills,
    ledger, balances, candles and markets. It only reads, and may run beside a live exchange.

    Exit code 0: proven. 1: something differs, and the report names it. 2: the audit could not be made.

    \b
    exchange audit replay
    exchange audit replay --from 1000000 --json
    """
    from exchange.audit.replay import AuditError
    from exchange.installation.database import NoDatabase, installation_database
    from exchange.installation.secrets import SecretsError
    from exchange.storage.database import DatabaseUnreachable
    from exchange.storage.embedded import EmbeddedPostgresError

    try:
        with installation_database(database_url) as url:
            report = asyncio.run(_audit(url, first, last, not journal_only))
    except (
        AuditError, NoDatabase, SecretsError, DatabaseUnreachable, EmbeddedPostgresError, ValueError,
    ) as error:  # fmt: skip
        raise CannotAudit(str(error)) from error
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        click.echo("\n".join(report.lines()))
    context.exit(0 if report.proven else 1)


async def _audit(url: str, first: int | None, last: int | None, with_tables: bool) -> Report:
    from asyncpg import InterfaceError, PostgresError

    from exchange.audit.replay import audit as run
    from exchange.main import SHARD
    from exchange.storage.database import connect

    connection = await connect(url, settings={"application_name": "exchange audit"})
    try:
        return await run(connection, SHARD, first=first, last=last, with_tables=with_tables, progress=_tell)
    except (PostgresError, InterfaceError, OSError) as error:
        raise CannotAudit(f"the database ended the audit: {error}") from error
    finally:
        await connection.close()


def _tell(done: int, total: int, seconds: float) -> None:
    rate = done / seconds
    left_s = (total - done) / rate
    click.echo(f"{done:,} of {total:,} commands, {rate:,.0f}/s, about {left_s:.0f} s left", err=True)
