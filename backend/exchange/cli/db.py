"""`exchange db`: the schema and the projections."""

import asyncio
import os

import click


def database_url() -> str:
    """Return DATABASE_URL, which these commands need: the embedded server runs only while `exchange serve` does."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        raise click.ClickException("set DATABASE_URL: these commands are for a database server of your own")
    return url


@click.group()
def db() -> None:
    """Migrate the database, and rebuild what is derived from the journal.

    \b
    DATABASE_URL=postgresql://... exchange db upgrade
    DATABASE_URL=postgresql://... exchange db rebuild orders trades
    """


@db.command()
def upgrade() -> None:
    """Apply the migrations that the database lacks."""
    from exchange.storage import migrate

    applied = asyncio.run(migrate.upgrade(database_url()))
    for migration in applied:
        click.echo(f"applied {migration.revision} {migration.title}")
    if not applied:
        click.echo("up to date")


@db.command()
def current() -> None:
    """Show the revision that the database is at."""
    from exchange.storage import migrate

    click.echo(asyncio.run(migrate.current(database_url())) or "empty")


@db.command()
def history() -> None:
    """List the migrations of this version, oldest first."""
    from exchange.storage import migrate

    for migration in migrate.history():
        click.echo(f"{migration.revision} {migration.title}")


@db.command()
@click.argument("projections", nargs=-1)
def rebuild(projections: tuple[str, ...]) -> None:
    """Empty projections (default: all) and make them again from the journal."""
    from exchange.main import SHARD
    from exchange.projections.runner import ProjectionRunner

    async def run() -> None:
        runner = ProjectionRunner(database_url(), SHARD)
        with click.progressbar(length=1, label="rebuilding") as bar:

            def progress(watermark: int, end: int) -> None:
                bar.length = end
                bar.update(watermark - bar.pos)

            try:
                await runner.rebuild(projections or None, progress)
            finally:
                await runner.close()

    try:
        asyncio.run(run())
    except ValueError as error:
        raise click.ClickException(str(error)) from error
