"""Both engines behind one type, imported when a test asks for them."""

from importlib import import_module
from typing import Protocol, Self, cast


class Shard(Protocol):
    """What both engines offer."""

    @property
    def sequence(self) -> int: ...

    @property
    def trades(self) -> int: ...

    def apply(self, commands: bytes) -> bytes: ...

    def digest(self) -> int: ...

    def snapshot(self) -> bytes: ...

    @classmethod
    def restore(cls, data: bytes) -> Self: ...

    def balance(self, account: int, asset: int) -> tuple[int, int]: ...

    def book(self, market: int) -> list[tuple[int, int, int, int, int, int]]: ...


class EngineModule(Protocol):
    """`engine.reference` and `engine.matching`."""

    Shard: type[Shard]
    SequenceError: type[Exception]
    SnapshotError: type[Exception]


ENGINES = ("reference", "matching")


def load_engine(name: str) -> EngineModule:
    """The module of an engine in ENGINES."""
    return cast(EngineModule, import_module(f"engine.{name}"))
