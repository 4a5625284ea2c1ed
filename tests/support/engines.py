"""Both engines behind one type, imported when a test asks for them."""

from importlib import import_module
from typing import Any, Protocol, Self, cast

Levels = list[tuple[int, int, int]]  # (price_ticks, visible_lots, orders), best to worst


class Shard(Protocol):
    """What both engines offer. `Any`: the named tuples LiveOrder and MarketState of `engine.records`."""

    @property
    def sequence(self) -> int: ...

    @property
    def trades(self) -> int: ...

    @property
    def open_orders(self) -> int: ...

    @property
    def next_due_ns(self) -> int | None: ...

    def apply(self, commands: bytes) -> bytes: ...

    def digest(self) -> int: ...

    def snapshot(self) -> bytes: ...

    @classmethod
    def restore(cls, data: bytes) -> Self: ...

    def balance(self, account: int, asset: int) -> tuple[int, int]: ...

    def balances(self) -> dict[tuple[int, int], tuple[int, int]]: ...

    def fee_shares(self, account: int) -> tuple[int, int]: ...

    def cancel_after(self, account: int) -> int: ...

    def definitions(self) -> list[bytes]: ...

    def book(self, market: int) -> list[tuple[int, int, int, int, int, int]]: ...

    def order(self, order_id: int) -> Any: ...

    def orders(self, account: int = 0, market: int = 0) -> list[Any]: ...

    def depth(self, market: int, levels: int = 0) -> tuple[Levels, Levels]: ...

    def state(self, market: int) -> Any: ...

    def indicative(self, market: int) -> tuple[int, int, int, int]: ...

    def checksum(self, market: int, levels: int = 10) -> int: ...


class EngineModule(Protocol):
    """`engine.reference` and `engine.matching`."""

    Shard: type[Shard]
    SequenceError: type[Exception]
    SnapshotError: type[Exception]


ENGINES = ("reference", "matching")


def load_engine(name: str) -> EngineModule:
    """The module of an engine in ENGINES."""
    return cast(EngineModule, import_module(f"engine.{name}"))
