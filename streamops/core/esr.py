"""e-SR: drift of shares over bins, row by row: categories, missing, rare bins, short references.

Rule 1: a state is fed panes in order and holds integer counts only; twelve start ages a stream.
Rule 2: all streams of a pane are judged in one call, and each as if it were alone.
Rule 3: an alarm forgets the stream's live panes: it begins anew against the frozen reference.
Rule 4: an empty pane is no evidence and leaves the state as it was.

For the panes from a start s to now with counts C, after P = prior + reference + live counts before
s, with DM(C; a) the Dirichlet-multinomial probability and p the reference's shares,

    BF_s = [ .1 mean over k in 50, 1000 of DM(C; k p) + .9 max_j w_j prod_b q_jb^C_b ] / DM(C; P)
    R    = sum over starts of BF_s^(1/c);   alarm when R >= A

The alternatives q_j tilt p, and their weights w_j add up to 1: numeric streams by exp(+-theta s)
with s the normal score or its square, theta .1, .2, .4, equally; others lift one bin's odds by 3
(.4), 1.7 (.4) or 1/2 (.2), each bin equally. A maximum of weighted terms is below their sum, so it
takes nothing from the bound and spares an exponential for each.

Assumptions: rows are independent, or c, their dispersion (mean X2 of the reference's panes over its
degrees of freedom, its upper end), is known; 1 / c <= 1 only lowers the mean of BF (Jensen). Shares
have the prior Dirichlet(prior + reference): exact for quantile edges of a continuous column, near
it for categories (Jeffreys' 1/2 a bin).

P(false alarm within T panes of a stream) <= T / A. Sketch. Without drift C given the past has law
DM(C; P), so BF_s is a ratio of a probability to the true one: given the past a martingale in time
from its start on, of mean 1 (at most 1 with the maximum and with 1 / c). M_t = sum of BF_s over
all s <= t has E M_t <= t, and adding what the Jensen steps lose makes it a submartingale that is
never negative; Doob: P(max M_t >= A, t <= T) <= T / A. Fewer starts only lower it. (Shiryaev 1963,
Roberts 1966; as e-detectors: Shin, Ramdas, Rinaldo 2023.)
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from streamops.core import starts as ages
from streamops.core.alternatives import (
    CONCENTRATIONS,
    LINEAR,
    Baseline,
    linear_sums,
    log_beta_of,
    log_likelihoods,
)
from streamops.core.numeric import Floats, Integers, exp, log
from streamops.core.ordered import sum_first
from streamops.core.packed import Flags, floats, integers, pack_all, select

SHARP = 0.9
_EXPONENT_MAX = 700.0
_FACTOR_MIN = float.fromhex("0x1p-1000")


class State(msgspec.Struct, frozen=True, array_like=True):
    """Live panes of `streams` streams of `bins` bins, packed arrays.

    panes   [stream] live panes since the last alarm
    starts  [stream, slot] pane number a start began in, 0 for none
    counts  [stream, slot, bin] rows since the start; live: [stream, bin] all of them
    linear  [stream, slot, 3] what is linear in those counts, as `alternatives` sums it
    before  [stream, slot] log beta of P; now: [stream] of prior and all counts
    """

    streams: int
    bins: int
    panes: bytes
    starts: bytes
    counts: bytes
    live: bytes
    linear: bytes
    before: bytes
    now: bytes


class Findings(NamedTuple):
    """One pane's conclusions, arrays over streams.

    evidence  R; is_alarm: R reached A
    age       panes since the likeliest start, both ends included; 0 without evidence
    """

    evidence: Floats
    is_alarm: Flags
    age: Integers


class _Live(NamedTuple):
    panes: Integers
    starts: Integers
    counts: Integers
    live: Integers
    linear: Floats
    before: Floats
    now: Floats


def initial(base: Baseline) -> State:
    """Return the state before the first live pane."""
    streams, bins = base.shape
    live = _Live(
        np.zeros(streams, dtype=np.int64),
        np.zeros((streams, ages.SLOTS), dtype=np.int64),
        np.zeros((streams, ages.SLOTS, bins), dtype=np.int64),
        np.zeros((streams, bins), dtype=np.int64),
        np.zeros((streams, ages.SLOTS, LINEAR)),
        np.zeros((streams, ages.SLOTS)),
        log_beta_of(base, np.zeros((streams, bins), dtype=np.int64)),
    )
    return State(streams, bins, *pack_all(live))


def step(base: Baseline, state: State, counts: Integers, alarm_at: float) -> tuple[State, Findings]:
    """Take one pane's counts, [stream, bin]: the next state, and what it says."""
    assert alarm_at >= 1.0, f"alarm at {alarm_at}, must be at least 1"
    seen = np.add.reduce(counts, axis=1) > 0
    live = _unpack(base, state)
    added = _add(base, live, counts)
    found = _conclude(_factors(base, added), added, alarm_at, seen)
    if not seen.all():
        added = _Live._make(select(seen, added, live))
    if found.is_alarm.any():
        fresh = _unpack(base, initial(base))
        added = _Live._make(select(found.is_alarm, fresh, added))
    added = added._replace(starts=np.broadcast_to(added.starts, live.starts.shape))
    return State(state.streams, state.bins, *pack_all(added)), found


