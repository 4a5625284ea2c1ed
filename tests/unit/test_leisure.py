"""What a process has to spare: what it neither ran nor waited for a CPU."""

import sys
import time

import pytest

from exchange.gateway import leisure
from exchange.gateway.leisure import LOOK_EVERY_S, Leisure, wanted_s


class Machine:
    def __init__(self) -> None:
        self.now_s, self.wanted_s = 100.0, 7.0

    def leisure(self) -> Leisure:
        return Leisure(lambda: self.now_s, lambda: self.wanted_s)


def test_what_is_spare_is_what_nobody_wanted_but_for_the_work_that_asks() -> None:
    machine = Machine()
    spare = machine.leisure()
    assert spare.spare() == 0.0, "nothing is known yet"
    machine.now_s, machine.wanted_s = 101.0, 7.6
    spare.take(0.1)
    assert spare.spare() == pytest.approx(0.5)
    machine.now_s, machine.wanted_s = 101.0 + LOOK_EVERY_S / 2, 8.0
    assert spare.spare() == pytest.approx(0.5), "not looked at again yet"
    machine.now_s, machine.wanted_s = 102.0, 9.5
    assert spare.spare() == 0.0, "more was wanted than there was"
    machine.now_s = 103.0
    spare.take(0.3)
    assert spare.spare() == 1.0


def test_where_the_system_does_not_count_nothing_is_spare(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(leisure, "_SCHEDSTAT", type(leisure._SCHEDSTAT)(f"{tmp_path}/none"))
    assert wanted_s() is None
    now = 0.0
    spare = Leisure(lambda: now)
    now = 1.0
    assert spare.spare() == 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts")
def test_linux_counts() -> None:
    before = wanted_s()
    assert before is not None
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    after = wanted_s()
    assert after is not None and after - before >= 0.04
