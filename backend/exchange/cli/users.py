"""`exchange users`: what an operator does to a user's access."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")

DATABASE_URL_OPTION = click.option(
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
@DATABASE_URL_OPTION
def freeze(username: str, database_url: str | None) -> None:
    """Let USERNAME read, cancel and take access away, and nothing else. Open orders stay."""
    from exchange.storage.users import set_frozen

    change_user(
        database_url, username, "user.freeze", lambda connection, account: set_frozen(connection, account, True)
    )
    click.echo(f"{username} is frozen")


@users.command()
@click.argument("username")
@DATABASE_URL_OPTION
def thaw(username: str, database_url: str | None) -> None:
    """Let USERNAME trade again."""
    from exchange.storage.users import set_frozen

    change_user(database_url, username, "user.thaw", lambda connection, account: set_frozen(connection, account, False))
    click.echo(f"{username} may trade")


@users.command("remove-second-factor")
@click.argument("username")
@DATABASE_URL_OPTION
def remove_second_factor(username: str, database_url: str | None) -> None:
    """Let USERNAME log in with the password alone. Make sure first that it is they who ask."""
    from exchange.storage.users import remove_second_factor as remove

    change_user(database_url, username, "user.remove_second_factor", remove)
    click.echo(f"{username} logs in with the password alone")


def change_user(
    database_url: str | None,
    username: str,
    action: str,
    change: "Callable[[AsyncConnection, int], Awaitable[None]]",
) -> None:
    """Change a user as the operator; the audit log keeps it. Raises click.ClickException."""
    from exchange.storage.users import by_operator

    on_database(database_url, lambda url: by_operator(url, username, action, change))


def on_database(database_url: str | None, work: "Callable[[str], Coroutine[Any, Any, T]]") -> "T":
    """Return what ``work`` does on the installation's database. Raises click.ClickException."""
    from sqlalchemy.exc import ProgrammingError

    from exchange.contracts.refusals import Refused
    from exchange.installation.database import NoDatabase, installation_database
    from exchange.installation.secrets import SecretsError
    from exchange.storage.database import DatabaseUnreachable
    from exchange.storage.embedded import EmbeddedPostgresError

    try:
        with installation_database(database_url) as url:
            return asyncio.run(work(url))
    except Refused as refused:
        raise click.ClickException(refused.refusal.detail) from refused
    except ProgrammingError as error:
        raise click.ClickException("the database has an older schema: start this version of exchange once") from error
    except (NoDatabase, SecretsError, DatabaseUnreachable, EmbeddedPostgresError, ValueError) as error:
        raise click.ClickException(str(error)) from error
