"""Every scenario file, run against both engines. The language is described in `tests/support/scenario.py`."""

from pathlib import Path

import pytest

from engine.records import Reason
from tests.support.engines import ENGINES, load_engine
from tests.support.scenario import run_scenario

SCENARIOS = sorted(Path(__file__).parent.glob("*.txt"))

# The reasons below 1050 arise at the edge only. Of the others named here the last takes a thousand orders, which a test
# of its own places; the rest belong to features above the engine.
ENGINE_REASONS = {reason for reason in Reason if reason >= Reason.UNKNOWN_KIND} - {
    Reason.CLIENT_ORDER_ID_REUSED,
    Reason.FAUCET_LIMIT,
    Reason.ORDER_ENDED,
    Reason.TRAILING_ORDERS_FULL,
}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_engine_answers_as_the_scenario_says(engine: str, path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text()
    answered = run_scenario(text, load_engine(engine).Shard)
    if engine == "reference" and request.config.getoption("--rewrite", default=False):
        path.write_text(answered)
        return
    assert answered == text


def test_the_scenarios_show_every_reason_that_the_engine_gives() -> None:
    shown = {word for path in SCENARIOS for word in path.read_text().split()}
    missing = {reason.name for reason in ENGINE_REASONS} - shown
    assert not missing
