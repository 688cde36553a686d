"""top: what two readings of a process say, and what is said where there is none."""

from __future__ import annotations

import json
import socket

import pytest

from streamops import metrics
from streamops.cli import main
from streamops.errors import EXIT_CONFIG
from streamops.hosts.gauges import Gauges
from streamops.hosts.memory import make_fold
from streamops.metrics import EXPOSED, serve
from streamops.operate.services import worker_names, worker_of
from streamops.operate.tasks import metrics_ports, place_of
from streamops.operate.top import Endpoint, Scrape, rows, scrape

METER = Endpoint("meter", "http://127.0.0.1:1/metrics")


def reading(at_s: float, records: float, fold_s: float, close: tuple[float, float]) -> Scrape:
    of = {"processor": "meter"}
    return Scrape(
        at_s,
        {
            "streamops_records_total": [(of | {"topic": "labels"}, records), (of, records)],
            "streamops_lag_records": [(of, 3.0), (of, 4.0)],
            "streamops_lag_seconds": [(of, 1.5), (of, 0.25)],
            "streamops_stage_seconds_total": [(of | {"stage": "fold"}, fold_s)],
            "streamops_pane_close_seconds_count": [(of, close[0])],
            "streamops_pane_close_seconds_sum": [(of, close[1])],
            "python_info": [({}, 1.0)],
        },
    )


def test_rates_and_shares_are_between_two_readings():
    (row,) = rows(METER, reading(10, 100, 1.0, (5, 1.0)), reading(12, 600, 1.5, (7, 1.2)))
    assert row.records_per_s == 500
    assert row.shares == {"fold": 0.25}
    assert row.pane_close_ms == pytest.approx(100)
    assert (row.lag_records, row.lag_s) == (7, 1.5)


def test_a_process_that_began_again_has_no_rate():
    (row,) = rows(METER, reading(10, 600, 1.0, (5, 1.0)), reading(12, 100, 0.5, (1, 0.2)))
    assert row.records_per_s is None
    assert row.pane_close_ms is None
    assert row.shares == {"fold": 0}


def test_without_a_first_reading_there_is_the_lag_alone():
    (row,) = rows(METER, Scrape(1, {}), reading(2, 100, 0.5, (1, 0.2)))
    assert (row.lag_records, row.records_per_s, row.shares) == (7, None, {})


def test_a_process_that_gives_no_answer_is_down():
    now = scrape(METER)
    (row,) = rows(METER, now, now)
    assert not row.up


def test_the_command_reads_a_real_endpoint(monkeypatch, capsys):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv(metrics.PORT_VARIABLE, str(port))
    monkeypatch.delenv(metrics.HOST_VARIABLE, raising=False)
    fold = make_fold("meter", 0, 1, skew_max_ms=None)
    gauges = Gauges("meter", lambda: [fold], lambda topic, partition: 5)
    gauges.work.spent("fold", 0.5)
    end = serve()
    EXPOSED.add(gauges.samples)
    given = ["top", "--every", "0.01", "--endpoint", f"meter=http://127.0.0.1:{port}"]
    given += ["--endpoint", "detect=http://127.0.0.1:1"]
    try:
        assert main([*given, "--json"]) == 0
        first, second = json.loads(capsys.readouterr().out)["services"]
        assert main([*given, "--once"]) == 0
    finally:
        EXPOSED.remove(gauges.samples)
        end()
    assert (first["service"], first["processor"], first["lag_records"]) == ("meter", "meter", 10)
    assert first["shares"] == {"fold": 0.0}
    assert (second["service"], second["up"]) == ("detect", False)
    shown = capsys.readouterr().out
    assert "no answer" in shown
    assert "watermark s" in shown


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--endpoint", "nonsense"], "name=http://host:port"),
        (["--every", "0"], "--every is 0"),
        (["--every", "inf"], "--every is inf"),
        ([], "no stack runs over"),
    ],
)
def test_what_cant_be_watched_is_said(given, named, tmp_path, capsys):
    assert main(["top", "--once", "--data", str(tmp_path), *given]) == EXIT_CONFIG
    assert named in capsys.readouterr().err


def test_workers_have_names_places_and_ports_of_their_own(monkeypatch):
    monkeypatch.delenv(metrics.PORT_VARIABLE, raising=False)
    names = worker_names("meter", 3)
    assert names == ["meter", "meter-1", "meter-2"]
    assert [worker_of(name) for name in names] == [("meter", 0), ("meter", 1), ("meter", 2)]
    assert len({place_of(name) for name in [*names, "archiver", "broadcaster"]}) == 5
    ports = metrics_ports(names, {})
    assert len(set(ports.values())) == 3
    assert metrics_ports(names, ports) == ports
    monkeypatch.setenv(metrics.PORT_VARIABLE, "9400")
    assert metrics_ports(["broadcaster", "meter-1"], {}) == {"broadcaster": 9400, "meter-1": 9409}
