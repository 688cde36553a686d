"""Bayes factors of a t-test of live panes against the reference: what `tsr` adds up.

Rule 1: sums in, factors out; nothing here remembers a pane.
Rule 2: powers by products alone: no logarithm, no exponential, unless panes remember each other.
Rule 3: a start that can't be told from the season (all its panes in phases never seen before)
        has the factor 0, and so has a feature without spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from streamops.core.numeric import Floats, Integers, exp, log
from streamops.core.ordered import dot_last
from streamops.core.packed import Flags
from streamops.core.scores import DIRECTIONS, Scale, is_scored, score
from streamops.core.season import NO_SEASON, Season, products, ranks, root, whiten
from streamops.core.starts import Turn

EFFECTS = (1.0, 16.0)
THICK = 1.5
MEAN, SHAPE = DIRECTIONS.index("mean"), DIRECTIONS.index("shape")
SHAPED_ROWS_MIN = 16.0
_EFFECTS = np.array(EFFECTS).reshape(2, 1, 1, 1)
_LEFT_MIN = float.fromhex("0x1p-52")
_POWER_MIN = 1e-300
_EFFECTIVE_MIN = 1e-9
_FACTOR_MIN = float.fromhex("0x1p-1000")


@dataclass(frozen=True, eq=False)
class Baseline:
    """What reference panes bring.

    rows, products  the season's regressors and what they add to X'X, by phase
    panes, squares, columns, gram  number, z'z, X'z, X'X; arrays over features
    dispersion  how many panes stand for one independent pane, at least 1; over features
    shape       mean shape score of the reference's panes
    is_shaped   whether a change of shape is looked for: a mean pane of the reference says as much
                as SHAPED_ROWS_MIN independent rows, by how much its panes' mean scores differ. With
                fewer the logarithm of X2 is far from normal (electricity's weeks: three to twelve)
    """

    scale: Scale
    season: Season
    rows: Floats
    products: Floats
    panes: Integers
    squares: Floats
    columns: Floats
    gram: Floats
    dispersion: Floats
    shape: Floats
    is_shaped: Flags


class Live(NamedTuple):
    """Sums over live panes; arrays over features, as `tsr.State` lists them."""

    panes: Integers
    turn: Turn
    sums: Floats
    during: Floats
    squares: Floats
    columns: Floats
    gram: Floats


def baseline(
    scale: Scale,
    panes: Integers,
    phases: Integers | None = None,
    season: Season = NO_SEASON,
    dispersion: Sequence[float] | None = None,
) -> Baseline:
    """Return what reference panes, [pane, feature, bin] with a phase each, bring.

    phases  by pane, or by pane and feature where features have seasons of their own
    """
    phases = np.zeros(len(panes), dtype=np.int64) if phases is None else phases
    assert len(phases) == len(panes), f"{len(phases)} phases of {len(panes)} panes"
    if phases.ndim == 1:
        phases = phases[:, np.newaxis]
    rows, added = np.array(season.rows), products(season)
    seen = is_scored(scale, panes)[..., np.newaxis].astype(np.float64)
    z = score(scale, panes, inside=True) * seen
    x, xx = rows[phases], added[phases]
    gram = _total(seen.reshape(*seen.shape[:2], *(1,) * (xx.ndim - 2)) * xx)
    columns = _total(z[..., np.newaxis] * x[:, :, np.newaxis])
    count = np.add.reduce(seen[..., 0].astype(np.int64), axis=0)
    c = np.ones(len(count)) if dispersion is None else np.array(dispersion, dtype=np.float64)
    assert bool(np.all(c >= 1.0)), "a dispersion below 1"
    shape, squares = _total(z[..., SHAPE]) / np.maximum(count, 1), _total(z * z)
    is_shaped = _effective(scale, season, count, squares, columns, gram) >= SHAPED_ROWS_MIN
    return Baseline(scale, season, rows, added, count, squares, columns, gram, c, shape, is_shaped)


def _effective(
    scale: Scale, season: Season, panes: Integers, squares: Floats, columns: Floats, gram: Floats
) -> Floats:
    """Return as how many independent rows a mean pane of the reference is, season apart."""
    inverse = root(season, gram)
    fitted = whiten(season, inverse, columns[:, MEAN])
    rest = np.maximum(squares[:, MEAN] - dot_last(fitted, fitted), 0.0)
    left = np.maximum(panes - ranks(season, inverse), 1)
    # No spread at all is as many rows as there are.
    widest = np.maximum(rest / left, scale.noise[:, MEAN])
    found: Floats = scale.rows * scale.noise[:, MEAN] / np.where(widest > 0.0, widest, 1.0)
    return found


def together(parts: Sequence[Baseline]) -> Baseline:
    """Return the features of baselines of one season and width behind each other."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    scale = Scale._make(map(np.concatenate, zip(*(part.scale for part in parts), strict=True)))

    def of(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    names = ("panes", "squares", "columns", "gram", "dispersion", "shape", "is_shaped")
    return Baseline(scale, first.season, first.rows, first.products, *map(of, names))


def live_score(base: Baseline, counts: Integers) -> Floats:
    """Return [feature, direction] scores of a live pane.

    A pane of more than THICK times the reference's rows can't speak for a change of shape: where
    rows depend on each other X2 grows with the rows of a pane. Its score is at most the mean.
    """
    z = score(base.scale, counts)
    rows: Integers = np.add.reduce(counts, axis=1)
    is_thick = rows > base.scale.rows * THICK
    z[:, SHAPE] = np.where(is_thick, np.minimum(z[:, SHAPE], base.shape), z[:, SHAPE])
    return z


def _total(terms: Floats) -> Floats:
    found: Floats = np.add.accumulate(terms, axis=0)[-1]
    return found


def factors(base: Baseline, live: Live) -> Floats:
    """Bayes factors, [feature, direction, slot]; 0 in an empty slot."""
    season = base.season
    inverse = root(season, base.gram + live.gram)
    during = whiten(season, inverse, live.during)
    columns = whiten(season, inverse, base.columns + live.columns)
    left = np.maximum(base.panes + live.panes - ranks(season, inverse), 0)
    effective = live.turn.ages - dot_last(during, during)
    shift = live.sums - dot_last(during[:, np.newaxis], columns[:, :, np.newaxis])
    floor = base.scale.noise * left[:, np.newaxis]
    rest = np.maximum(base.squares + live.squares - dot_last(columns, columns), floor)
    lives = effective > _EFFECTIVE_MIN
    n_eff = np.where(lives, effective, 1.0)[:, np.newaxis]
    safe = np.where(rest > 0.0, rest, np.inf)[..., np.newaxis]
    r2 = np.minimum(shift * shift / (n_eff * safe), 1.0)
    width = n_eff * _EFFECTS
    wider = width + 1.0
    fit = r2 * (width / wider)
    np.subtract(1.0, fit, out=fit)
    np.maximum(fit, _LEFT_MIN, out=fit)
    power = _power(np.sqrt(fit, out=fit), left)
    np.maximum(power, _POWER_MIN, out=power)
    power *= np.sqrt(wider)
    both = np.divide(1.0, power, out=power)
    found: Floats = (both[0] + both[1]) * (0.5 * lives)[:, np.newaxis]
    # A pane more like the reference than its own panes are is no drift.
    speaks = (shift[:, SHAPE] > 0.0) & base.is_shaped[:, np.newaxis]
    found[:, SHAPE] = np.where(speaks, found[:, SHAPE], 0.0)
    return _root(found, base.dispersion) if bool(np.any(base.dispersion > 1.0)) else found


def _root(x: Floats, c: Floats) -> Floats:
    """x, [feature, ...], to the power 1 / c of its feature; 0 stays 0, and c = 1 its bits."""
    wide = np.flatnonzero(c > 1.0)
    some = x[wide]
    rooted = exp(log(np.maximum(some, _FACTOR_MIN)) / c[wide, np.newaxis, np.newaxis])
    x[wide] = np.where(some > 0.0, rooted, 0.0)
    return x


def _power(x: Floats, exponents: Integers) -> Floats:
    """x, [effect, feature, ...], to each feature's whole power, by squaring; x is 0..1 and lost."""
    found, shape = np.ones_like(x), (-1, *(1,) * (x.ndim - 2))
    some = int(np.bitwise_or.reduce(exponents, initial=0))
    all_ = int(np.bitwise_and.reduce(exponents, initial=-1))
    for bit in range(some.bit_length()):
        if all_ >> bit & 1:
            found *= x
        elif some >> bit & 1:
            odd = (exponents & (1 << bit)).astype(np.bool_).reshape(shape)
            np.multiply(found, x, out=found, where=odd)
        x *= x
    return found
