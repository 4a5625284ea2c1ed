"""A network namespace of one's own with a cable to it that can be pulled: for processes that are to be cut off."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Cable:
    """Two ends, ``here`` and ``there`` in the namespace, each with an address. Pulled, it swallows what is sent."""

    def __init__(self, name: str, namespace: str, network: str) -> None:
        self._end = f"{name}h"
        self.here, self.there = f"{network}.1", f"{network}.2"
        _ip("link", "add", self._end, "type", "veth", "peer", "name", f"{name}t")
        _ip("link", "set", f"{name}t", "netns", namespace)
        _ip("addr", "add", f"{self.here}/30", "dev", self._end)
        _ip("-n", namespace, "addr", "add", f"{self.there}/30", "dev", f"{name}t")
        _ip("-n", namespace, "link", "set", f"{name}t", "up")
        self.plug()

    def pull(self) -> None:
        """Nobody is told: what is under way is neither answered nor refused."""
        _ip("link", "set", self._end, "down")

    def plug(self) -> None:
        _ip("link", "set", self._end, "up")


class Namespace:
    """A namespace with two cables: one for clients, one for what stands behind."""

    def __init__(self, number: int) -> None:
        self.name = f"exchange-{os.getpid()}-{number}"
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        mark = f"x{os.getpid() % 100_000:05d}{number}"
        block = 4 * (os.getpid() % 60)
        self.front = Cable(f"{mark}f", self.name, f"10.213.{block}")
        self.back = Cable(f"{mark}b", self.name, f"10.213.{block + 1}")

    def inside(self, arguments: Sequence[str]) -> list[str]:
        """The command that runs another one in here."""
        return ["ip", "netns", "exec", self.name, *arguments]


@contextmanager
def namespace(number: int = 0) -> Iterator[Namespace]:
    """Needs root. The cables go with the namespace."""
    made = Namespace(number)
    try:
        yield made
    finally:
        _ip("netns", "del", made.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
