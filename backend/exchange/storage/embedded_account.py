"""The operating system user the embedded PostgreSQL runs as, and what that user can reach.

PostgreSQL refuses to run as root. Started by an ordinary user, the server runs as that user. Started by root, it runs
as an existing unprivileged user; no user is ever created.
"""

import os
import pwd
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Tried in this order when root starts the server in a home that belongs to root.
UNPRIVILEGED_USERS = ("postgres", "nobody")


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL cannot do what was asked; the message says why and what to do next."""


@dataclass(frozen=True)
class ServerAccount:
    """A user to run PostgreSQL's programs as.

    uid, gid: the user's numeric ids; name: for messages; dropped: the caller is root and becomes this user.
    """

    uid: int
    gid: int
    name: str
    dropped: bool

    def run(
        self, command: Sequence[str], stdin: str = "", timeout_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as this user, in its own session; output of both streams is in `stdout`.

        Raises OSError when it cannot be run and subprocess.TimeoutExpired when it takes longer than timeout_s.
        """
        return subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            cwd="/",
            env=server_environment(),
            start_new_session=True,
            user=self.uid if self.dropped else None,
            group=self.gid if self.dropped else None,
            extra_groups=[] if self.dropped else None,
            check=False,
        )


def server_environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs: English messages, and no PG* setting or secret of the caller's."""
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}


def choose_account(home: Path, data_directory: Path) -> ServerAccount:
    """The user for the server of `home`: the caller; for root the owner of the data directory, else of the home, else
    the first of UNPRIVILEGED_USERS. Raises EmbeddedPostgresError when the data belongs to somebody else."""
    caller = os.geteuid()
    owned = data_directory if data_directory.exists() else home
    owner = os.stat(owned)
    if caller != 0:
        if owner.st_uid != caller:
            raise EmbeddedPostgresError(
                f"{owned} belongs to {_user_name(owner.st_uid)}, not to {_user_name(caller)} who runs this. "
                "Run Exchange as that user, or set EXCHANGE_HOME to a directory of your own."
            )
        return ServerAccount(caller, os.getegid(), _user_name(caller), dropped=False)
    if owner.st_uid != 0:
        return ServerAccount(owner.st_uid, owner.st_gid, _user_name(owner.st_uid), dropped=True)
    for name in UNPRIVILEGED_USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerAccount(user.pw_uid, user.pw_gid, name, dropped=True)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and this system has no user named "
        f"{' or '.join(UNPRIVILEGED_USERS)}. Run Exchange as an ordinary user, or set DATABASE_URL."
    )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def closed_directory(directory: Path, account: ServerAccount) -> Path | None:
    """The first directory on the way to and including `directory` that the account may not pass.

    None when all are open. `directory` must be absolute and exist. Access lists beyond the mode bits are not looked at.
    """
    for step in (*reversed(directory.parents), directory):
        status = os.stat(step)
        if status.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif status.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            return step
    return None


def let_account_pass(home: Path, account: ServerAccount) -> None:
    """Make sure that the account can pass through `home` to its data directory.

    A home of root's that is closed to others is opened by the least that will do: the account's group may pass, not
    list. Raises EmbeddedPostgresError when the way is closed further up, or in a home that is not root's to change.
    """
    closed = closed_directory(home, account)
    if closed is None:
        return
    status = os.stat(home)
    if closed == home and account.dropped and status.st_uid == 0:
        os.chown(home, -1, account.gid)
        os.chmod(home, stat.S_IMODE(status.st_mode) & ~stat.S_IRWXG | stat.S_IXGRP)  # noqa: S103 - to pass, no more
        return
    raise EmbeddedPostgresError(
        f"The database would run as the user {account.name}, who cannot pass through {closed} to reach {home}. "
        "Set EXCHANGE_HOME to a directory that every user can reach, such as /var/lib/exchange."
    )
