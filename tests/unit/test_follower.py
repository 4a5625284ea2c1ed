"""A replica that was told something else than its engine makes of it answers no reads until it has begun anew."""

from typing import Any, cast

from exchange.cluster.channels import Channels
from exchange.cluster.follower import Follower
from exchange.cluster.messages import entries_message
from exchange.cluster.relay import Relay
from exchange.contracts import commands
from exchange.storage.journal import Entry


class Store:
    shard = 1
    tables: Any = None


class Told(Relay):
    """A relay whose messages the test speaks."""

    def say(self, message: bytes) -> None:
        self._listeners[Channels(1).entries](message)


async def test_what_does_not_fit_ends_reads_at_once() -> None:
    relay = Told("redis://nowhere")
    follower = Follower(cast(Any, Store()), relay)
    await relay.listen({Channels(1).entries: follower._take})
    follower.current, follower._reading = True, False
    command = commands.define_asset(1, "USD", 2)
    commands.stamp(command, 1, 1_000)
    relay.say(entries_message(1, [Entry(1, bytes(command), b"")]))  # it causes an event
    assert not follower.current
