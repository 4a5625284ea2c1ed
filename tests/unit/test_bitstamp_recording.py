"""A real recording, rebuilt by our own matching, against the venue's own snapshots of its book."""

import os
from pathlib import Path

import pytest

from exchange.simulation.bitstamp_tape import Gap, read_tape
from exchange.simulation.replay import Replay, ReplaySettings
from exchange.simulation.replay_report import ReplayReport
from tests.support.engines import ENGINES
from tests.support.replay_market import EngineMarket

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("EXCHANGE_DATA_DIR") or REPOSITORY.parent / "shared" / "data")
RECORDING = DATA / "orderflow" / "bitstamp_btcusd_l3_2015-05-01.log.xz"


@pytest.mark.skipif(not RECORDING.exists(), reason=f"the recording {RECORDING} is not there; set EXCHANGE_DATA_DIR")
@pytest.mark.parametrize("engine", ENGINES)
async def test_five_hours_of_recorded_orders_rebuild_the_venues_own_book(engine: str) -> None:
    market = EngineMarket(delays_seed=1, engine=engine)
    report = ReplayReport()
    settings = ReplaySettings("recording", in_flight=32, compare_every=1 if engine == "matching" else 20)
    await Replay(market.venue(), settings, report).run(read_tape(RECORDING))
    book = report.agreement
    assert (report.orders_acknowledged, report.rejections.total(), report.lost) == (24_925, 0, 0)
    assert (report.trades, report.venue_trades) == (549, 575)
    assert report.gaps[Gap.DELETED_UNSEEN] + report.gaps[Gap.DELETED_TWICE] == 208
    assert report.snapshots == 2853
    assert book.books == report.snapshots // settings.compare_every
    # Nearly always equal; what is left is listed in the reader's docstring. One at a time: 2,841 and 28,486.
    assert book.best_equal >= 0.995 * book.books
    assert book.levels_equal >= 0.998 * book.levels
