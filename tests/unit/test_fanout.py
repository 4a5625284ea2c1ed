"""Writes to many sockets by a thread of its own, on real sockets."""

import gc
import os
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.wire.fanout import Fanout


@pytest.fixture
def fanout() -> Iterator[Fanout]:
    fanout = Fanout()
    yield fanout
    fanout.close()


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(200)]
        for pair in made:
            for each in pair:
                stack.enter_context(each)
        yield made


def end(fanout: Fanout) -> list[tuple[int, int, int]]:
    assert select.select([fanout], [], [], 30)[0], "it has not ended"
    left, took_s = fanout.end()
    assert took_s >= 0
    return left


def test_every_socket_gets_the_bytes_of_its_job(
    fanout: Fanout, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    some, others = pairs[:150], pairs[150:]
    for text in (b"first", b"second" * 1_000):
        assert not fanout.under_way
        jobs = [(text, [ours.fileno() for ours, _ in some]), (text.upper(), [ours.fileno() for ours, _ in others])]
        fanout.begin(jobs)
        assert fanout.under_way
        assert end(fanout) == []
        assert all(theirs.recv(10_000) == text for _, theirs in some)
        assert all(theirs.recv(10_000) == text.upper() for _, theirs in others)


def test_who_has_no_room_gets_a_part_and_who_is_gone_nothing(
    fanout: Fanout, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    """What is told has arrived: the rest goes on where it was."""
    (ours, theirs), (deaf, gone), (well, reader) = pairs[:3]
    gone.close()
    text = bytes(range(256)) * 8_000
    fanout.begin([(b"so that there are two jobs", [well.fileno()]), (text, [ours.fileno(), deaf.fileno()])])
    (partly, nothing) = end(fanout)
    assert partly[:2] == (1, 0) and 0 < partly[2] < len(text)
    assert nothing == (1, 1, 0)
    assert reader.recv(100) == b"so that there are two jobs"
    received = b""
    while len(received) < partly[2]:
        received += theirs.recv(100_000)
    assert received == text[: partly[2]]
    fanout.begin([(text, [ours.fileno()]), (text, [1 << 20])])  # a file that there is not
    assert [place[:2] for place in end(fanout)] == [(0, 0), (1, 0)]


def test_whoever_helps_makes_writes_that_nobody_else_makes(
    fanout: Fanout, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    for number in range(50):
        text = b"%d" % number * 100
        fanout.begin([(text, [ours.fileno() for ours, _ in pairs])])
        while fanout.help():
            pass
        assert end(fanout) == []
        assert all(theirs.recv(10_000) == text for _, theirs in pairs)
    assert not fanout.help(), "nothing is under way"


def test_one_thing_at_a_time_and_nothing_after_the_end(
    fanout: Fanout, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    ours, theirs = pairs[0]
    with pytest.raises(RuntimeError, match="nothing was begun"):
        fanout.end()
    fanout.begin([(b"once", [ours.fileno()])])
    with pytest.raises(RuntimeError, match="has not ended"):
        fanout.begin([])
    fanout.close()
    assert fanout.end()[0] == [], "what was under way is told of after the end, too"
    assert theirs.recv(100) == b"once"
    with pytest.raises(RuntimeError, match="closed"):
        fanout.begin([])
    fanout.close()


@pytest.mark.parametrize("jobs", [[("text", [1])], [(b"", None)], [(b"", ["1"])], [(b"", [1 << 40])], None])
def test_what_is_no_job_is_refused_and_leaves_it_as_it_was(
    fanout: Fanout, pairs: list[tuple[socket.socket, socket.socket]], jobs: object
) -> None:
    with pytest.raises((TypeError, OverflowError)):
        fanout.begin(jobs)  # type: ignore[arg-type]
    ours, theirs = pairs[0]
    fanout.begin([(b"after", [ours.fileno()]), (b"", [ours.fileno()])])
    assert end(fanout) == []
    assert theirs.recv(100) == b"after"


def test_none_is_left_behind() -> None:
    """Neither threads nor files, whether it was closed or not."""
    threads, files = len(list(Path("/proc/self/task").iterdir())), len(os.listdir("/proc/self/fd"))
    for number in range(20):
        fanout = Fanout()
        if number % 2:
            fanout.close()
        del fanout
    gc.collect()
    assert len(list(Path("/proc/self/task").iterdir())) == threads
    assert len(os.listdir("/proc/self/fd")) == files


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others have no such class")
def test_the_thread_takes_only_what_nobody_else_wants() -> None:
    before = set(os.listdir("/proc/self/task"))
    fanout = Fanout()
    fanout.begin([])
    end(fanout)
    (thread,) = set(os.listdir("/proc/self/task")) - before
    assert os.sched_getscheduler(int(thread)) == os.SCHED_IDLE
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    fanout.close()
