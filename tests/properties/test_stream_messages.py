"""Messages of a stream: those that are read in one look, and answered from bytes, are treated as all the others."""

import asyncio
import json
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.wire.frames import acknowledgement
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway.rate_limits import Budget
from exchange.gateway.streams import OPERATIONS, AtOnce, Connection
from exchange.gateway.subscriber import encode
from tests.support.stream_socket import FakeSocket, Subscriber

IDS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


class Note(msgspec.Struct, forbid_unknown_fields=True):
    op: str = ""
    id: int | str | None = None
    said: object = None


class SignedIn(Connection):
    """One whose client needs no account."""

    def principal(self, permission: object) -> Any: ...


def note(connection: Connection, message: Note) -> None:
    if message.said == "no":
        raise refuse(EdgeReason.FORBIDDEN, "no")
    if message.said == "broken":
        raise ZeroDivisionError
    connection.acknowledge(message, {"said": message.said})


async def told(*messages: bytes) -> list[dict[str, Any]]:
    """What a client is told that sends these."""
    socket = FakeSocket()
    subscriber, nothing = Subscriber(socket), cast(Any, None)
    connection = SignedIn(nothing, nothing, subscriber, "", {**OPERATIONS, "note": AtOnce(Note, note)})
    for message in messages:
        connection.take(message)
    subscriber.flush()
    for answer in socket.messages:
        answer.pop("timestamp_ns", None)
    return socket.messages


FIELDS = st.fixed_dictionaries(
    {},
    optional={"id": IDS | JSON, "said": JSON | st.sampled_from(("no", "broken")), "op": st.just("ping"), "more": JSON},
)


@given(
    st.sampled_from(("note", "ping", "nothing", 'n"', "")), FIELDS, st.sampled_from((b"", b"}", b"\xff", b" ")), JSON
)
def test_how_a_message_begins_does_not_matter(op: str, fields: dict[str, Any], end: bytes, other: Any) -> None:
    begun = '{"op":' + json.dumps(op) + "".join(f",{json.dumps(name)}:{json.dumps(it)}" for name, it in fields.items())
    message = begun.encode() + b"}" + end
    spaced = b"{ " + message[1:]
    asked = asyncio.run(told(message)), asyncio.run(told(spaced))
    for (answer,) in asked:  # a place in the text is one further on
        answer["detail"] = answer.get("detail", "").partition(" (byte ")[0]
    assert asked[0] == asked[1]


@given(
    IDS, st.sampled_from((b"place", b"replace", b"x" * 40)), st.sampled_from((200, 201)),
    st.dictionaries(st.text(), JSON) | st.sampled_from((10, 66, 67, 68, 69, 70, 65_476, 70_000)),
    st.integers(1, 10**6), st.floats(0, 2),
)  # fmt: skip
def test_an_acknowledgement_made_of_bytes_is_the_one_made_of_objects(
    identity: int | str | None, op: bytes, status: int, order: dict[str, Any] | int, per_s: int, full_s: float
) -> None:
    left = Budget(per_s, full_s, 0.0)
    result = {"x": "y" * order} if isinstance(order, int) else order
    whole = {
        "type": "ack", "id": identity, "op": op.decode(), "status": status, "result": result,
        "rate_limit": left.document(),
    }  # fmt: skip
    made = acknowledgement(msgspec.json.encode(identity), op, status, msgspec.json.encode(result), left.told())
    assert made == encode(whole)


@given(st.integers(65_300, 65_600))
def test_the_length_of_an_acknowledgement_is_written_as_any_other(size: int) -> None:
    left, result = Budget(1, 0.0, 0.0), {"x": "y" * size}
    whole = {"type": "ack", "id": 1, "op": "a", "status": 200, "result": result, "rate_limit": left.document()}
    assert acknowledgement(b"1", b"a", 200, msgspec.json.encode(result), left.told()) == encode(whole)


def test_an_operation_has_no_longer_name_than_there_is_room_for() -> None:
    with pytest.raises(ValueError, match="at most 40"):
        acknowledgement(b"1", b"x" * 41, 200, b"{}", (2, 2, 0))
    most = 2**63 - 1
    made = acknowledgement(b"1", b"x" * 40, -(2**31), b"{}", (-most, -most, -most))
    assert made.endswith(b'"rate_limit":{"limit":-%d,"remaining":-%d,"reset":-%d}}' % (most, most, most))
