"""What verify, explain and what-if say where values of persons were erased."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

import streamops
from streamops import codec
from streamops.audit.biography import biography
from streamops.audit.biography_text import as_text
from streamops.audit.erased import explained
from streamops.audit.erasures import ERASED, NO_KEY
from streamops.audit.verify import verify
from streamops.events import (
    ActionTaken,
    EpochClosed,
    Event,
    PaneSummarized,
    Sealed,
)
from streamops.hosts.memory import MemoryHost
from streamops.keys import KeyStore
from streamops.personal import Opener, Veil
from streamops.values import FeatureCounts
from tests.story import archive, at, make_counting, play

SUBJECT = "person 3"


class Kept:
    """A played history with x of every person encrypted, its archive and its key store."""

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "live.keys"
        veil = Veil(streamops.Personal(keys=self.keys, features=("x",)))
        opener = Opener(self.keys)
        self.host = play(panes=10, seal_every=4, veil=veil, open_=opener.open)
        self.archive = archive(self.host, folder / "live" / "archive")

    def erased(self, folder: Path) -> Path:
        """A copy in which one person was forgotten by request 1; returns its archive."""
        shutil.copytree(self.archive.parent.parent, folder, dirs_exist_ok=True)
        store = KeyStore(folder / "live.keys")
        erasure = store.begin_erasure(SUBJECT)
        assert erasure is not None
        fact = ActionTaken(
            id=f"forget/{erasure.name}", time=at(0), actor="ada", action="forget",
            target=erasure.name, correlation_id=str(erasure.number), detail="Art. 17",
        )  # fmt: skip
        told = MemoryHost(partitions=2, make_detector=make_counting)
        told.append("audit", "ada", fact)
        store.destroy(erasure)
        return archive(told, folder / "live" / "archive")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept"))


def statuses(found: object) -> dict[str, str]:
    return {alert.id: alert.status for alert in found.alerts}


def tampered(kept: Kept, folder: Path, topic: str, change: Callable[[Event], Event]) -> Path:
    """The erased copy with every record of a topic written again, some changed."""
    path = kept.erased(folder)
    shutil.rmtree(path / "raw" / f"topic={topic}")
    told = MemoryHost(partitions=2, make_detector=make_counting)
    for (of, partition), records in sorted(kept.host.log.items()):
        for record in records if of == topic else ():
            value = codec.encode(change(record.event))
            told.append(topic, record.key.decode(), value, partition=partition)
            told.log[topic, partition][-1] = record._replace(value=value)
    return archive(told, path)


def test_encrypted_values_are_counted_as_in_the_clear(kept):
    clear = play(panes=10, seal_every=4)
    for topic in ("metrics", "alerts"):
        said = [codec.conclusion(event) for event in kept.host.events(topic)]
        assert said == [codec.conclusion(event) for event in clear.events(topic)]
    assert all(b'"x":' not in r.value for p in (0, 1) for r in kept.host.log["outcomes", p])


def test_before_an_erasure_every_alert_is_proven(kept):
    found = verify(kept.archive, make_detector=make_counting)
    assert found.ok, found.findings
    assert found.alerts
    assert found.erased == 0


def test_after_it_proofs_that_need_the_values_say_so_and_the_others_hold(kept, tmp_path):
    path = kept.erased(tmp_path)
    found = verify(path, make_detector=make_counting)
    assert found.ok, found.findings
    assert found.findings == ()
    assert found.chain.ok
    says = set(statuses(found).values())
    assert says == {"verified", f"{ERASED}1 (2026-05-01T01:46:40+00:00 by ada, Art. 17)"}
    assert found.erased == sum(s.startswith(ERASED) for s in statuses(found).values())
    by_kind = {a.id: a.kind for a in kept.host.events("alerts") if hasattr(a, "kind")}
    erased = {by_kind[id_] for id_, s in statuses(found).items() if s.startswith(ERASED)}
    assert erased == {"data_drift"}
    for alert in found.alerts:
        assert alert.integrity
        assert alert.completeness == (alert.status == "verified")


def test_one_alert_from_a_seal_says_the_same(kept, tmp_path):
    path = kept.erased(tmp_path)
    whole = statuses(verify(path, make_detector=make_counting))
    last = max(
        (e for e in kept.host.events("alerts") if getattr(e, "metric", "") == "psi"),
        key=lambda e: e.time,
    )
    one = verify(path, alert=last.id, make_detector=make_counting)
    assert one.start_epoch >= 0, "it began at a seal"
    assert statuses(one) == {last.id: whole[last.id]}
    assert one.ok, one.findings


def test_without_the_key_store_nothing_is_claimed(kept, tmp_path):
    path = kept.erased(tmp_path)
    (tmp_path / "live.keys").unlink()
    found = verify(path, make_detector=make_counting)
    assert not found.ok
    assert found.findings == ()
    assert {"verified", NO_KEY} == set(statuses(found).values())


def more(counts: FeatureCounts, by: int) -> FeatureCounts:
    """Values that there weren't in the first bin."""
    first, *rest, missing = counts.counts
    return replace(counts, counts=(first + by, *rest, max(0, missing - by)))


