"""A shelf says what a dictionary says, wherever its entries lie; and METER's join holds no past."""

from __future__ import annotations

import random
from itertools import chain

from streamops.audit.ledger import Key
from streamops.audit.metering import Job, metering
from streamops.audit.namespace import namespace_of
from streamops.audit.shelf import Shelf
from streamops.hosts.memory import make_fold
from streamops.hosts.replay import Wiring
from streamops.personal import Opener
from streamops.values import Stamp
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record
from tests.story import archive, play


def test_a_shelf_is_a_dictionary_whatever_it_put_away():
    shelf, known, chance = Shelf(tuple[tuple[int, int], ...], held=8), {}, random.Random(3)
    for step in range(600):
        key = Key("summaries", f"meter/{chance.randrange(3)}", chance.randrange(20), "pane/x")
        if chance.random() < 0.2:
            shelf.discard(key)
            known.pop(key, None)
        else:
            shelf[key] = known[key] = (*known.get(key, ()), (step, step))[-3:]
        other = Key("summaries", f"meter/{chance.randrange(3)}", chance.randrange(20), "pane/x")
        assert (shelf.get(other), other in shelf) == (known.get(other), other in known)
    assert {key: shelf[key] for key in known} == known


def test_keys_of_other_kinds_are_other_keys():
    shelf = Shelf(bytes, held=1)
    shelf[Stamp("a", 1, 2)], shelf[Key("a", "1", 2, "")] = b"stamp", b"key"
    assert (shelf[Stamp("a", 1, 2)], shelf[Key("a", "1", 2, "")]) == (b"stamp", b"key")
    assert shelf.get(Key("a", "1", 3, "")) is None


def test_meter_in_an_audit_keeps_no_changes_since_a_checkpoint_that_never_comes(tmp_path):
    folder = archive(play(panes=3, detectors=()), tmp_path)
    job = Job(folder, 0, namespace_of(folder))
    fold = make_fold("meter", 0, 2, skew_max_ms=None)
    concluded = [metered for _, metered in metering(job, fold, Opener(tmp_path / "no.keys"))]
    assert sum(metered.records for metered in concluded) > 200
    assert fold.processor.join.take_changes(0) == {}


def test_meter_played_again_keeps_none_either(tmp_path):
    log = ArchiveLog(archive(play(panes=3, detectors=()), tmp_path))
    meter = make_fold("meter", 0, 2, skew_max_ms=None)
    wiring = Wiring(partitions=2)
    wiring.add(meter)
    inputs = (log.read(topic, 0) for topic in meter.inboxes)
    assert len(wiring.feed(map(to_record, chain(*inputs)))) > 200
    assert meter.processor.join.take_changes(0) == {}
