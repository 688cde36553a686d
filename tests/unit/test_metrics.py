"""Metrics: one list of names, read when asked, off unless a port is set."""

from __future__ import annotations

import socket
import time
import urllib.request
from typing import get_args

import pytest

from streamops import metrics
from streamops.core.derived_inbox import close_hash
from streamops.core.processor import Record, Refusal
from streamops.core.times import moment
from streamops.errors import ConfigError
from streamops.events import EpochClosed, Tick
from streamops.hosts.gauges import Gauges
from streamops.hosts.memory import make_fold
from streamops.hosts.work import Work
from streamops.metrics import EXPOSED, Exposed, Sample, catalogue, port_for, serve


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tick(epoch: int, offset: int) -> Record:
    event = Tick(id=f"tick/{epoch}", time=moment(epoch * 1_000_000), epoch=epoch)
    return Record("predictions", 0, offset, 0, b"", b"", event)


def gauges_of_a_meter() -> Gauges:
    """A meter that read two ticks of predictions and none of labels."""
    fold = make_fold("meter", 0, 1, skew_max_ms=None)
    gauges = Gauges("meter", lambda: [fold], lambda topic, partition: 5)
    for number in (1, 2):
        record = tick(number, number - 1)
        fold.feed(record)
        gauges.took([record], 0)
    return gauges


def test_a_source_that_keeps_others_waiting_is_named(monkeypatch):
    """METER 0 has closed the epoch for MONITOR 0, METER 1 hasn't."""
    fold = make_fold("monitor", 0, 2, skew_max_ms=None)
    gauges = Gauges("monitor", lambda: [fold], lambda topic, partition: None)
    assert awaited(gauges) == {}
    close = EpochClosed(
        id="c", time=moment(0), source="meter/0", epoch=0, count=0, hash=close_hash([])
    )
    fold.feed(Record("summaries", 0, 0, 0, b"", b"", close))
    began = time.time()
    monkeypatch.setattr("time.time", lambda: began + 40)
    ((source, waited),) = awaited(gauges).items()
    assert (source, waited) == ("meter/1", pytest.approx(40, abs=5))


def awaited(gauges: Gauges) -> dict[str, object]:
    name = "streamops_source_awaited_seconds"
    return {dict(s.labels)["source"]: s.value for s in gauges.samples() if s.name == name}


def test_every_name_is_documented_and_every_document_named():
    assert [entry.name for entry in catalogue()] == list(get_args(metrics.Name))


def test_a_counter_is_known_by_its_ending():
    assert {entry.kind for entry in catalogue()} == {"counter", "gauge", "histogram"}
    for entry in catalogue():
        assert (entry.kind == "counter") == entry.name.endswith("_total"), entry.name


def test_a_fold_tells_records_lag_and_what_it_holds():
    found = {(s.name, dict(s.labels).get("topic")): s.value for s in gauges_of_a_meter().samples()}
    assert found[("streamops_records_total", "predictions")] == 2
    assert found[("streamops_lag_records", "predictions")] == 3  # 5 in Kafka, 2 read
    assert found[("streamops_lag_records", "labels")] == 5
    assert found[("streamops_epochs_held", "predictions")] == 2  # labels have no tick yet
    assert found[("streamops_watermark_timestamp_seconds", None)] == 2
    assert found[("streamops_epoch", None)] == -1
    assert ("streamops_epoch_folded_timestamp_seconds", None) not in found


def test_a_folded_epoch_and_a_refusal_are_counted():
    gauges = gauges_of_a_meter()
    gauges.took([Record("labels", 0, 0, 0, b"", b"", Refusal("junk"))], 2)
    gauges.sent("dlq")
    gauges.sent("outcomes")
    found = {(s.name, dict(s.labels).get("topic")): s.value for s in gauges.samples()}
    assert found[("streamops_epochs_folded_total", None)] == 2
    assert found[("streamops_refusals_total", None)] == 1
    assert found[("streamops_sent_total", "outcomes")] == 1
    assert ("streamops_epoch_folded_timestamp_seconds", None) in found


def test_time_goes_to_the_innermost_stage():
    work = Work("meter")
    began = time.perf_counter()
    with work.stage("fold"):
        time.sleep(0.002)
        with work.stage("produce"):
            time.sleep(0.004)
    elapsed = time.perf_counter() - began
    spent = {dict(s.labels)["stage"]: s.value for s in work.samples()}
    assert spent["fold"] >= 0.002
    assert spent["produce"] >= 0.004
    assert sum(spent.values()) <= elapsed


