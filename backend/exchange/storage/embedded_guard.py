"""The guard: the process between Exchange and its embedded PostgreSQL.

It starts the server as its own child and holds the reading end of a pipe from Exchange on its standard input, the
lifeline. Nothing is ever written there. End of file means that Exchange wants the server stopped or has died in any
way, kill -9 included; the guard then ends the server and itself. Because the guard is the server's parent it can
never signal a stranger who got the server's process id, and it ends exactly when the server does.

Run as a script by `exchange.storage.embedded` with `python -I -S`: standard library only, and little of it, so that it
starts in about 30 ms and stays small. Arguments: LOG_PATH UID GID COMMAND..., where UID "-" keeps the caller's user.
Standard error is the server's log, open for appending. Exit status: the server's, or 128 + the signal that ended it.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Sequence

#: What ends the server, and how long each step may take: fast shutdown, immediate shutdown, then the kernel.
STOP_LADDER = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 60.0))
#: The log is bounded: beyond this size it moves to LOG_PATH.1, replacing the one before, and starts again.
LOG_LIMIT_BYTES = 16 * 1024 * 1024
LOG_CHECK_INTERVAL_S = 60.0

LIFELINE = 0
LOG = 2


def main(arguments: Sequence[str]) -> int:
    """Run the server named by the arguments until it ends or the lifeline does; returns the exit status."""
    log_path, uid, gid, *command = arguments
    wake = _wake_on_signals()
    server = _spawn(command, None if uid == "-" else (int(uid), int(gid)))
    watched = [LIFELINE, wake]
    ladder = iter(STOP_LADDER)
    next_step = float("inf")
    while True:
        ended, status = os.waitpid(server, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        timeout_s = min(LOG_CHECK_INTERVAL_S, max(0.0, next_step - time.monotonic()))
        readable, _, _ = select.select(watched, [], [], timeout_s)
        if wake in readable:
            os.read(wake, 4096)
        if LIFELINE in readable:
            watched.remove(LIFELINE)
            next_step = 0.0
        if time.monotonic() >= next_step:
            stop_signal, patience_s = next(ladder, STOP_LADDER[-1])
            os.kill(server, stop_signal)
            next_step = time.monotonic() + patience_s
        bound_log(LOG, log_path, LOG_LIMIT_BYTES)


def _wake_on_signals() -> int:
    """A descriptor that becomes readable on every signal. Terminal and service signals do nothing else: Exchange gets
    them too, and it alone decides when the server stops. Handlers, unlike SIG_IGN, are not inherited by the server."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda _number, _frame: None)
    return readable


def _spawn(command: Sequence[str], account: tuple[int, int] | None) -> int:
    """Start the server as a child with the account's (uid, gid) and nothing of the lifeline; returns its pid."""
    child = os.fork()
    if child:
        return child
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), LIFELINE)
        if account is not None:
            uid, gid = account
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        os.execv(command[0], list(command))
    except OSError as error:
        os.write(LOG, f"cannot run {command[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def bound_log(log: int, log_path: str, limit_bytes: int) -> None:
    """Move a log grown beyond limit_bytes to log_path.1. The server keeps its descriptor, so the content is copied and
    the file cut; lines written in between are lost. Room on the disk goes before keeping old lines."""
    if os.fstat(log).st_size <= limit_bytes:
        return
    try:
        with open(log_path + ".1", "wb") as previous:
            offset = 0
            while chunk := os.pread(log, 1 << 20, offset):
                offset += previous.write(chunk)
    except OSError as error:
        os.write(log, f"could not keep the old log as {log_path}.1: {error}\n".encode())
    finally:
        os.ftruncate(log, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
