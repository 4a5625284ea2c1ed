"""`exchange serve`."""

import sys
import time
from typing import cast

import click


@click.command()
@click.argument("role", required=False, type=click.Choice(("engine", "projector", "api", "publisher")))
@click.option("--demo", is_flag=True, help="Add a demo login and seeded robots that make a living market.")
def serve(role: str | None, demo: bool) -> None:
    """Run the exchange: database, engine, API and frontend on one machine.

    Without DATABASE_URL it starts an embedded PostgreSQL in EXCHANGE_HOME. Ctrl-C stops everything.

    With a ROLE it runs that part alone, beside others that share DATABASE_URL and REDIS_URL: `engine` (one leads, the
    others stand by), `projector`, `api` and `publisher` (the streams), as many as there are cores for.

    \b
    exchange serve --demo
    EXCHANGE_PORT=9000 exchange serve
    DATABASE_URL=postgresql://exchange:...@db:5432/exchange exchange serve
    DATABASE_URL=... REDIS_URL=redis://redis:6379 exchange serve engine
    """
    from exchange.installation.children import follow_parent
    from exchange.installation.secrets import SecretsError
    from exchange.installation.serve import ServeError, interrupt_on_terminate, run
    from exchange.installation.serve_role import run_role
    from exchange.roles import RoleName
    from exchange.settings import SettingsError
    from exchange.storage.database import DatabaseUnreachable
    from exchange.storage.embedded import EmbeddedPostgresError
    from exchange.storage.migrate import SchemaError

    if role is not None and demo:
        raise click.UsageError("--demo goes with the whole exchange, not with a role")
    started = time.monotonic()

    def tell(line: str) -> None:
        click.echo(f"{time.monotonic() - started:6.1f} s  {line}", err=False)
        sys.stdout.flush()

    follow_parent()
    interrupt_on_terminate()
    try:
        if role is None:
            run(demo=demo, tell=tell)
        else:
            run_role(cast(RoleName, role), tell)
    except KeyboardInterrupt:
        pass
    except (SettingsError, SecretsError, ServeError, DatabaseUnreachable, EmbeddedPostgresError, SchemaError) as error:
        raise click.ClickException(str(error)) from error
    tell("stopped")
