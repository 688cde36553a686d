"""A person is forgotten on a real broker: from the prediction to what every command says after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import streamops
from streamops.cli import main
from streamops.events import AlertRaised
from streamops.personal import Opener, Veil
from streamops.settings import Settings
from streamops.views.archiver import seal_until_end
from streamops.views.materializer import Materializer
from tests.hosting import SERVICES, events_on, new_settings, running, until_concluded, write
from tests.recorded import Row
from tests.story import RULES, play

PANES = 8


@pytest.fixture
def settings(bootstrap: str, namespace: str, tmp_path: Path) -> Settings:
    """A namespace in which x of nine persons was encrypted by the client, and alerts followed."""
    settings = new_settings(bootstrap, namespace, tmp_path / "live", 2)
    veil = Veil(streamops.Personal(keys=settings.keys, features=("x",)))
    rules = tuple(rule for rule in RULES if rule.kind != "concept_drift")
    host = play(
        panes=PANES, seal_every=4, rules=rules, detectors=(), every_s=4,
        veil=veil, open_=Opener(settings.keys).open,
    )  # fmt: skip
    rows = [
        Row(topic, partition, record.key, record.value)
        for (topic, partition), records in sorted(host.log.items())
        if topic in ("predictions", "labels", "lifecycle")
        for record in records
    ]
    write(settings, rows)
    with running(settings, SERVICES.values()):
        until_concluded(settings, PANES + 2)
    return settings


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    status = main([*arguments, "--json"])
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return {**found, "status": status}


def test_a_person_is_forgotten_and_every_chain_and_proof_says_what_holds(settings, capsys):
    data = ["--data", str(settings.data)]
    raised = [e for e in events_on(settings, "alerts") if isinstance(e, AlertRaised)]
    drifted = {event.id for event in raised if event.metric == "psi"}
    assert drifted
    seal_until_end(settings)
    before = told(capsys, "verify", "--all", *data)
    assert before["ok"], before["findings"]
    assert before["status"] == 0
    assert {alert["status"] for alert in before["alerts"]} == {"verified"}

    broker = ["--bootstrap", settings.bootstrap, "--namespace", settings.namespace]
    done = told(
        capsys, "forget", "person 4", "--reason", "Art. 17", "--actor", "ada", *broker, *data
    )
    assert done["request"] == 1
    assert main(["forget", "person 4", *broker, *data]) != 0
    assert "has no key" in capsys.readouterr().err

    seal_until_end(settings)
    after = told(capsys, "verify", "--all", *data)
    assert after["ok"], after["findings"]
    assert after["status"] == 0
    erased = {a["id"] for a in after["alerts"] if a["status"].startswith("erased by request 1 (")}
    assert erased == drifted
    assert all(a["status"] == "verified" for a in after["alerts"] if a["id"] not in erased)
    chain = told(capsys, "verify-chain", *data)
    assert chain["ok"]
    assert chain["status"] == 0

    assert main(["explain", "churn-4-0", *data]) == 0
    said = capsys.readouterr().out
    assert "values about a person: erased by request 1 (" in said
    assert "by ada, Art. 17" in said

    views = Materializer(settings)
    views.run_to_end()
    views.close()
    asked = "select request, key, reason, count(*) as predictions from erasures, predictions "
    asked += "where contains(features, key) group by all"
    assert main(["sql", asked, *data, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["request"], row["key"], row["reason"]) == (1, done["key"], "Art. 17")
    assert row["predictions"] > 0
