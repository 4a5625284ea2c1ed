"""What is cancelled ends, even where the database driver answers the cancellation with an error of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from exchange.cluster.follower import Follower
from exchange.cluster.relay import Relay
from exchange.corridor.corridor import Corridor
from exchange.projections.runner import ProjectionRunner

ENDS_WITHIN_S = 30


class LosesItsConnection:
    """A call that is under way when it is cancelled, and then says that the connection was lost, as asyncpg may."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.calls = 0

    async def __call__(self, *_: object) -> Any:
        self.calls += 1
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("connection lost") from None


def runner(call: LosesItsConnection) -> Callable[[], Awaitable[Any]]:
    made = ProjectionRunner("postgresql:///nowhere", 1)
    made.advance = call  # type: ignore[method-assign,assignment]
    return made.run


def corridor(call: LosesItsConnection) -> Callable[[], Awaitable[Any]]:
    return Corridor(cast(Any, _Store(call)), cast(Any, None)).run


def follower(call: LosesItsConnection) -> Callable[[], Awaitable[Any]]:
    return Follower(cast(Any, _Store(call)), Relay("redis://nowhere")).run


class _Store:
    shard = 1
    tables: Any = None

    def __init__(self, call: LosesItsConnection) -> None:
        self.stand = call
        self.tables = self

    async def find_entry(self, account: int, client_order_id: str) -> None: ...


@pytest.mark.parametrize("part", [runner, corridor, follower])
async def test_a_cancelled_part_ends_whatever_its_connection_says(
    part: Callable[[LosesItsConnection], Callable[[], Awaitable[Any]]],
) -> None:
    call = LosesItsConnection()
    running = asyncio.ensure_future(part(call)())
    await call.begun.wait()
    running.cancel()
    done, _ = await asyncio.wait((running,), timeout=ENDS_WITHIN_S)
    running.cancel()
    assert done and running.cancelled()
    assert call.calls == 1, "it does not begin again"
