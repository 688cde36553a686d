"""What Prometheus reads of folds that run on a real broker, under both hosts."""

from __future__ import annotations

import re
import time
import urllib.request
from pathlib import Path

from streamops import metrics
from streamops.kafka.ports import candidate_ports, is_free
from tests.hosting import PATIENCE_S, SERVICES, new_settings, running, until_concluded, write
from tests.recorded import recording

LINE = re.compile(r"^(streamops_\w+)\{(.*)\} (\S+)$", re.MULTILINE)


def scraped(port: int) -> dict[tuple[str, str], float]:
    """Values by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return {(name, labels): float(value) for name, labels, value in LINE.findall(text)}


def until_lag_is_known(port: int) -> dict[tuple[str, str], float]:
    """Ask again until the data plane's clients have noted where partitions end."""
    deadline = time.monotonic() + PATIENCE_S
    wanted = ("streamops_lag_records", 'partition="0",processor="meter",topic="labels"')
    while wanted not in (found := scraped(port)):
        assert time.monotonic() < deadline, "the meter's lag never became known"
    assert found[wanted] == 0
    return found


def test_every_fold_tells_how_far_it_is(bootstrap, namespace, tmp_path: Path, monkeypatch):
    port = next(port for port in candidate_ports() if is_free(port))
    monkeypatch.setenv(metrics.PORT_VARIABLE, str(port))
    monkeypatch.delenv(metrics.HOST_VARIABLE, raising=False)
    settings, recorded = new_settings(bootstrap, namespace, tmp_path, 1), recording(1)
    end = metrics.serve()
    try:
        with running(settings, SERVICES.values()):
            write(settings, recorded.rows)
            until_concluded(settings, recorded.last_epoch)
            found = until_lag_is_known(port)
        after = scraped(port)
    finally:
        end()
    for name in ("meter", "detect", "monitor", "controller"):
        of = f'partition="0",processor="{name}"'
        assert found[("streamops_epoch", of)] == recorded.last_epoch, name
        assert found[("streamops_epoch_folded_timestamp_seconds", of)] > 0, name
        assert found[("streamops_batch_records_count", f'processor="{name}"')] > 0, name
        assert found[("streamops_pane_close_seconds_count", f'processor="{name}"')] > 0, name
        assert (("streamops_watermark_timestamp_seconds", of) in found) == (
            name in ("meter", "controller")
        )
    for name, topic in (("meter", "labels"), ("controller", "metrics"), ("monitor", "summaries")):
        of = f'processor="{name}",topic="{topic}"'
        assert found[("streamops_records_total", of)] > 0, name
    assert found[("streamops_sent_total", 'processor="controller",topic="alerts"')] > 0
    assert found[("streamops_refusals_total", 'processor="meter"')] > 0
    for stage in ("wait", "decode", "fold", "produce", "checkpoint"):
        of = f'processor="meter",stage="{stage}"'
        assert found[("streamops_stage_seconds_total", of)] > 0, stage
    assert {name for name, _ in found} >= {"streamops_epochs_held", "streamops_lag_seconds"}
    assert after == {}