def _unpack(base: Baseline, state: State) -> _Live:
    n, bins = state.streams, state.bins
    assert (n, bins) == base.shape, f"a state of {n} x {bins}, not {base.shape}"
    return _Live(
        integers(state.panes, n),
        integers(state.starts, n, ages.SLOTS),
        integers(state.counts, n, ages.SLOTS, bins),
        integers(state.live, n, bins),
        floats(state.linear, n, ages.SLOTS, LINEAR),
        floats(state.before, n, ages.SLOTS),
        floats(state.now, n),
    )


def _add(base: Baseline, live: _Live, counts: Integers) -> _Live:
    """Add one pane to every start that lives, the newest among them."""
    panes = live.panes + 1
    starts, opened = ages.advance(live.starts, panes)
    lives = (starts > 0).astype(np.int64)[..., np.newaxis]
    old = lives.copy()
    old[np.arange(len(old)), opened] = 0
    before = live.before * old[..., 0]
    before[np.arange(len(panes)), opened] = live.now
    # Times 0 or 1, which takes longer.
    since = live.counts & -old
    since += counts[:, np.newaxis] & -lives
    total = live.live + counts
    linear = linear_sums(base, counts)[:, np.newaxis] * lives
    return _Live(
        panes,
        starts,
        since,
        total,
        live.linear * old + linear,
        before,
        log_beta_of(base, total),
    )


def _factors(base: Baseline, live: _Live) -> Floats:
    """Bayes factors to the power 1 / c, [slot, stream]; 0 in an empty slot."""
    doubled = np.multiply(live.counts.transpose(2, 1, 0), 2, order="C")
    linear = np.ascontiguousarray(live.linear.transpose(2, 1, 0))
    exponents = log_likelihoods(base, doubled, linear)
    exponents -= live.now - live.before.transpose()
    terms = exp(np.minimum(exponents, _EXPONENT_MAX))
    mean = sum_first(terms[:-1]) / len(CONCENTRATIONS)
    factor = mean * (1.0 - SHARP) + terms[-1] * SHARP
    is_wide = base.dispersion > 1.0
    if is_wide.any():
        root = exp(log(np.maximum(factor, _FACTOR_MIN)) / base.dispersion)
        factor = np.where(is_wide, root, factor)
    found: Floats = factor * (live.starts > 0).transpose()
    return found


def _conclude(factors: Floats, live: _Live, alarm_at: float, seen: Flags) -> Findings:
    evidence = np.where(seen, sum_first(factors), 0.0)
    best = np.argmax(factors, axis=0)
    at = ages.picked(live.starts, live.panes, best)
    return Findings(evidence, evidence >= alarm_at, np.where(evidence > 0.0, at, 0))