def test_a_stage_that_fails_is_counted_and_left():
    work = Work("meter")
    with pytest.raises(ZeroDivisionError), work.stage("fold"):
        _ = 1 / 0
    with work.stage("wait"):
        pass
    assert {dict(s.labels)["stage"] for s in work.samples()} == {"fold", "wait"}


def test_a_batch_is_counted_once_by_its_size():
    work = Work("meter")
    for records in (1, 10, 11, 30_000):
        work.took("labels", records)
    (spread,) = (s.value for s in work.samples() if s.name == "streamops_batch_records")
    found = dict(spread.buckets)
    assert (found["1.0"], found["10.0"], found["50.0"], found["+Inf"]) == (1, 2, 3, 4)
    assert spread.total == 30_022


def test_lag_in_seconds_is_the_age_of_what_was_read_last():
    gauges = gauges_of_a_meter()
    now_ms = int(time.time() * 1000)
    gauges.took([tick(3, 2)._replace(append_ms=now_ms - 60_000)], 0)
    found = {(s.name, dict(s.labels).get("topic")): s.value for s in gauges.samples()}
    assert found[("streamops_lag_seconds", "predictions")] >= 60
    assert ("streamops_lag_seconds", "labels") not in found  # none was read, so none is known
    assert found[("streamops_watermark_lag_seconds", None)] > 1_000_000_000


def test_all_read_is_no_lag():
    fold = make_fold("meter", 0, 1, skew_max_ms=None)
    gauges = Gauges("meter", lambda: [fold], lambda topic, partition: 0)
    found = {s.name: s.value for s in gauges.samples()}
    assert found["streamops_lag_records"] == found["streamops_lag_seconds"] == 0


def test_a_pane_closes_late_by_the_age_of_its_tick():
    gauges = gauges_of_a_meter()
    now_ms = int(time.time() * 1000)
    ticks = [tick(n, n)._replace(append_ms=now_ms - age) for n, age in ((3, 90_000), (4, 30_000))]
    gauges.took(ticks, 1)
    (spread,) = (s.value for s in gauges.samples() if s.name == "streamops_pane_close_seconds")
    assert dict(spread.buckets)["+Inf"] == 1
    assert 30 <= spread.total < 90


def test_sources_of_one_process_share_a_family():
    exposed = Exposed()
    for name in ("monitor", "controller"):
        sample = Sample("streamops_refusals_total", (("processor", name),), 1.0)
        exposed.add(lambda sample=sample: [sample])
    families = list(exposed.collect())
    assert [len(family.samples) for family in families] == [2]


def test_a_label_that_is_not_documented_is_our_fault():
    exposed = Exposed()
    exposed.add(lambda: [Sample("streamops_refusals_total", (("topic", "dlq"),), 1.0)])
    with pytest.raises(AssertionError):
        list(exposed.collect())


def test_nothing_is_served_without_a_port(monkeypatch):
    monkeypatch.delenv(metrics.PORT_VARIABLE, raising=False)
    serve()()
    assert port_for(3) == {}


@pytest.mark.parametrize("given", ["x", "-1", "70000", "94 00"])
def test_a_port_that_is_none_is_refused(monkeypatch, given):
    monkeypatch.setenv(metrics.PORT_VARIABLE, given)
    with pytest.raises(ConfigError, match=metrics.PORT_VARIABLE):
        serve()


def test_a_chosen_port_is_used_where_the_environment_names_none(monkeypatch):
    monkeypatch.delenv(metrics.PORT_VARIABLE, raising=False)
    assert port_for(2, 5000) == {metrics.PORT_VARIABLE: "5000"}


def test_services_of_a_stack_get_ports_in_a_row(monkeypatch):
    monkeypatch.setenv(metrics.PORT_VARIABLE, "9400")
    assert port_for(2, 5000) == {metrics.PORT_VARIABLE: "9402"}


def test_prometheus_reads_names_and_help(monkeypatch):
    port, gauges = free_port(), gauges_of_a_meter()
    monkeypatch.setenv(metrics.PORT_VARIABLE, str(port))
    monkeypatch.delenv(metrics.HOST_VARIABLE, raising=False)
    end = serve()
    EXPOSED.add(gauges.samples)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        EXPOSED.remove(gauges.samples)
        end()
    assert 'streamops_records_total{processor="meter",topic="predictions"} 2.0' in text
    assert "# HELP streamops_lag_records Lag: records in Kafka" in text
    assert "process_resident_memory_bytes" in text
    assert text.count("# TYPE streamops_lag_records gauge") == 1


def test_a_taken_port_stops_no_service(monkeypatch, caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv(metrics.PORT_VARIABLE, str(taken.getsockname()[1]))
        monkeypatch.delenv(metrics.HOST_VARIABLE, raising=False)
        serve()()
    assert "choose a free port" in caplog.text
