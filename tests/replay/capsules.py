"""The capsules that ship in replay/capsules: alerts that every version must prove again.

    python -m tests.replay.capsules [ARCHIVE ALERT]   cuts those that aren't there yet

Two are of a played story, and, with the archive of a demo run on a real broker, one of its alerts.
All go back to the beginning of the log: a sealed state means nothing under later semantics.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from streamops.audit.asked import Asked
from streamops.audit.incident import save_incident
from streamops.config import DRIFT_METRICS
from streamops.events import AlertRaised
from streamops.hosts.memory import MemoryHost
from tests.story import RULES, archive, play

CAPSULES = Path(__file__).parents[2] / "replay" / "capsules"
KINDS = {"story-psi": "data_drift", "story-accuracy": "performance"}
DEMO = "demo"


def story() -> MemoryHost:
    """A story without detectors, whose floats hold on one machine only, sealed now and then."""
    rules = tuple(r for r in RULES if r.metric not in DRIFT_METRICS and r.kind != "concept_drift")
    return play(panes=13, seal_every=2, rules=rules, detectors=())


def last_alert(host: MemoryHost, kind: str) -> str:
    """The id of a story's last alert of a kind."""
    raised = [e for e in host.events("alerts") if isinstance(e, AlertRaised) and e.kind == kind]
    return max(raised, key=lambda event: event.time).id


def main(given: list[str]) -> None:
    """Cut what isn't there."""
    host = story()
    with tempfile.TemporaryDirectory() as place:
        folder = archive(host, Path(place) / "archive", rows=100)
        for name, kind in KINDS.items():
            cut(folder, name, last_alert(host, kind))
    if given:
        cut(Path(given[0]), DEMO, given[1])


def cut(folder: Path, name: str, alert: str) -> None:
    """Save one capsule unless it is there."""
    out = CAPSULES / f"{name}.tar.zst"
    if not out.exists():
        saved = save_incident(folder, name, Asked(frozenset({alert})), out, whole=True)
        print(f"{out}: {saved.bytes:,} bytes, from epoch {saved.check.start_epoch}")


if __name__ == "__main__":
    main(sys.argv[1:])
