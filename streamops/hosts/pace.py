"""How far the inputs of one worker are ahead of its slowest partition (EPOCHS 6).

Rule 1: pace decides what is read next, never what is concluded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamops.core.epochs import Fold
from streamops.hosts.backlog import Place


def epochs_ahead(folds: Iterable[Fold[Any]]) -> dict[Place, int]:
    """Return, by topic and partition, by how many epochs it is ahead of the slowest fold."""
    held = list(folds)
    slowest = min((fold.epoch for fold in held), default=-1)
    return {
        (topic, fold.partition): fold.epoch + inbox.ahead - slowest
        for fold in held
        for topic, inbox in fold.inboxes.items()
    }
