"""The report: its structure, that it loads nothing, and that its verdicts are computed."""

from __future__ import annotations

import json
import os
import re
import shutil
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamops.cli import main
from streamops.errors import ConfigError, TransportError
from streamops.events import AlertRaised, RetrainRequested
from streamops.hosts.memory import MemoryHost
from streamops.views.archive import ArchiveLog, cover_of, write_raw
from streamops.views.log import MemoryLog
from streamops.views.seal import Sealer
from streamops.web.reads.charts import Chart, Charts, Series
from streamops.web.report.gather import Report, gather
from streamops.web.report.page import document
from streamops.web.report.pdf import find_chromium, print_pdf
from streamops.web.report.plots import figure, runs, within
from tests.story import PANE_S, archive, at, make_counting, play

SECTIONS = (
    "summary", "duties", "performance", "alerts", "people", "lineage", "configurations",
    "retrains", "chain", "log", "timeline",
)  # fmt: skip
VOID = {"meta", "link", "input", "br", "hr"}
PAGE = re.compile(rb"/Type\s*/Page\b(?!s)")
NO_CHROMIUM = "no Chromium is here, so there is no PDF: install one"


class Read(HTMLParser):
    """Reads a document: every tag closed, ids, links, cells of each section's tables."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.hrefs: list[str] = []
        self.loads: list[str] = []
        self.figures: list[dict[str, str]] = []
        self.rows: dict[str, list[list[str]]] = {}
        self._section = ""
        self.feed(html.decode())
        assert self.open == []

    def handle_starttag(self, name: str, given: list[tuple[str, str | None]]) -> None:
        attributes = {key: value or "" for key, value in given}
        if name not in VOID:
            self.open.append(name)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.hrefs += [attributes["href"]] if name == "a" else []
        if name in ("script", "link", "img", "iframe", "object") or "src" in attributes:
            self.loads.append(name)
        if name == "section":
            self._section = attributes["id"]
        if name == "figure":
            self.figures.append(attributes)
        if name == "tr":
            self.rows.setdefault(self._section, []).append([])
        if name == "td":
            self.rows[self._section][-1].append("")

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.rows[self._section][-1][-1] += data

    def cells(self, section: str) -> list[list[str]]:
        return [row for row in self.rows.get(section, ()) if row]


@pytest.fixture(scope="module")
def host() -> MemoryHost:
    return play()


def sealed(folder: Path) -> None:
    """Seal an archive as its archiver would."""
    sealer, log = Sealer(folder, "story"), ArchiveLog(folder)
    sealer.resume(MemoryLog([]))
    for topic in log.topics():
        for partition in log.partitions(topic):
            for path, cover in log.files(topic, partition):
                records = list(log.read(topic, partition, cover.first, cover.next))
                sealer.take((topic, partition), records, cover, path)
    sealer.seal(0.0)


@pytest.fixture(scope="module")
def folder(host: MemoryHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = archive(host, tmp_path_factory.mktemp("report") / "archive")
    sealed(found)
    return found


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The story's own detector, in place of river's."""
    monkeypatch.setattr("streamops.training.detectors.make_audited", make_counting)


def reported(folder: Path, **span: Any) -> Report:
    return gather(folder, folder.parent / "artifacts", "churn", **span)


def raised(host: MemoryHost) -> list[AlertRaised]:
    return [e for e in host.events("alerts") if isinstance(e, AlertRaised) and e.model == "churn"]


@pytest.fixture(scope="module")
def whole(folder: Path) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamops.training.detectors.make_audited", make_counting)
        return reported(folder)


def test_it_has_every_section_and_loads_nothing(whole):
    found = Read(document(whole))
    assert found.ids == list(SECTIONS)
    assert found.loads == []
    assert {href for href in found.hrefs if not href.startswith("#")} == set()
    assert {href.removeprefix("#") for href in found.hrefs} <= set(SECTIONS)
    assert b"http" not in document(whole)
    assert b"@import" not in document(whole)


def test_every_alert_is_in_it_and_verified(whole, host):
    rows = Read(document(whole)).cells("alerts")
    assert len(rows) == len(raised(host)) > 3
    assert {row[-1] for row in rows} == {"verified"}
    assert whole.chain.ok
    assert whole.chain.seals == 1
    assert whole.chain.line in document(whole).decode()


def test_versions_requests_and_facts_are_those_on_the_log(whole, host):
    found = Read(document(whole))
    versions = {row[0] for row in found.cells("lineage")}
    registered = [e for e in host.events("lifecycle") if type(e).__name__ == "ModelRegistered"]
    assert versions == {e.version.version for e in registered if e.version.model == "churn"}
    requests = [e for e in host.events("retraining") if isinstance(e, RetrainRequested)]
    assert len(whole.ledger.retrains) == len([r for r in requests if r.model == "churn"])
    assert [row[1] for row in found.cells("people")] == ["PromotionRequested"]
    assert found.cells("people")[0][3].startswith("ada")
    stands = {row[-1] for row in found.cells("timeline")}
    assert {place.partition("-")[0] for place in stands} >= {"lifecycle", "alerts", "deployments"}
    assert len(found.cells("configurations")) == 1


def test_each_topic_says_how_far_it_reaches(whole, host):
    spans = {span.topic: span for span in whole.topics}
    for topic in {topic for topic, _ in host.log}:
        records = [r for (name, _), rows in host.log.items() if name == topic for r in rows]
        assert spans[topic].records == len(records)
        assert spans[topic].last.timestamp() * 1000 == max(r.append_ms for r in records)


