"""Norms of what shares may have become: by how much a tilt or a lift must be divided.

Rule 1: all follow from the reference's shares p, [stream, bin], before the first live pane.
"""

from __future__ import annotations

import numpy as np

from streamops.core.normal import bin_scores
from streamops.core.numeric import Floats, Integers, exp, log
from streamops.core.ordered import dot_last, sum_last
from streamops.core.packed import Flags

TILTS = (0.1, 0.2, 0.4, -0.1, -0.2, -0.4)
LIFTS = (3.0, 1.7, 0.5)
# Norms of bins that may be lifted are below it.
LIFTABLE = 1e8
_NEVER = 1e9
_TINY = float.fromhex("0x1p-1000")


def scores(p: Floats, ordered: Flags) -> Floats:
    """Normal scores and their squares less the mean: [stream, 2, bin]; 0 for categories."""
    first = bin_scores(p)
    square = first * first
    second = square - dot_last(p, square)[:, np.newaxis]
    return np.stack([first, second], axis=1) * ordered[:, np.newaxis, np.newaxis]


def lift_norms(p: Floats, exists: Integers) -> Floats:
    """Log of the norm of p with one bin lifted: [stream, lift, bin]; huge for padding."""
    norms = log(1.0 + p[:, np.newaxis] * (np.array(LIFTS)[:, np.newaxis] - 1.0))
    return np.where(liftable(p, exists)[:, np.newaxis], norms, _NEVER)


def liftable(p: Floats, exists: Integers) -> Flags:
    """Bins of up to half the rows: to lift a larger one is to lower the others."""
    is_alone = (np.add.reduce(exists, axis=1) == 1)[:, np.newaxis]
    found: Flags = (exists > 0) & ((p <= 0.5) | is_alone)
    return found


def log_count(liftable: Flags) -> Floats:
    """Log of how many bins can be lifted, by stream."""
    return log(np.add.reduce(liftable.astype(np.int64), axis=1).astype(np.float64))


def tilt_norms(p: Floats, scores: Floats) -> Floats:
    """Log of the norm of p tilted by each theta on each score: [stream, score, theta]."""
    tilted = (
        exp(scores[:, :, np.newaxis] * np.array(TILTS)[:, np.newaxis])
        * p[:, np.newaxis, np.newaxis]
    )
    return log(np.maximum(sum_last(tilted), _TINY))
