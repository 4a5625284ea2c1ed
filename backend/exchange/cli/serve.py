"""`exchange serve`."""

import sys
import time

import click


@click.command()
@click.option("--demo", is_flag=True, help="Add a demo login and seeded robots that make a living market.")
def serve(demo: bool) -> None:
    """Run the exchange: database, engine, API and frontend on one machine.

    Without DATABASE_URL it starts an embedded PostgreSQL in EXCHANGE_HOME. Ctrl-C stops everything.

    \b
    exchange serve --demo
    EXCHANGE_PORT=9000 exchange serve
    DATABASE_URL=postgresql://exchange:...@db:5432/exchange exchange serve
    """
    from exchange.installation.children import follow_parent
    from exchange.installation.secrets import SecretsError
    from exchange.installation.serve import ServeError, interrupt_on_terminate, run
    from exchange.settings import SettingsError
    from exchange.storage.database import DatabaseUnreachable
    from exchange.storage.embedded import EmbeddedPostgresError
    from exchange.storage.migrate import SchemaError

    started = time.monotonic()

    def tell(line: str) -> None:
        click.echo(f"{time.monotonic() - started:6.1f} s  {line}", err=False)
        sys.stdout.flush()

    follow_parent()
    interrupt_on_terminate()
    try:
        run(demo=demo, tell=tell)
    except KeyboardInterrupt:
        pass
    except (SettingsError, SecretsError, ServeError, DatabaseUnreachable, EmbeddedPostgresError, SchemaError) as error:
        raise click.ClickException(str(error)) from error
    tell("stopped")
