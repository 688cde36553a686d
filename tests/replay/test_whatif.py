"""What-if on every golden log: nothing differs where nothing was changed; panes counted by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from streamops import codec
from streamops.audit.namespace import namespace_of
from streamops.audit.recorded import RecordedHost
from streamops.audit.replay import run_replay
from streamops.audit.whatif import MEASURED, RECORDED, Fold, what_if
from streamops.cli import main
from streamops.config import DRIFT_METRICS, ModelConfig, RetrainPolicy
from streamops.core.processor import Record
from streamops.errors import EXIT_CONFIG
from streamops.events import (
    AlertRaised,
    ConfigActivated,
    DriftDetected,
    Event,
    MetricEvaluated,
    PaneSummarized,
)
from streamops.hosts.decoding import to_record
from streamops.hosts.memory import MemoryHost
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


# From recorded summaries and metrics -------------------------------------------------------------


def told(folder: Path, given: dict[str, ModelConfig], *, raw: bool) -> tuple[str, list[Any]]:
    """What was folded, and all that MONITOR and CONTROLLER conclude, or CONTROLLER is given."""
    fold = Fold(folder, given, make_counting, raw=raw)
    taken = list[tuple[str, Event]]()
    if isinstance(fold._host, RecordedHost):
        wiring = fold._host._wiring
        feed = wiring.feed

        def tee(records: Iterable[Record]) -> list[Any]:
            held = list(records)
            taken.extend((r.topic, r.event) for r in held if r.topic == "metrics")  # type: ignore[misc]
            return feed(held)

        wiring.feed = tee  # type: ignore[method-assign]
    concluded = [(out.topic, out.event) for out in fold.run()]
    found = [
        (topic, codec.conclusion(event))
        for topic, event in (*concluded, *taken)
        if topic not in ("outcomes", "summaries")
        and getattr(event, "topic", "") not in ("predictions", "labels")
        and not isinstance(event, DriftDetected)
        and not getattr(event, "source", "").startswith("detect/")
    ]
    return fold.folded, sorted(found)


def every(given: dict[str, ModelConfig], **changes: Any) -> dict[str, ModelConfig]:
    return {model: replace(config, **changes) for model, config in given.items()}


def with_limits(given: dict[str, ModelConfig], factor: float) -> dict[str, ModelConfig]:
    """Every limit of a distance moved."""
    return {
        model: replace(
            config,
            rules=tuple(
                replace(rule, above=rule.above * factor) if rule.above else rule
                for rule in config.rules
            ),
        )
        for model, config in given.items()
    }


def without_tests(given: dict[str, ModelConfig]) -> dict[str, ModelConfig]:
    """The rules that ask for no drift test."""
    return {
        model: replace(
            config, rules=tuple(r for r in config.rules if r.metric not in DRIFT_METRICS)
        )
        for model, config in given.items()
    }


Configs = dict[str, ModelConfig]
# What is changed, and what serves then.
CHANGES: dict[str, tuple[Callable[[Configs], Configs], str]] = {
    "as recorded": (lambda given: given, MEASURED),
    "limits": (lambda given: with_limits(given, 0.1), MEASURED),
    "one model's limits": (
        lambda given: with_limits({max(given): given[max(given)]}, 0.1),
        MEASURED,
    ),
    "policy": (
        lambda given: every(
            given, retrain=RetrainPolicy(every_panes=2, cooldown_panes=0, min_labels=1)
        ),
        MEASURED,
    ),
    "tests": (without_tests, RECORDED),
    "budget": (lambda given: every(given, false_alarms_per_month=500.0), RECORDED),
    "coverage": (lambda given: every(given, min_coverage=0.99), RECORDED),
    "one more detector": (
        lambda given: every(given, detectors=("adwin", "page_hinkley")),
        MEASURED,
    ),
    "detectors": (lambda given: every(given, detectors=("adwin", "sr_mixture")), RECORDED),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with drift tests and a detector, archived whole."""
    return archive(play(panes=9, every_s=2), tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module", params=GOLDENS, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A golden log with all that follows from it, in files as the archiver writes them."""
    log = ArchiveLog(request.param)
    host = MemoryHost(
        partitions=namespace_of(request.param).partitions, make_detector=make_counting
    )
    for topic in ("predictions", "labels", "lifecycle"):
        for partition in log.partitions(topic):
            rows = [to_record(*raw[:6]) for raw in log.read(topic, partition)]
            host.log[topic, partition] = rows
    host.run()
    return archive(host, tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_recorded_tells_what_raw_records_tell(whole, change):
    alter, serves = CHANGES[change]
    given = alter(configs(whole))
    folded, found = told(whole, given, raw=False)
    assert folded == serves
    assert found == told(whole, given, raw=True)[1]


@pytest.mark.parametrize("change", ["as recorded", "limits", "coverage"])
def test_what_golden_logs_recorded_tells_what_raw_records_tell(golden, change):
    alter, serves = CHANGES[change]
    given = alter(configs(golden))
    folded, found = told(golden, given, raw=False)
    assert folded == serves
    assert found == told(golden, given, raw=True)[1]
    if change == "as recorded":
        compared = what_if(golden, given.values(), make_detector=make_counting)
        assert compared.alerts.is_none
        assert compared.retrains.is_none


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"pane_s": 100}, "pane_s of"),
        ({"segments": {}}, "segments of"),
        ({"maturity_s": 0}, "maturity_s of"),
    ],
)
def test_what_meter_counts_by_is_folded_from_raw_records(whole, change, why):
    given = every(configs(whole), **change)
    folded, found = told(whole, given, raw=False)
    assert folded.startswith(f"raw records: {why}")
    assert found


def test_an_archive_of_raw_topics_is_folded_from_them():
    folder = GOLDENS[0]
    assert "doesn't hold summaries-0" in Fold(folder, configs(folder), make_counting).folded


def altered(event: Event) -> Event:
    """With one prediction more, or in a pane that can't be told from any other."""
    if isinstance(event, PaneSummarized):
        return replace(event, predictions=event.predictions + 1)
    return replace(event, status="coverage")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("topic", "kind", "coverage", "source"),
    [
        # A coverage that changes nothing, but MONITOR has to look.
        ("summaries", PaneSummarized, 1e-9, "meter/"),
        ("metrics", MetricEvaluated, None, "monitor/"),
    ],
)
def test_records_that_their_closes_do_not_confirm_are_not_folded(
    tmp_path, topic, kind, coverage, source
):
    """One that was altered: the raw records are folded in their place."""
    host = play(panes=9, every_s=2)
    rows = host.log[topic, 1]
    at = next(n for n, r in enumerate(rows) if n > 50 and isinstance(r.event, kind))
    rows[at] = rows[at]._replace(value=codec.encode(altered(rows[at].event)))
    folder = archive(host, tmp_path / "altered")
    given = configs(folder)
    if coverage is not None:
        given = every(given, min_coverage=coverage)
    found = what_if(folder, given.values(), make_detector=make_counting)
    assert found.folded.startswith(f"raw records: {topic} lack what {source}")
    assert found.alerts.is_none
