"""Checkpoints on the compacted topic: which one wins, and which can't be read."""

from __future__ import annotations

import msgspec

from streamops.hosts.checkpoint import Checkpoint
from streamops.hosts.checkpoint_topic import decode, encode, highest


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
