"""Simulation: the product's folds and hosts on a simulated Kafka, and the bugs it must find.

A failure prints the command that repeats it. `STREAMOPS_SEEDS=0:10000 pytest` plays more of them.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import pytest

from streamops.hosts.memory import Place
from tests.simulation.seeded.__main__ import COMMAND, main
from tests.simulation.seeded.check import check
from tests.simulation.seeded.cluster import Cluster
from tests.simulation.seeded.member import INSTANCES
from tests.simulation.seeded.plants import PLANTS
from tests.simulation.seeded.raw_log import raw_log
from tests.simulation.seeded.troubles import Troubles
from tests.simulation.seeded.truth import truth

CHUNK = 100
CAUGHT_WITHIN = 1000


def chunks() -> list[range]:
    first, _, last = os.environ.get("STREAMOPS_SEEDS", "0:600").partition(":")
    end = int(last or int(first) + 1)
    return [range(at, min(at + CHUNK, end)) for at in range(int(first), end, CHUNK)]


@pytest.mark.parametrize("seeds", chunks(), ids=lambda s: f"{s.start}-{s.stop - 1}")
def test_a_bad_day_concludes_what_its_records_come_to(seeds):
    results = [check(seed) for seed in seeds]
    failed = {f"{COMMAND} --seed {r.seed}": r.wrong[:3] for r in results if r.wrong}
    assert failed == {}


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_planted_bug_is_caught(name):
    with PLANTS[name].planted():
        caught = next((seed for seed in range(CAUGHT_WITHIN) if check(seed).wrong), None)
    assert caught is not None
    assert check(caught).wrong == []


@pytest.mark.parametrize("seed", range(4))
def test_a_seed_repeats_itself_to_the_last_byte(seed, tmp_path):
    assert played(seed, tmp_path / "once") == played(seed, tmp_path / "again")


def played(seed: int, folder: Path) -> dict[Place, list[bytes]]:
    """Every value on a bad day's log."""
    for instance in range(INSTANCES):
        (folder / str(instance) / "state").mkdir(parents=True)
    cluster = Cluster(raw_log(seed), seed, folder, Troubles())
    cluster.run()
    return {place: [record.value for record in rows] for place, rows in cluster.log.rows.items()}


def test_days_are_bad():
    """Most seeds have crashes, moves and zombies; else the simulation shows little."""
    total = Troubles()
    for seed in range(50):
        total.add(check(seed).troubles)
    assert min(total.counts().values()) > 10


def test_records_are_of_every_kind():
    """Joined, corrected, repeated, late and refused ones; else the truth counts little."""
    counts = [truth(raw_log(seed)) for seed in range(50)]
    counted = {what for c in counts for (_, _, _, what), n in c.panes.items() if n}
    assert counted == {"predictions", "labelled", "duplicates", "corrections"}
    assert {what for c in counts for (_, what), n in c.sums.items() if n} == {"late", "repeats"}
    assert sum(c.refused.total() for c in counts) > 50
    marks = {(after, late) for c in counts for _, _, after, late in c.outcomes}
    assert marks == set(product((False, True), repeat=2))


def test_a_failing_seed_prints_the_command_that_repeats_it(capsys):
    assert main(["--seeds", "100", "--plant", "unsorted", "--stop"]) == 1
    printed = capsys.readouterr()
    command = printed.err.splitlines()[0].partition("again: ")[2]
    assert command.startswith(f"{COMMAND} --seed ")
    assert main(command.removeprefix(COMMAND).split()) == 1
    assert capsys.readouterr().err == printed.err


def test_a_clean_run_prints_one_line(capsys):
    assert main(["--seeds", "3"]) == 0
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, "")
    assert out.startswith('{"seeds": 3, "failures": 0, "seconds": ')
