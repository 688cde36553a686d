"""What-if on every golden log: nothing differs where nothing was changed; panes counted by hand."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from streamops import codec
from streamops.audit.replay import run_replay
from streamops.audit.whatif import Fold, what_if
from streamops.cli import main
from streamops.config import ModelConfig
from streamops.errors import EXIT_CONFIG
from streamops.events import AlertRaised, ConfigActivated, MetricEvaluated
from streamops.hosts.memory import MemoryHost, to_record
from streamops.views.archive import ArchiveLog
from tests.replay.golden import EXPECTED, GOLDEN
from tests.story import RULES, archive, make_counting, play

GOLDENS = sorted(path.parent for path in GOLDEN.parent.glob("*/raw"))
# Low, so that its half lies within the noise of calm panes: both gain and move.
PSI_LIMIT = 0.04
RULE = msgspec.structs.replace(RULES[0], above=PSI_LIMIT)
ACTIONS = ("alerts", "retraining", "deployments")


def configs(folder: Path) -> dict[str, ModelConfig]:
    """The configuration of each model; no golden log may have two of one."""
    log, found = ArchiveLog(folder), dict[str, ModelConfig]()
    for raw in log.read("lifecycle", 0):
        event = to_record(*raw[:6]).event
        if isinstance(event, ConfigActivated):
            assert found.setdefault(event.config.model, event.config) == event.config
    return found


@pytest.mark.parametrize("folder", GOLDENS, ids=lambda path: path.name)
def test_the_recorded_configuration_gives_what_was_recorded(folder):
    """Golden logs hold raw topics and, beside them, what follows: byte for byte the same."""
    fold = Fold(folder, configs(folder), make_counting)
    found = [out for out in fold.run() if out.topic in ACTIONS]
    for topic in ACTIONS:
        said = sorted(codec.conclusion(out.event) for out in found if out.topic == topic)
        lines = (EXPECTED / f"{topic}.ndjson").read_bytes().splitlines()
        assert Counter(said) == Counter(lines), topic
    assert fold.unanswered == 0
    again = run_replay(folder, make_detector=make_counting)
    assert [codec.conclusion(e) for e in again] == [codec.conclusion(o.event) for o in found]


@pytest.fixture(scope="module")
def host() -> MemoryHost:
    return play(panes=12, rules=(RULE,), detectors=())


@pytest.fixture(scope="module")
def folder(host: MemoryHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(host, tmp_path_factory.mktemp("archive"))


def crossings(host: MemoryHost, model: str, limit: float) -> dict[str, list[datetime]]:
    """When a feature's PSI went above a limit, counted from the panes with the rule's own words.

    An alert is raised in the first pane of a version above the limit, and again only after
    `resolve_after` panes in a row that aren't.
    """
    found: dict[str, list[datetime]] = {}
    for feature in ("x", "plan", ""):
        panes = sorted(
            (event.version, event.pane_start, value.value)
            for event in host.events("metrics")
            if isinstance(event, MetricEvaluated)
            and (event.model, event.segment, event.cut) == (model, "all", "closed")
            for value in event.metrics
            if (value.name, value.feature) == ("psi", feature) and value.n >= RULE.minimum
        )
        is_open, good, last = False, 0, ""
        for version, start, psi in panes:
            if version != last:
                is_open, good, last = False, 0, version
            good = 0 if psi > limit else good + 1
            if psi > limit and not is_open:
                is_open = True
                found.setdefault(feature, []).append(start)
            elif is_open and good >= RULE.resolve_after:
                is_open = False
    return found


def marks(host: MemoryHost, limit: float) -> set[tuple[str, datetime]]:
    return {
        (f"{model} {feature}", start)
        for model in ("calm",)
        for feature, starts in crossings(host, model, limit).items()
        if feature
        for start in starts
    }


def test_half_of_the_psi_limit_gives_the_table_that_the_panes_give(host, folder):
    halved = [
        msgspec.structs.replace(c, rules=(msgspec.structs.replace(RULE, above=PSI_LIMIT / 2),))
        for c in configs(folder).values()
        if c.model == "calm"  # of whom no version is replaced: the panes alone say what follows
    ]
    raised = {
        (f"{e.model} {e.feature}", e.pane_start)
        for e in host.events("alerts")
        if isinstance(e, AlertRaised) and e.model == "calm"
    }
    before, after = marks(host, PSI_LIMIT), marks(host, PSI_LIMIT / 2)
    assert raised == before, "the hand count is right about what was recorded"
    found = what_if(folder, halved, make_detector=make_counting).alerts
    assert (found.recorded, found.other) == (len(before), len(after))
    assert found.same == len(before & after)
    gone = {mark.at for mark in found.lost} | {move.recorded.at for move in found.moved}
    come = {mark.at for mark in found.gained} | {move.other.at for move in found.moved}
    assert gone == {at for _, at in before - after}
    assert come == {at for _, at in after - before}
    assert not found.regraded
    assert before != after


def test_when_would_says_only_when_it_would_have_been_known(folder, tmp_path, capsys):
    file = tmp_path / "strict.toml"
    file.write_text(
        '[[models]]\nmodel = "churn"\npane_s = 50\nhorizon_s = 200\nmaturity_s = 25\n'
        '[[models.rules]]\nname = "x drifts"\nkind = "data_drift"\nmetric = "psi"\nfeature = "*"\n'
        "above = 0.02\nminimum = 20\n"
    )
    where = ["--archive", str(folder)]
    asked = ["whatif", "--when-would", str(file), "--incident", "2026-05-01T00:00:00"]
    assert main([*asked, *where]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("as recorded, it would have been known ")
    assert lines[1].startswith("under this configuration, it would have been known at 2026-05-01")
    assert main([*asked[:3], *where]) == EXIT_CONFIG
    assert "--when-would needs --incident" in capsys.readouterr().err
    assert main(["whatif", *where]) == EXIT_CONFIG
    assert "needs one of" in capsys.readouterr().err