def test_a_span_bounds_alerts_facts_and_charts(folder, host):
    since, until = at(4 * PANE_S), at(9 * PANE_S)
    found = reported(folder, since=since, until=until)
    ids = {e.id for e in raised(host) if since <= e.time < until}
    assert {alert.alert_id for alert in found.alerts} == ids
    assert 0 < len(ids) < len(raised(host))
    assert all(since <= fact.time < until for fact in found.timeline)
    for figure_ in Read(document(found)).figures:
        assert int(figure_["data-points"]) <= 5


def test_charts_say_their_points_and_marks(whole, host):
    figures = {f["data-chart"]: f for f in Read(document(whole)).figures}
    assert {"quality", "drift", "traffic"} <= set(figures)
    assert int(figures["quality"]["data-points"]) >= 16
    drift = [e for e in raised(host) if e.kind == "data_drift"]
    assert 0 < int(figures["drift"]["data-marks"]) <= len(drift)


def test_an_altered_archive_is_reported_as_such(folder, tmp_path):
    """A label's file is swapped for one with another value: alert and chain both tell."""
    altered = tmp_path / "archive"
    shutil.copytree(folder, altered)
    turn_labels(altered)
    found = reported(altered)
    html = document(found)
    assert not found.chain.ok
    assert b"broken at" in html
    assert {row[-1] for row in Read(html).cells("alerts")} > {"verified"}
    assert b"Not verified:" in html


def turn_labels(altered: Path) -> None:
    for partition in range(2):
        log = ArchiveLog(altered)
        (path, cover), *_ = log.files("labels", partition)
        records = list(log.read("labels", partition, cover.first, cover.next))
        turned = [r._replace(value=r.value.replace(b'"label":1', b'"label":0')) for r in records]
        assert turned != records
        path.unlink()
        write_raw(altered, turned, ("labels", partition), cover_of(
            [r.offset for r in turned], cover.first, cover.next))  # fmt: skip


def test_names_are_escaped(whole):
    nasty = '<script>alert("1")</script>'
    found = msgspec.structs.replace(whole, model=nasty, archive=nasty)
    html = document(found)
    assert b"<script" not in html
    assert Read(html).ids == list(SECTIONS)


@pytest.mark.parametrize(
    ("model", "span", "said"),
    [
        ("nobody", {}, "model is 'nobody'; .* tells of calm, churn"),
        ("churn", {"since": at(9), "until": at(9)}, "not after --since: give a later one"),
    ],
)
def test_what_cannot_be_reported_is_named(folder, model, span, said):
    with pytest.raises(ConfigError, match=said):
        gather(folder, folder, model, **span)


def test_a_folder_that_is_no_archive_is_named(tmp_path):
    with pytest.raises(ConfigError, match="has no raw/topic=predictions"):
        gather(tmp_path, tmp_path, "churn")


def test_a_span_without_anything_says_so(folder):
    found = reported(folder, since=at(0) + timedelta(days=900))
    assert (found.alerts, found.verification, found.timeline) == ((), None, ())
    html = document(found).decode()
    for text in ("No alert was raised in this span", "No pane was evaluated in this span"):
        assert text in html


def a_chart(values: tuple[float | None, ...]) -> Chart:
    return Chart(
        name="quality", title="accuracy", unit="share", times=tuple(map(float, range(len(values)))),
        series=(Series(name="accuracy", values=values),), panes_per_point=1, fold="mean",
        marks=("performance",),
    )  # fmt: skip


def test_a_gap_is_a_gap():
    values = (0.5, 0.6, None, 0.7, None, 0.8, 0.9)
    found = list(runs(tuple(map(float, range(7))), values))
    assert [len(run) for run in found] == [2, 1, 2]
    none = Charts(model="m", segment="all", charts=(), bands=(), marks=(), newest=None)
    svg = figure(a_chart(values), none)
    assert (svg.count('<path d="M'), svg.count("<circle")) == (2, 1)


def test_a_chart_outside_the_span_is_left_out():
    assert within(a_chart((0.5, 0.6)), at(0), None) is None
    assert within(a_chart((None, None)), None, None) is None


def test_the_command_writes_html_and_says_what_it_holds(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("streamops.web.report.pdf.find_chromium", lambda: None)
    out = tmp_path / "audit.html"
    arguments = ["report", "churn", "--archive", str(folder), "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["pdf"] is None
    assert json.loads(said.out)["unverified"] == 0
    assert NO_CHROMIUM in said.err
    assert Read(out.read_bytes()).ids == list(SECTIONS)


def test_an_output_that_cannot_be_is_named(folder, tmp_path, capsys):
    arguments = ["report", "churn", "--archive", str(folder), "--out"]
    assert main([*arguments, str(tmp_path / "audit.pdf")]) == 2
    assert "give a name that ends in .html" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "gone" / "audit.html")]) == 75
    assert "can't be written: No such file" in capsys.readouterr().err


def test_chromium_prints_pages(whole, tmp_path):
    chromium = find_chromium()
    if chromium is None and os.environ.get("STREAMOPS_REQUIRE_BROWSER") == "1":
        pytest.fail("the PDF is not tested: no Chromium, and STREAMOPS_REQUIRE_BROWSER is 1")
    if chromium is None:
        pytest.skip("the PDF is not tested: no Chromium")
    html, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    html.write_bytes(document(whole))
    print_pdf(chromium, html, pdf)
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert len(PAGE.findall(pdf.read_bytes())) >= 2


def test_a_chromium_that_fails_is_named(tmp_path):
    with pytest.raises(TransportError, match=r"/bin/false did not print .* \(status 1\)"):
        print_pdf("/bin/false", tmp_path / "a.html", tmp_path / "a.pdf")
    with pytest.raises(TransportError, match="did not print"):
        print_pdf(str(tmp_path / "gone"), tmp_path / "a.html", tmp_path / "a.pdf")
