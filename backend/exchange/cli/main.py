"""The `exchange` command. Each command imports what it needs when it runs, so that --help answers at once."""

import importlib
from typing import ClassVar

import click

from exchange import __version__


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported when they are called."""

    modules: ClassVar[dict[str, str]] = {
        "serve": "exchange.cli.serve:serve",
        "demo": "exchange.cli.demo:demo",
        "replay": "exchange.cli.replay:replay",
        "load": "exchange.cli.load:load",
        "audit": "exchange.cli.audit:audit",
        "admin": "exchange.cli.admin:admin",
        "users": "exchange.cli.users:users",
        "db": "exchange.cli.db:db",
        "openapi": "exchange.cli.openapi:openapi",
        "reset": "exchange.cli.reset:reset",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.modules:
            return None
        module, name = self.modules[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.command(cls=LazyGroup)
@click.version_option(__version__)
def cli() -> None:
    """An open matching-engine exchange.

    \b
    exchange serve --demo        everything on one machine, with a living market
    exchange replay FILE         play recorded order flow through the API
    exchange audit replay        prove that journal, tables and ledger tell one story
    exchange reset               remove this installation's data
    """


if __name__ == "__main__":
    cli()
