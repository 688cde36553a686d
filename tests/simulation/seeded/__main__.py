"""Play seeds: `python -m tests.simulation.seeded --seeds 10000`, or one again: `--seed 4711`.

Prints one JSON line; what failed, and the command that repeats it, go to stderr.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext

from tests.simulation.seeded.check import Result, check
from tests.simulation.seeded.plants import PLANTS
from tests.simulation.seeded.troubles import Troubles

COMMAND = "python -m tests.simulation.seeded"
SHOWN = 5


def main(argv: Sequence[str]) -> int:
    """Play the seeds that are asked for; return 1 where one failed."""
    asked = _parser().parse_args(argv)
    seeds = range(asked.first, asked.first + asked.seeds)
    if asked.seed is not None:
        seeds = range(asked.seed, asked.seed + 1)
    bug = PLANTS[asked.plant].planted() if asked.plant else nullcontext()
    with bug:
        summary = _play(seeds, asked.plant, asked.stop)
    print(json.dumps(summary))
    return 1 if summary["failures"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Simulate the loop on bad days.")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (default 10000)")
    parser.add_argument("--first", type=int, default=0, help="the first one (default 0)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="with this bug planted")
    parser.add_argument("--stop", action="store_true", help="stop at the first failure")
    return parser


def _play(seeds: range, plant: str | None, stop: bool) -> dict[str, float]:
    began, began_cpu = time.monotonic(), time.process_time()
    played, failures, total = 0, 0, Troubles()
    for seed in seeds:
        result = check(seed)
        played += 1
        total.add(result.troubles)
        if result.wrong:
            failures += 1
            _report(result, plant)
            if stop:
                break
    return {
        "seeds": played,
        "failures": failures,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(time.process_time() - began_cpu, 1),
        **total.counts(),
    }


def _report(result: Result, plant: str | None) -> None:
    again = f"{COMMAND} --seed {result.seed}" + (f" --plant {plant}" if plant else "")
    print(f"seed {result.seed} failed; again: {again}", file=sys.stderr)
    for line in result.wrong[:SHOWN]:
        print(f"  {line}", file=sys.stderr)
    if len(result.wrong) > SHOWN:
        print(f"  and {len(result.wrong) - SHOWN} more", file=sys.stderr)


if __name__ == "__main__":
    # As the Kafka host does: most of what lives at this point lives to the end.
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
    sys.exit(main(sys.argv[1:]))
