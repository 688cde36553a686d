"""The law of `distances`: all columns at once are each column alone, to the last bit."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from streamops.core import statistics
from streamops.core.distances import Distances, distances_of
from streamops.values import FeatureProfile

# Small counts meet empty sides and bins, large ones every rounding.
count = st.one_of(st.integers(0, 4), st.integers(0, 10**6))


@st.composite
def columns(draw: st.DrawFn) -> tuple[FeatureProfile, tuple[int, ...]]:
    """A profile of either layout, with a pane's counts."""
    edges = sorted(draw(st.sets(st.floats(-9, 9, width=32), max_size=6)))
    is_numeric = draw(st.booleans())
    bins = len(edges) + 4 if is_numeric else draw(st.integers(2, 6))
    counts = st.lists(count, min_size=bins, max_size=bins).map(tuple)
    profile = FeatureProfile(
        name="x",
        kind="numeric" if is_numeric else "category",
        counts=draw(counts),
        edges=tuple(edges) if is_numeric else (),
        low=-10.0,
        high=10.0,
    )
    return profile, draw(counts)


def alone(profile: FeatureProfile, counts: tuple[int, ...]) -> Distances:
    """What `statistics` says of one column."""
    reference = profile.counts
    psi, js = statistics.psi(counts, reference), statistics.js(counts, reference)
    if profile.kind == "numeric":
        spread = profile.edges, profile.low, profile.high
        return Distances(
            psi,
            js,
            statistics.kl(counts, reference),
            statistics.ks(counts[:-1], reference[:-1]),
            statistics.wasserstein(counts[:-1], reference[:-1], *spread),
        )
    chi2 = statistics.chi2_two_sample(counts, reference)
    return Distances(psi, js) if chi2 is None else Distances(psi, js, None, None, None, *chi2[::2])


def bits(distances: Distances) -> list[str]:
    return [repr(value) for value in distances]


NUMBER = FeatureProfile(name="x", kind="numeric", counts=(0, 3, 0, 1), low=0.0, high=1.0)
WORD = FeatureProfile(name="c", kind="category", counts=(5, 0, 0))


@given(st.lists(columns(), min_size=1, max_size=5))
@example([(NUMBER, (0, 0, 0, 7)), (WORD, (0, 0, 0)), (WORD, (1, 2, 3))])
@example([(NUMBER, (1, 2, 3, 4)), (NUMBER, (0, 3, 0, 1))])
def test_all_columns_at_once_are_each_alone(given_columns):
    profiles, rows = zip(*given_columns, strict=True)
    found = distances_of(profiles, rows)
    assert [bits(one) for one in found] == [bits(alone(*pair)) for pair in given_columns]


def test_no_columns_have_no_distances():
    assert distances_of((), ()) == []
