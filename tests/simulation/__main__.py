"""python -m tests.simulation SEED [--trace]: one run again. --seeds N: that many from SEED on."""

import argparse
import sys
import time
import warnings

from tests.simulation.world import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Replay a seed of the simulation.")
    parser.add_argument("seed", type=int)
    parser.add_argument("--seeds", type=int, default=1, help="how many, from SEED on")
    parser.add_argument("--trace", action="store_true", help="tell everything that happens")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)  # of coroutines that died with their process
    began, bad, entries = time.monotonic(), 0, 0
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        result = simulate(seed, print if arguments.trace else None)
        entries += result.entries
        if result.violations:
            bad += 1
            print(f"seed {seed}: python -m tests.simulation {seed} --trace")
            print("".join(f"  {violation}\n" for violation in result.violations[:10]), end="")
        elif arguments.seeds == 1:
            print(result)
    print(f"{arguments.seeds} seeds, {bad} bad, {entries} entries, {time.monotonic() - began:.1f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
