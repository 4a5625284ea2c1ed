"""The database of an installation, for commands that read it: beside a running exchange, or with none running."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.installation.secrets import FILE_NAME, installation_secrets
from exchange.settings import default_home
from exchange.storage.embedded import EmbeddedPostgres


class NoDatabase(Exception):
    """There is no database to read. The text names the next step."""


@contextmanager
def installation_database(url: str | None) -> Iterator[str]:
    """Yield where the database is: ``url``, else DATABASE_URL, else the embedded server of EXCHANGE_HOME.

    The embedded server is started for the time of the block where no exchange runs it. Raises NoDatabase,
    EmbeddedPostgresError.
    """
    given = url or os.environ.get("DATABASE_URL", "")
    if given:
        yield given
        return
    home = Path(os.environ.get("EXCHANGE_HOME") or default_home()).expanduser()
    if not (home / FILE_NAME).exists():
        raise NoDatabase(f"there is no installation in {home}: set EXCHANGE_HOME, or name a server by DATABASE_URL")
    server = EmbeddedPostgres(home, installation_secrets(home)["POSTGRES_PASSWORD"])
    running = server.url_of_running()
    if running is not None:
        yield running
        return
    try:
        yield server.start()
    finally:
        server.stop()
