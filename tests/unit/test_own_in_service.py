"""A user's detector in service: the log names its source, it fails without harm, it is proven."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from streamops import codec
from streamops.audit.replay import run_replay
from streamops.audit.verify import verify
from streamops.audit.whatif import what_if
from streamops.config import check_config
from streamops.core.detect import Bank
from streamops.errors import ConfigError
from streamops.events import AlertRaised, ConfigActivated, DriftDetected
from streamops.hosts.bank import dump_bank, load_bank
from streamops.operate.init import read_config
from streamops.training import own_detectors
from streamops.training.detectors import make_audited, make_detector
from streamops.training.own_detectors import ServedDetector, code_of, with_code
from tests.builders import config
from tests.story import RULES, archive, play

PAGES = Path(__file__).parents[2] / "docs/how-to"
CUSUM = re.search(r"```python\n(.*?)```", (PAGES / "check-a-detector.md").read_text(), re.DOTALL)[1]
TOML = re.search(r"```toml\n(.*?)```", (PAGES / "run-your-detector.md").read_text(), re.DOTALL)[1]
NAME = "cusum:make"

ODD = """
class Odd:
    def initial(self):
        return [0]
    def step(self, state, error):
        n = state[0] + 1
        if error == 2: raise ValueError(f"two at {object()}, \\ud800")
        if error == 3: return [object()], 0
        if error == 4: return ["x" * 70_000], 0
        if error == 5: return [n], -1
        if error == 6: raise SystemExit(3)
        state[0] = 99
        return [n], n if error == 1 else 0
def none(): pass
def fails(): raise SystemExit(1)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder that modules are found in, with `odd.py`."""
    monkeypatch.chdir(tmp_path)
    own_detectors.loaded.cache_clear()
    (tmp_path / "odd.py").write_text(ODD)
    yield tmp_path
    forget()


def forget():
    for name in ("odd", "cusum", "slow", "pack"):
        sys.modules.pop(name, None)


def odd(name="odd:Odd"):
    return ServedDetector(f"{name}@{code_of(name)}")


def test_an_alarm_is_a_drift_with_its_age_and_the_source_in_its_platform(here):
    detector = odd()
    assert [detector.update(error) for error in (0, 0, 1, 0)] == ["none", "none", "drift", "none"]
    assert detector.since_back == 3
    code = hashlib.sha256(ODD.encode()).hexdigest()
    assert detector.platform.startswith(f"odd:Odd {code[:12]}, ")
    assert "begun" not in detector.platform


def test_its_state_is_its_bytes_so_that_a_restart_anywhere_changes_nothing(here, tmp_path):
    errors = [0, 0, 1, 2, *[0] * 1000, 0, 1, 1]
    whole, parted = odd(), Bank(make_detector)
    full = f"odd:Odd@{code_of('odd:Odd')}"
    for error in errors:
        signed = dump_bank(parted, tmp_path / "key")
        parted = Bank(make_detector)
        load_bank(parted, signed, tmp_path / "key")
        said = parted.get("m", full)
        assert said.update(error) == whole.update(error)
        assert (said.since_back, said.reason) == (whole.since_back, whole.reason)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (2, "ValueError: two at <object object at 0x>, ?"),
        (3, "TypeError: Encoding objects of type object is unsupported"),
        (4, "ValueError: its state takes 70,006 bytes; 65,536 at most"),
        (5, "ValueError: step returned -1, which is no count of outcomes"),
        (6, "SystemExit: 3"),
    ],
)
def test_what_it_raises_is_said_once_and_it_rests_then_begins_anew(here, error, reason):
    detector = odd()
    detector.update(0)
    assert (detector.update(error), detector.reason) == ("failed", reason)
    assert [detector.update(error) for _ in range(1000)] == ["none"] * 1000
    assert (detector.update(1), detector.since_back, detector.reason) == ("drift", 1, "")
    assert "begun" not in detector.platform


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere:make", "isn't found here"),
        ("no.where:make", "isn't found here"),
        ("os:abort", "a module of Python itself"),
        ("odd:none", "has no initial()"),
        ("odd:nothing", "can't be made"),
        ("odd:fails", "can't be made (SystemExit: 1)"),
        ("broken:make", "module broken can't be loaded (SyntaxError"),
        ("pack.inner:make", "can't be loaded (ZeroDivisionError"),
    ],
)
def test_what_makes_no_detector_is_refused_where_it_is_applied(here, name, why):
    (here / "broken.py").write_text("def")
    (here / "pack").mkdir()
    (here / "pack/__init__.py").write_text("1 / 0")
    (here / "pack/inner.py").write_text(ODD)
    with pytest.raises(ConfigError, match=re.escape(why)):
        with_code(msgspec.structs.replace(config(), detectors=(name,)))


def test_a_source_that_is_not_there_fails_without_harm_and_is_told_of_ever_after(here):
    code = code_of("odd:Odd")
    (here / "odd.py").rename(here / "away.py")
    detector, audited = ServedDetector(f"odd:Odd@{code}"), make_audited(f"odd:Odd@{code}")
    assert (detector.update(0), audited.update(0)) == ("failed", "none")
    assert "isn't found here" in detector.reason
    (here / "away.py").rename(here / "odd.py")
    assert {detector.update(0) for _ in range(1000)} == {"none"}
    assert (detector.update(1), detector.since_back) == ("drift", 1)
    assert detector.platform.endswith(", begun anew after its outcome 1")


def test_another_source_than_the_configuration_names_is_not_run(here):
    code = code_of("odd:Odd")
    (here / "odd.py").write_text(ODD + "1 / 0\n")
    detector = ServedDetector(f"odd:Odd@{code}")
    assert detector.update(0) == "failed"
    assert re.search(r"the code of detector odd:Odd differs.*apply", detector.reason)


def test_a_worker_that_lives_through_an_edit_runs_each_source_as_it_was_applied(here):
    before, old = odd(), code_of("odd:Odd")
    before.update(0)
    (here / "odd.py").write_text(ODD.replace("n if error == 1", "7 if error == 1"))
    assert code_of("odd:Odd") != old
    after = odd()
    assert [d.update(1) and d.since_back for d in (before, after)] == [2, 7]


@pytest.mark.parametrize(
    "fields",
    [
        {"detectors": (NAME,)},
        {"detectors": (NAME,), "detector_code": {NAME: "ab"}},
        {"detectors": ("adwin",), "detector_code": {NAME: "0" * 64}},
    ],
)
def test_a_configuration_names_the_source_of_each_and_of_no_other(fields):
    with pytest.raises(ConfigError, match=r"detector_code.*cusum:make"):
        check_config(msgspec.structs.replace(config(), **fields))


@pytest.mark.parametrize("name", ["kswin", "a:b:c", ":make", "a b:c", "../x:make", "x:", "a.:b"])
def test_what_is_no_name_is_refused_where_it_is_read(name):
    data = msgspec.json.encode({"model": "m", "detectors": [name]})
    with pytest.raises(msgspec.ValidationError, match="detectors"):
        msgspec.json.decode(data, type=type(config()))


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """The manual's example in the story, applied as the manual says, archived."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        own_detectors.loaded.cache_clear()
        # A tenth of what it learns from: the story is short.
        (folder / "cusum.py").write_text(CUSUM.replace("1000", "50"))
        (folder / "streamops.toml").write_text(TOML)
        (given,) = read_config(folder / "streamops.toml")
        host = play(
            partitions=1,
            panes=9,
            every_s=2,
            rules=(*given.rules, RULES[0]),
            detectors=(NAME,),
            code=given.detector_code,
            make=make_detector,
        )
        alerts = [e for e in host.events("alerts") if isinstance(e, AlertRaised)]
        yield SimpleNamespace(
            folder=folder, host=host, archive=archive(host, folder / "archive"), alerts=alerts
        )
        forget()


