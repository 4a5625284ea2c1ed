"""Child processes that never outlive their parent, however it ends."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

LIFELINE_ENV = "EXCHANGE_LIFELINE"


def start_child(arguments: Sequence[str], environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start `exchange ARGUMENTS` with its standard input tied to this process: when it closes, the child ends itself.

    The child is in a session of its own, so that Ctrl-C reaches it through its parent, in the parent's order.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "exchange.cli.main", *arguments],
        stdin=subprocess.PIPE,
        env={**os.environ, **environ, LIFELINE_ENV: "stdin"},
        start_new_session=True,
    )


def stop_child(child: "subprocess.Popen[bytes]", timeout_s: float = 5) -> None:
    """End a child: ask, wait, insist."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def follow_parent() -> None:
    """In a child: interrupt this process when the parent closes the lifeline or dies.

    Does nothing in any other process.
    """
    if os.environ.pop(LIFELINE_ENV, None) != "stdin":
        return

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
