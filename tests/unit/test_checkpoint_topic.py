"""Checkpoints on the compacted topic: which one wins, and which can't be read."""

from __future__ import annotations

import msgspec
import pytest

from streamops.config import ModelConfig, config_hash
from streamops.core.epochs import Fold
from streamops.core.monitor import Monitor, MonitorState
from streamops.errors import ConfigError
from streamops.hosts.checkpoint import Checkpoint, migrated, resume
from streamops.hosts.checkpoint_topic import decode, encode, highest
from tests.builders import version


def checkpoint(epoch: int, offset: int, name: str = "monitor") -> Checkpoint:
    return Checkpoint(
        processor=name,
        partition=0,
        semantics=1,
        epoch=epoch,
        positions={"summaries": offset},
        state=b"",
    )


def test_the_highest_checkpoint_wins_whoever_wrote_last():
    zombies, newest, other = checkpoint(3, 50), checkpoint(7, 90), checkpoint(7, 80)
    best = highest([zombies, newest, checkpoint(1, 1, "controller"), other, zombies])
    assert best == {"monitor": newest, "controller": checkpoint(1, 1, "controller")}


def test_a_checkpoint_of_another_format_is_passed_over():
    assert decode(encode(checkpoint(1, 2))) == checkpoint(1, 2)
    assert decode(encode(msgspec.structs.replace(checkpoint(1, 2), format=99))) is None
    assert decode(b"\x00not gzip") is None
    assert decode(encode(checkpoint(1, 2))[:-9]) is None


def test_a_state_from_before_drift_tests_goes_on_and_has_none():
    config, pinned = ModelConfig(model="m"), {"m\tv1": version()}
    old = msgspec.msgpack.encode([pinned, {config_hash(config): config}])
    fold = Fold(Monitor(), partition=0, partitions=1)
    resumed = resume(fold, msgspec.structs.replace(checkpoint(4, 9), state=old), [])
    assert resumed.state == MonitorState(pinned, {config_hash(config): config}, {})
    assert (resumed.epoch, resumed.inboxes["summaries"].position) == (4, 9)


@pytest.mark.parametrize("name", ["monitor", "detect", "controller"])
def test_every_processor_that_changed_has_its_migration(name):
    assert migrated(checkpoint(1, 1, name), 2).semantics == 2


def test_no_migration_leads_from_a_later_or_a_foreign_state():
    later = msgspec.structs.replace(checkpoint(1, 1), semantics=9)
    assert migrated(later, 2) == later
    assert migrated(checkpoint(1, 1, "meter"), 2).semantics == 1
    with pytest.raises(ConfigError, match="has semantics 9, this version has 5"):
        resume(Fold(Monitor(), partition=0, partitions=1), later, [])
