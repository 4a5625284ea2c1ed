"""The Unix socket of the embedded PostgreSQL: where it lives, and whether a server answers on it."""

import os
import socket
import stat
import struct
import tempfile
from hashlib import sha256
from pathlib import Path

from exchange.storage.embedded_account import EmbeddedPostgresError, ServerAccount, closed_directory
from exchange.storage.embedded_cluster import make_private_directory

#: The port is only a part of the socket's name: nothing listens on TCP.
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
#: The longest path of a Unix socket in bytes that every supported system takes (macOS 103, Linux 107).
SOCKET_PATH_LIMIT_BYTES = 103

_PROTOCOL_3_0 = 3 << 16


def private_socket_directory(home: Path, account: ServerAccount) -> Path:
    """A directory of mode 0700 that belongs to the account, made if missing: in `home`, or, where that makes a path too
    long for a socket, in the system's directory for temporary files, under a name of its own for each home.

    Raises EmbeddedPostgresError when neither will do, or when somebody else took the name.
    """
    digest = sha256(os.fsencode(home)).hexdigest()[:16]
    candidates = [home / "postgres-socket"]
    parents = (tempfile.gettempdir(), "/tmp")  # noqa: S108 - what is made there is private, or refused below
    candidates += [Path(parent).resolve() / f"exchange-{digest}" for parent in parents]
    for directory in candidates:
        fits = len(os.fsencode(directory / SOCKET_NAME)) <= SOCKET_PATH_LIMIT_BYTES
        if fits and closed_directory(directory.parent, account) is None:
            break
    else:
        raise EmbeddedPostgresError(
            f"No directory short enough for PostgreSQL's socket (at most {SOCKET_PATH_LIMIT_BYTES} bytes with the "
            f"file's name) can be reached by the user {account.name}. "
            "Set EXCHANGE_HOME to a shorter path, or TMPDIR to a short one."
        )
    try:
        make_private_directory(directory, account)
    except FileExistsError:
        status = os.lstat(directory)
        private = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) & 0o077 == 0
        if not private or status.st_uid != account.uid:
            raise EmbeddedPostgresError(
                f"{directory} exists and is not a private directory of the user {account.name}. "
                "Remove it and start again."
            ) from None
    return directory


def accepts_connections(socket_directory: Path, role: str, database: str) -> bool:
    """Whether a server on the socket is ready: a start-up message is sent, and a ready server asks for the password,
    where one that is still starting or already stopping answers with an error. Waits at most a second."""
    parameters = b"\0".join(word.encode() for word in ("user", role, "database", database)) + b"\0\0"
    message = struct.pack("!II", 8 + len(parameters), _PROTOCOL_3_0) + parameters
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(socket_directory / SOCKET_NAME))
            connection.sendall(message)
            # The whole answer is taken: closing on a rest of it would be an error in the server's log.
            return connection.recv(4096).startswith(b"R")
        except OSError:
            return False
