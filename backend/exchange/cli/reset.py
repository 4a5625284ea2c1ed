"""`exchange reset`."""

import fcntl
import os
import shutil
from pathlib import Path

import click

#: Everything that an installation keeps in its home; nothing else there is touched.
KEPT = (
    "postgres",
    "postgres-socket",
    "postgres-18",
    "postgres.log",
    "postgres.log.1",
    "secrets.json",
    "secrets.new",
    "exchange.lock",
)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Remove this installation: its database, its secrets, everything in EXCHANGE_HOME that is ours.

    \b
    exchange reset
    EXCHANGE_HOME=/srv/exchange exchange reset --yes
    """
    from exchange.settings import default_home

    home = Path(os.environ.get("EXCHANGE_HOME") or default_home()).expanduser()
    entries = [path for name in KEPT if (path := home / name).exists() or path.is_symlink()]
    if not entries:
        click.echo(f"nothing to remove in {home}")
        return
    with HomeLock(home):
        if not yes:
            click.confirm(f"Remove the exchange in {home}, with every order, trade and balance?", abort=True)
        for path in entries:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    if not any(home.iterdir()):
        home.rmdir()
    click.echo(f"removed {len(entries)} entries from {home}")


class HomeLock:
    """Holds the home's lock, which a running exchange has."""

    def __init__(self, home: Path) -> None:
        self._file = os.open(home / "exchange.lock", os.O_RDWR | os.O_CREAT, 0o600)

    def __enter__(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise click.ClickException("the exchange is running: stop it first (Ctrl-C), then reset") from None

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
