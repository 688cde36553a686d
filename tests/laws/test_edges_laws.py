"""Numbers of several versions binned at once: each lies where it lies alone."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamops.core.edges import Values, bin_numbers, tables_of
from streamops.core.feature_reader import Reader
from streamops.core.profile import bin_of
from streamops.values import FeatureProfile, ModelVersion, ReferenceProfile

numbers = st.integers(-30, 30) | st.floats(-30, 30) | st.none()
rows = st.lists(st.tuples(st.integers(0, 3), numbers, numbers), min_size=1, max_size=30)


def profile(name: str, edges: list[int]) -> FeatureProfile:
    counts = (1,) * (len(edges) + 4)
    return FeatureProfile(
        name=name, kind="numeric", counts=counts, edges=tuple(map(float, sorted(edges))),
        low=-21.0, high=21.0, quantum=2.0**-10,
    )  # fmt: skip


# Of no edge to twenty-five: as many as a power of two, one less, and others.
edges = st.lists(st.integers(-20, 20), unique=True, max_size=25)


@given(st.lists(st.tuples(edges, edges), min_size=1, max_size=4), rows)
def test_bins_of_many_versions_are_those_of_each(shapes, some):
    readers = [
        Reader(
            ModelVersion(
                model=f"m{at}", version="v", task="binary", profile_hash=str(at),
                profile=ReferenceProfile(rows=1, features=(profile("x", x), profile("y", y))),
            )
        )
        for at, (x, y) in enumerate(shapes)
    ]  # fmt: skip
    of_row = np.array([at % len(readers) for at, _, _ in some], dtype=np.int64)
    texts = [msgspec.json.encode({"x": x, "y": y}) for _, x, y in some]
    read = [readers[at].decoder.read_all([text])[0] for at, text in zip(of_row, texts, strict=True)]
    values = Values(readers, of_row, read, [None] * len(some))
    found = bin_numbers(tables_of(readers), of_row, values)
    for row, (at, (_, *pair)) in enumerate(zip(of_row.tolist(), some, strict=True)):
        for feature, value in enumerate(pair):
            bin_, amount, _ = bin_of(readers[at].features[feature], value)
            assert (found.at[row, feature], found.amounts[row, feature]) == (bin_, amount)
