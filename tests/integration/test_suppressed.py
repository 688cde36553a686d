"""A silence from the command line, through the real broker, to the view that shows what it held."""

from __future__ import annotations

import json

from streamops.cli import main
from streamops.views.materializer import Materializer
from tests.hosting import SERVICES, new_settings, running, until_concluded, write
from tests.story import RULES, play
from tests.web_views import raws

PARTITIONS, PANES = 2, 6
RAW = ("predictions", "labels", "lifecycle")


def test_a_silenced_kind_is_raised_and_seen(bootstrap, namespace, tmp_path, capsys):
    settings = new_settings(bootstrap, namespace, tmp_path, PARTITIONS)
    host = play(panes=PANES, rules=RULES[:1], detectors=())
    story = [raw for raw in raws(host) if raw.topic in RAW]
    middle = sorted(raw.append_ms for raw in story)[len(story) // 4]
    place = ["--data", str(tmp_path), "--bootstrap", bootstrap, "--namespace", namespace]
    write(settings, [raw for raw in story if raw.append_ms <= middle])
    asked = ["silence", "churn", "--kind", "data_drift", "--until", "2199-01-01T00:00Z"]
    assert main([*asked, "--reason", "new prices", "--actor", "ann", *place, "--json"]) == 0
    name = json.loads(capsys.readouterr().out)["fingerprint"]
    write(settings, [raw for raw in story if raw.append_ms > middle])
    with running(settings, SERVICES.values()):
        until_concluded(settings, PANES + 1)
    views = Materializer(settings)
    views.run_to_end()
    views.close()
    question = "select reason, held_by, actor, why, kind from alerts_suppressed"
    assert main(["sql", question, "--data", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found
    assert {tuple(row.values()) for row in found} == {
        ("silence", name, "ann", "new prices", "data_drift")
    }
    assert main(["silences", "--data", str(tmp_path), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["in_force"]) == (name, True)