def test_the_manuals_example_alarms_in_service_and_its_alerts_are_proven(story):
    found = [e for e in story.host.events("metrics") if isinstance(e, DriftDetected)]
    assert {(e.detector, e.level) for e in found} == {(NAME, "drift")}
    own = [alert for alert in story.alerts if alert.rule == "errors rise"]
    assert own
    verdict = verify(story.archive)
    assert (verdict.ok, verdict.findings) == (True, ())
    assert {a.id for a in verdict.alerts} == {a.id for a in story.alerts} > {a.id for a in own}


def test_replay_and_whatif_compute_it_again(story):
    again = run_replay(story.archive, topics=("alerts",))
    recorded = story.host.events("alerts")
    assert sorted(map(codec.conclusion, again)) == sorted(map(codec.conclusion, recorded))
    active = [e.config for e in story.host.events("lifecycle") if isinstance(e, ConfigActivated)]
    without = [msgspec.structs.replace(c, detectors=(), detector_code={}) for c in active]
    fewer = what_if(story.archive, without).alerts
    own = [alert for alert in story.alerts if alert.rule == "errors rise"]
    assert (fewer.recorded - fewer.other, fewer.same) == (len(own), fewer.other)


def test_whatif_with_another_source_folds_the_outcomes_again(story):
    (story.folder / "slow.py").write_text(CUSUM.replace("1000", "50").replace("25.0", "2.0"))
    active = [e.config for e in story.host.events("lifecycle") if isinstance(e, ConfigActivated)]
    rules = tuple(msgspec.structs.replace(r, metric="slow:make") if r.name == "errors rise" else r
                  for r in active[0].rules)  # fmt: skip
    code = {"slow:make": code_of("slow:make")}
    given = [
        msgspec.structs.replace(c, detectors=("slow:make",), detector_code=code, rules=rules)
        for c in active
    ]
    found = what_if(story.archive, given).alerts
    # It asks for so little that it alarms where nothing is wrong.
    assert "calm/errors rise/all" in {mark.what for mark in found.gained}


@pytest.mark.parametrize("change", ["edited", "gone"])
def test_an_auditor_with_another_source_is_told_so_and_the_rest_is_verified(story, change):
    file, source = story.folder / "cusum.py", (story.folder / "cusum.py").read_text()
    own_detectors.loaded.cache_clear()
    try:
        file.write_text(source + "\n# another\n")
        if change == "gone":
            file.unlink()
        found = verify(story.archive)
    finally:
        file.write_text(source)
    assert found.findings == ()
    statuses = {alert.id: alert.status for alert in found.alerts}
    told = "the detector's code differs" if change == "edited" else "cusum:make isn't here"
    for alert in story.alerts:
        if alert.rule == "errors rise":
            assert statuses[alert.id].startswith("not recomputable here: detector cusum:make")
            assert told in statuses[alert.id]
        else:
            assert statuses[alert.id] == "verified"


def test_a_failure_of_the_detector_is_on_the_log_and_is_proven_too(here):
    (here / "odd.py").write_text(ODD.replace("error == 2", "n == 40"))
    host = play(
        partitions=1, panes=1, rules=(), detectors=("odd:Odd",), make=make_detector,
        code={"odd:Odd": code_of("odd:Odd")},
    )  # fmt: skip
    failed = [e for e in host.events("metrics") if getattr(e, "level", "") == "failed"]
    assert {e.model for e in failed} == {"churn", "calm"}
    assert len(failed) == 2
    assert all("two at" in e.reason for e in failed)
    found = verify(archive(host, here / "archive"))
    assert (found.ok, found.findings) == (True, ())
