"""Seeds of the simulation: EXCHANGE_SIMULATION_SEEDS says how many (300), EXCHANGE_SIMULATION_FIRST where to begin (1).

A seed that breaks a promise is printed as the command that runs it again, exactly.
"""

import os

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.world import simulate

FIRST = int(os.environ.get("EXCHANGE_SIMULATION_FIRST", "1"))
SEEDS = int(os.environ.get("EXCHANGE_SIMULATION_SEEDS", "300"))
CHUNK = 50
MUTANT_SEEDS_MAX = 400


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, CHUNK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    for seed in range(first, min(first + CHUNK, FIRST + SEEDS)):
        result = simulate(seed)
        assert not result.violations, f"python -m tests.simulation {seed} --trace\n" + "\n".join(result.violations)


def test_the_seeds_have_something_to_show() -> None:
    results = [simulate(seed) for seed in range(FIRST, FIRST + 20)]
    assert sum(result.faults for result in results) > 20
    assert sum(result.told for result in results) > 200
    assert sum(result.entries for result in results) > 300


def test_a_seed_is_the_same_run_again_to_the_last_step() -> None:
    for seed in range(FIRST, FIRST + 5):
        traces: list[list[str]] = [[], []]
        first, second = (simulate(seed, trace.append) for trace in traces)
        assert first == second
        assert traces[0] == traces[1]
        assert traces[0], "it tells what happens"


@pytest.mark.parametrize("wrong", MUTANTS)
def test_an_exchange_that_is_wrong_is_noticed(wrong: str) -> None:
    with MUTANTS[wrong]():
        for seed in range(FIRST, FIRST + MUTANT_SEEDS_MAX):
            result = simulate(seed)
            if result.violations:
                print(f"an exchange that {wrong}: seed {seed}: {result.violations[0]}")
                return
    raise AssertionError(f"{MUTANT_SEEDS_MAX} seeds did not notice an exchange that {wrong}")
