"""A user's detector: each law catches what breaks it, and the manual's example is sound."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import msgspec
import pytest

from streamops.bench import own_detector, own_figures
from streamops.bench.own_detector import STATE_BYTES_MAX, laws
from streamops.cli import main
from streamops.errors import ConfigError
from streamops.training.own_detectors import checked

PAGE = Path(__file__).parents[2] / "docs/how-to/check-a-detector.md"
EXAMPLE = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]


class State(msgspec.Struct):
    seen: int = 0
    run: int = 0


class Runs:
    """Alarms at six errors in a row: sound, if dull."""

    def initial(self):
        return State()

    def step(self, state, error):
        run = state.run + 1 if error else 0
        return (State(), run) if run == 6 else (State(state.seen + 1, run), 0)


class Random(Runs):
    chance = itertools.count()

    def step(self, state, error):
        after, age = super().step(state, error)
        return after, age or (next(self.chance) % 97 == 0 and 1) or 0


class InPlace(Runs):
    def step(self, state, error):
        state.run = state.run + 1 if error else 0
        return state, 0


class Hidden(Runs):
    """Keeps its run in itself, not in the state."""

    run = 0

    def step(self, state, error):
        self.run = self.run + 1 if error else 0
        return State(state.seen + 1), 0 if self.run % 6 or not self.run else 1


class Forgets(Runs):
    """A field that its bytes don't hold."""

    class State(msgspec.Struct, omit_defaults=True):
        seen: int = 0
        run: float = 0.0

        def __post_init__(self):
            self.run = 0.0

    def initial(self):
        return self.State()

    def step(self, state, error):
        after = self.State(state.seen + 1)
        after.run = state.run + 1.0 if error else 0.0
        return (self.State(), 6) if after.run == 6.0 else (after, 0)


class Grows(Runs):
    def initial(self):
        return []

    def step(self, state, error):
        return [*state, error, "x" * 8] if len(state) < STATE_BYTES_MAX else state, 0


class TooOld(Runs):
    def step(self, state, error):
        after, age = super().step(state, error)
        return after, age and 10_000


class Raises(Runs):
    def step(self, state, error):
        raise ZeroDivisionError("oh")


def broken(make):
    return {law.name for law in laws(make) if not law.holds}


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (Runs, set()),
        (Random, {"determinism"}),
        (InPlace, {"state"}),
        (Hidden, {"bytes", "split"}),
        (Forgets, {"bytes"}),
        (TooOld, {"alarms"}),
        (Raises, {"alarms", "determinism", "state", "bytes", "replay", "split", "size"}),
    ],
)
def test_each_law_catches_what_breaks_it(monkeypatch, make, named):
    monkeypatch.setattr(own_detector, "OUTCOMES", 400)
    monkeypatch.setattr(own_detector, "CUTS", (1, 2, 50, 101, 300))
    found = broken(make)
    assert named <= found
    assert bool(found) == bool(named)


def test_a_state_that_grows_is_too_big(monkeypatch):
    monkeypatch.setattr(own_detector, "OUTCOMES", 400)
    monkeypatch.setattr(own_detector, "STATE_BYTES_MAX", 1000)
    law = own_detector._bounded(Grows, [0.0, 1.0] * 40)
    assert "bytes after 400 outcomes; 1,000 at most" in law


@pytest.mark.parametrize("make", [lambda: 3, lambda: 1 / 0, dict])
def test_what_makes_no_detector_is_refused(make):
    with pytest.raises(ConfigError, match="detector"):
        checked(make)


def test_the_manuals_example_holds_every_law_and_is_measured(tmp_path, monkeypatch, capsys):
    (tmp_path / "cusum.py").write_text(EXAMPLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # A fortieth of what is measured by default.
    monkeypatch.setattr(own_figures, "RATES", ((0.2, 0.0),))
    monkeypatch.setattr(own_figures, "CHANGES", ((0.1, 0.3),))
    monkeypatch.setattr(own_detector, "HASH_SEEDS", ("2",))
    arguments = ["detector", "check", "cusum:make", "--streams", "1", "--runs", "1"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [law["holds"] for law in found["laws"]] == [True] * 8
    assert found["laws"][-1]["name"] == "processes"
    (false,) = found["figures"]["false_alarms"]
    assert false["per_100k"] < false["upper95"]
    (delay,) = found["figures"]["delays"]
    assert (delay["before"], delay["after"], delay["found"]) == (0.1, 0.3, 1.0)
    assert 0 < delay["median"] < 2000


def test_a_broken_law_ends_in_a_failure_and_without_figures(tmp_path, monkeypatch, capsys):
    (tmp_path / "rolls.py").write_text(
        "class Rolls:\n    seen = 0\n    def initial(self):\n        return 0\n"
        "    def step(self, state, error):\n        Rolls.seen += 1\n"
        "        return state + 1, int(Rolls.seen % 7 == 0)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(own_detector, "HASH_SEEDS", ())
    assert main(["detector", "check", "rolls:Rolls"]) == 1
    shown = capsys.readouterr()
    assert re.search(r"determinism +NO", shown.out)
    assert "laws don't hold" in shown.err
    assert "alarms in 100,000" not in shown.out
    assert main(["detector", "check", "nosuch:make"]) == 2
