"""Growing: a history written again over more partitions concludes what it concluded before."""

from __future__ import annotations

from contextlib import closing

import msgspec
import pytest

from streamops import codec
from streamops.cli import main
from streamops.core.times import moment
from streamops.errors import EXIT_CONFIG
from streamops.events import PredictionMade, TopologyActivated
from streamops.kafka.admin import delete_namespace
from streamops.kafka.follow import Follower
from tests.hosting import (
    SERVICES,
    events_on,
    new_settings,
    running,
    until_concluded,
    write,
)
from tests.recorded import SEAL_EVERY, Row, recording, whats_so

BEFORE, AFTER = 1, 3


@pytest.fixture
def old(bootstrap, namespace, tmp_path):
    """A recorded history on the broker, from its topology on; nothing has folded it."""
    settings = new_settings(bootstrap, namespace, tmp_path / "old", BEFORE)
    topology = TopologyActivated(
        id=f"topology/{namespace}", time=moment(0), partitions=BEFORE, driven=True,
        seal_every=SEAL_EVERY,
    )  # fmt: skip
    raw = ("predictions", "labels", "lifecycle")
    founding = [Row(topic, 0, b"", codec.encode(topology)) for topic in raw]
    write(settings, [*founding, *recording(BEFORE).rows])
    yield settings
    delete_namespace({"bootstrap.servers": bootstrap}, f"{namespace}-more")


def test_over_more_partitions_it_concludes_the_same(old, tmp_path, capsys):
    new = f"{old.namespace}-more"
    grow = ["grow", new, "--partitions", str(AFTER), "--json"]
    place = ["--namespace", old.namespace, "--bootstrap", old.bootstrap, "--data", str(old.data)]
    assert main([*grow, *place]) == 0
    grown = msgspec.json.decode(capsys.readouterr().out)
    recorded = recording(BEFORE)
    assert grown["last_epoch"] == recorded.last_epoch
    assert grown["records"]["predictions"] > 500

    settings = msgspec.structs.replace(old, namespace=new, data=tmp_path / "new", partitions=AFTER)
    with running(settings, SERVICES.values()):
        until_concluded(settings, recorded.last_epoch)
    for topic in ("alerts", "retraining", "deployments"):
        assert whats_so(events_on(settings, topic)) == sorted(recorded.concluded[topic].values())
    topologies = {
        e.partitions for e in events_on(settings, "predictions") if isinstance(e, TopologyActivated)
    }
    assert topologies == {AFTER}
    with closing(Follower(settings, "places", ["predictions"])) as follower:
        made = {r.partition for r in follower.to_end() if isinstance(r.event, PredictionMade)}
    assert made == set(range(AFTER))

    assert main([*grow, *place]) == EXIT_CONFIG
    assert "holds records" in capsys.readouterr().err
