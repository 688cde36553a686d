"""Season: the regressors that a pane's phase (hour of the day, day of the week) stands for.

Rule 1: a season is a table, one row of regressors a phase; a pane only names its phase.
Rule 2: sines are made here from single operations: libm's differ between systems.
Rule 3: a phase with a column of its own makes X'X diagonal, which `solve` relies on.
"""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np

from streamops.core.numeric import Floats, Integers

_TURN = 6.283185307179586
_TERMS = 10
_PIVOT_MIN = 1e-9


class Season(msgspec.Struct, frozen=True, array_like=True):
    """Regressors by phase. `diagonal`: no two columns are ever filled in one phase."""

    rows: tuple[tuple[float, ...], ...] = ((1.0,),)
    diagonal: bool = True

    @property
    def columns(self) -> int:
        """How many regressors there are."""
        return len(self.rows[0])


NO_SEASON = Season()


@cache
def phases(count: int) -> Season:
    """Every phase has a mean of its own. Wants three or four reference panes in each phase."""
    assert count > 0, f"{count} phases"
    return Season(tuple(tuple(float(i == j) for j in range(count)) for i in range(count)))


def sines(count: int, harmonics: int = 1) -> Season:
    """A mean and `harmonics` waves over `count` phases: for a reference too short for `phases`."""
    assert 0 < 2 * harmonics < count, f"{harmonics} harmonics of {count} phases"
    rows = []
    for phase in range(count):
        waves = [_wave(phase * k % count, count) for k in range(1, harmonics + 1)]
        rows.append((1.0, *(value for wave in waves for value in wave)))
    return Season(tuple(rows), diagonal=False)


def _wave(part: int, whole: int) -> tuple[float, float]:
    """Cosine and sine of part/whole of a turn, within 1e-15."""
    angle = _TURN * (part if 2 * part <= whole else part - whole) / whole
    # An eighth of the angle is small enough for ten terms; three doublings bring it back.
    small = angle / 8.0
    cosine, sine, term = 1.0, small, small
    power = 1.0
    for k in range(1, _TERMS):
        power = -power * small * small / ((2 * k - 1) * (2 * k))
        term = -term * small * small / ((2 * k) * (2 * k + 1))
        cosine, sine = cosine + power, sine + term
    for _ in range(3):
        cosine, sine = cosine * cosine - sine * sine, 2.0 * sine * cosine
    return cosine, sine


def products(season: Season) -> Floats:
    """Return what a pane of each phase adds to X'X: [phase, column], or [phase, column, column]."""
    table: Floats = np.array(season.rows)
    square: Floats = table[:, :, np.newaxis] * table[:, np.newaxis, :]
    return table * table if season.diagonal else square


def root(season: Season, gram: Floats) -> Floats:
    """Return what `ranks` and `whiten` want of X'X, by stream: L with L L' = X'X, and where X'X is
    diagonal, the diagonal of L^-1. A dead column (a phase never seen) is 0.
    """
    if not season.diagonal:
        return _factor(gram)
    lives = gram > 0.0
    return np.where(lives, 1.0 / np.sqrt(np.where(lives, gram, 1.0)), 0.0)


def ranks(season: Season, root: Floats) -> Integers:
    """Return the rank of X of each stream: dead columns don't count."""
    pivots = root if season.diagonal else root[:, _diagonal(season), _diagonal(season)]
    found: Integers = np.add.reduce((pivots > 0.0).astype(np.int64), axis=-1)
    return found


def whiten(season: Season, root: Floats, columns: Floats) -> Floats:
    """Return L^-1 of vectors in the regressors' space.

    `columns` is [stream, ..., column]. A product of two such vectors is then a'(X'X)^-1 b. A
    dead direction gives 0: the pseudo-inverse.
    """
    if season.diagonal:
        return columns * _spread(root, columns.ndim)
    return _forward(root, columns)


def _diagonal(season: Season) -> list[int]:
    return list(range(season.columns))


def _spread(values: Floats, ndim: int) -> Floats:
    """Give [stream, column] the axes between that a broadcast needs."""
    return values.reshape(values.shape[0], *(1,) * (ndim - 2), values.shape[1])


def _factor(gram: Floats) -> Floats:
    """Cholesky's L of each matrix; a column without a pivot is 0."""
    size = gram.shape[-1]
    lower = np.zeros_like(gram)
    rest = gram.copy()
    for i in range(size):
        pivot = rest[:, i, i]
        lives = pivot > gram[:, i, i] * _PIVOT_MIN
        root = np.sqrt(np.where(lives, pivot, 1.0))
        column = np.where(lives[:, np.newaxis], rest[:, :, i] / root[:, np.newaxis], 0.0)
        column[:, :i] = 0.0
        lower[:, :, i] = column
        rest = rest - column[:, :, np.newaxis] * column[:, np.newaxis, :]
    return lower


def _forward(lower: Floats, columns: Floats) -> Floats:
    """Solve L y = x by forward substitution."""
    found = np.zeros_like(columns)
    rest = columns.copy()
    for i in range(lower.shape[-1]):
        pivot = _spread(lower[:, i, i : i + 1], columns.ndim)[..., 0]
        lives = pivot > 0.0
        value = np.where(lives, rest[..., i] / np.where(lives, pivot, 1.0), 0.0)
        found[..., i] = value
        rest = rest - _spread(lower[:, :, i], columns.ndim) * value[..., np.newaxis]
    return found
