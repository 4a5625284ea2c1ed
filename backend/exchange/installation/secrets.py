"""The secrets of an installation: made at its first start, kept in its home, never shipped."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_NAME = "secrets.json"

#: name -> bytes of randomness. Hexadecimal, since people copy the demo password by hand.
_MADE = {"JWT_SECRET": 48, "POSTGRES_PASSWORD": 24, "DEMO_PASSWORD": 8, "EXCHANGE_DEMO_ROBOT_PASSWORD": 24}


class SecretsError(Exception):
    """The installation's secrets cannot be read. The text names the next step."""


def installation_secrets(home: Path) -> dict[str, str]:
    """Return the secrets of a home, making those that it lacks. Readable by its owner alone.

    Raises SecretsError for a file that is no such thing: replacing it would lock the owner out of the database.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone_in(home):
        return _complete(home / FILE_NAME)


@contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """Several processes may start at once: one makes the secrets, the others read them."""
    directory = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _complete(path: Path) -> dict[str, str]:
    known = _read(path)
    missing = {name: secrets.token_hex(size) for name, size in _MADE.items() if name not in known}
    if missing:
        known |= missing
        _write(path, known)
    return known


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SecretsError(
            f"{path} cannot be read ({error}): restore it, or remove the installation with `exchange reset`"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise SecretsError(f"{path} holds no secrets: restore it, or remove the installation with `exchange reset`")
    return content


def _write(path: Path, content: dict[str, str]) -> None:
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
