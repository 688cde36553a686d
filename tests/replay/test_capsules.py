"""Every capsule under replay/capsules proves its alerts: what they were is what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamops.audit.capsule import opened
from streamops.audit.capsule_check import check_capsule
from tests.replay.capsules import CAPSULES
from tests.story import Counting

ALL = sorted(path for path in CAPSULES.iterdir() if path.name[0] != ".")


def test_some_ship_and_are_small():
    assert len(ALL) >= 3
    assert all(path.stat().st_size < 1_000_000 for path in ALL if path.is_file())


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_a_capsule_proves_its_alerts(path: Path):
    """On any machine: river's detectors, whose floats hold on one, are left to others here."""
    found = check_capsule(path, make_detector=lambda name: Counting("another machine"))
    assert found.findings == ()
    assert found.ok
    assert {alert.status for alert in found.alerts} == {"verified"}
    with opened(path) as capsule:
        assert {alert.id for alert in found.alerts} == set(capsule.manifest.alerts)
        assert capsule.manifest.cut.start == found.start_epoch == -1, "or the next semantics end it"
