"""`exchange users`: what an operator does to a user's access."""

import asyncio
from collections.abc import Awaitable, Callable

import click

_DATABASE_URL = click.option(
    "--database-url", help="[default: DATABASE_URL, else the embedded server of EXCHANGE_HOME]"
)


@click.group()
def users() -> None:
    """Freeze and thaw accounts, and help who has lost the second factor. A running exchange knows within a second.

    \b
    exchange users freeze mallory
    exchange users remove-second-factor alice
    """


@users.command()
@click.argument("username")
@_DATABASE_URL
def freeze(username: str, database_url: str | None) -> None:
    """Let USERNAME read, cancel and take access away, and nothing else. Open orders stay."""
    from exchange.storage.users import set_frozen

    _do(database_url, lambda url: set_frozen(url, username, True), f"{username} is frozen", f"no user {username}")


@users.command()
@click.argument("username")
@_DATABASE_URL
def thaw(username: str, database_url: str | None) -> None:
    """Let USERNAME trade again."""
    from exchange.storage.users import set_frozen

    _do(database_url, lambda url: set_frozen(url, username, False), f"{username} may trade", f"no user {username}")


@users.command("remove-second-factor")
@click.argument("username")
@_DATABASE_URL
def remove_second_factor(username: str, database_url: str | None) -> None:
    """Let USERNAME log in with the password alone. Make sure first that it is they who ask."""
    from exchange.storage.users import remove_second_factor as remove

    none = f"there is no user {username} with a second factor"
    _do(database_url, lambda url: remove(url, username), f"{username} logs in with the password alone", none)


def _do(database_url: str | None, work: Callable[[str], Awaitable[bool]], done: str, none: str) -> None:
    from exchange.installation.database import NoDatabase, installation_database
    from exchange.installation.secrets import SecretsError
    from exchange.storage.database import DatabaseUnreachable
    from exchange.storage.embedded import EmbeddedPostgresError

    async def run(url: str) -> bool:
        return await work(url)

    try:
        with installation_database(database_url) as url:
            found = asyncio.run(run(url))
    except (NoDatabase, SecretsError, DatabaseUnreachable, EmbeddedPostgresError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if not found:
        raise click.ClickException(none)
    click.echo(done)