def changed_bins(name: str, by: int) -> Callable[[Event], Event]:
    def change(event: Event) -> Event:
        if isinstance(event, PaneSummarized) and event.model == "churn" and event.features:
            features = tuple(more(f, by) if f.name == name else f for f in event.features)
            return replace(event, features=features)
        return event

    return change


@pytest.mark.parametrize(("name", "by"), [("plan", 1), ("x", 40)])
def test_other_bins_than_the_values_explain_are_a_fault(kept, tmp_path, name, by):
    path = tampered(kept, tmp_path, "summaries", changed_bins(name, by))
    found = verify(path, make_detector=make_counting)
    assert not found.ok
    drifts = [a.id for a in kept.host.events("alerts") if getattr(a, "metric", "") == "psi"]
    assert "failed" in {statuses(found)[id_] for id_ in drifts}
    assert any("another features" in finding for finding in found.findings)


def test_a_summary_that_says_another_number_of_predictions_is_a_fault(kept, tmp_path):
    def change(event: Event) -> Event:
        of = isinstance(event, PaneSummarized) and event.predictions
        return replace(event, predictions=event.predictions + 1) if of else event

    found = verify(tampered(kept, tmp_path, "summaries", change), make_detector=make_counting)
    assert any("another predictions" in finding for finding in found.findings)


def test_a_close_must_fit_the_records_before_it(kept, tmp_path):
    def change(event: Event) -> Event:
        return replace(event, hash="0" * 64) if isinstance(event, EpochClosed) else event

    found = verify(tampered(kept, tmp_path, "summaries", change), make_detector=make_counting)
    assert any("its hash isn't that of the records" in finding for finding in found.findings)


def test_a_seal_may_differ_in_the_panes_alone(kept, tmp_path):
    def change(event: Event) -> Event:
        return replace(event, root="0" * 64) if isinstance(event, Sealed) else event

    found = verify(tampered(kept, tmp_path, "progress", change), make_detector=make_counting)
    assert any("meter/0" in f and "holds another seal" in f for f in found.findings)


def test_a_prediction_says_what_became_of_its_values(kept, tmp_path):
    ours = next(r.event for r in kept.host.log["predictions", 0] if "churn-3-" in str(r.event))
    assert "readable with the key here: x" in biography(kept.archive, ours.id).personal
    path = kept.erased(tmp_path)
    found = biography(path, ours.id)
    assert found.personal.startswith(f"{ERASED}1 (")
    assert "values about a person: erased by request 1 (2026-05-01" in as_text(found)
    other = next(r.event for r in kept.host.log["predictions", 0] if "churn-4-" in str(r.event))
    assert "readable with the key" in biography(path, other.id).personal
    (tmp_path / "live.keys").unlink()
    assert biography(path, other.id).personal == NO_KEY


def summary(*features: FeatureCounts, faults: int = 0) -> PaneSummarized:
    return PaneSummarized(
        id="s", time=at(9), model="m", version="1", segment="all", pane_start=at(0), cut="closed",
        config_hash="c", profile_hash="p", features=features, faults=faults,
    )  # fmt: skip


def test_values_explain_what_moved_out_of_missing_and_no_more():
    here = summary(FeatureCounts("x", (3, 1, 2), (9, 4, 0)))
    assert explained(summary(FeatureCounts("x", (4, 1, 1), (12, 4, 0))), here, 1)
    assert not explained(summary(FeatureCounts("x", (4, 2, 0), (12, 8, 0))), here, 1)  # two moved
    assert explained(summary(FeatureCounts("x", (4, 2, 0), (12, 8, 0))), here, 2)
    assert not explained(summary(FeatureCounts("x", (4, 0, 2), (12, 0, 0))), here, 2)  # from a bin
    assert not explained(summary(FeatureCounts("x", (4, 1, 2), (12, 4, 0))), here, 2)  # one more
    assert not explained(summary(FeatureCounts("x", (3, 2, 1), (8, 8, 0))), here, 2)  # a sum
    assert not explained(summary(FeatureCounts("y", (3, 1, 2), (9, 4, 0))), here, 2)
    assert not explained(summary(FeatureCounts("x", (3, 1, 2), (9, 4, 0)), faults=1), here, 2)
