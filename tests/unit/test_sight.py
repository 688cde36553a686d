"""sight: what a reference is said to let tests see, and where a user reads it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from msgspec.structs import replace

from streamops.core.pane_rows import measure_rows, numeric_bins
from streamops.core.profile import category_profile, numeric_profile
from streamops.core.sight import sight_of, words
from streamops.core.times import SECOND_US
from streamops.events import ModelRegistered, VersionActivated
from streamops.values import ModelVersion, ReferenceProfile
from tests.unit.test_pane_rows import ar1
from tests.unit.test_web import NOON, Book, serve
from tests.web_views import StoredViews

HOUR_US = 3600 * SECOND_US


def measured(values, times_us=None):
    plain = numeric_profile("x", values)
    return replace(plain, rows=measure_rows(plain, numeric_bins(plain, values), 1, times_us))


@cache
def hourly():
    """Ten days, three of a weekend, 40 rows an hour whose mean follows it; independent besides."""
    hours = np.repeat(np.arange(240), 40)
    wave = np.sin(hours % 24 / 24 * 2 * np.pi) * 2.0
    values = wave + np.random.default_rng(4).normal(0, 1, len(hours))
    return measured(values, hours * HOUR_US)


def test_independent_rows_are_counted_one_by_one():
    found = sight_of(measured(np.random.default_rng(0).normal(0, 1, 10_000)))
    assert (found.test, found.season, found.panes, found.rows_per_independent) == (
        "e-SR", None, 0, 1.0
    )  # fmt: skip
    # sqrt(30 / 10,000), and 1 / (.09 / 30 - 1 / 10,000).
    assert found.least_shift == pytest.approx(0.0548, abs=1e-4)
    assert found.rows_to_shift == 345
    assert words(found) == (
        "a shift of the mean by 0.3 sd is found in about 345 rows, one below 0.055 sd never"
    )


@pytest.mark.parametrize(("rho", "c"), [(0.6, 4.0), (0.9, 19.0)])
def test_rows_that_follow_each_other_stand_for_fewer(rho, c):
    found = sight_of(measured(ar1(50_000, rho, 1)))
    assert found.test == "t-SR"
    assert c / 1.7 < found.rows_per_independent < c * 1.7
    assert found.rows_to_shift > 345 * c / 2


def test_a_reference_that_is_too_short_for_a_shift_says_so():
    found = sight_of(measured(ar1(1_000, 0.9, 1)))
    assert found.rows_to_shift is None
    assert "is never found: give a longer reference" in words(found)


def test_what_a_season_explains_is_no_dependence():
    found = sight_of(hourly())
    assert (found.test, found.season, found.panes) == ("t-SR", "hour_weekend", 240)
    assert found.rows_per_independent < 1.5
    assert abs(found.lag_1) < 0.2
    pooled = sight_of(replace(hourly(), rows=replace(hourly().rows, season=None, phases=b"")))
    assert pooled.rows_per_independent > 10


def test_categories_constants_and_profiles_that_were_never_measured_have_an_answer():
    words_of = sight_of(category_profile("c", ["a", "b"] * 50))
    assert (words_of.least_shift, words_of.is_measured) == (None, False)
    assert "without a mean" in words(words_of)
    for values in ([1.0] * 100, [None] * 100, []):
        assert sight_of(numeric_profile("x", values)).least_shift is None


def test_a_models_page_and_its_json_show_what_the_reference_measured(tmp_path):
    book = Book()
    profile = ReferenceProfile(
        rows=9600, features=(hourly(),), label=category_profile("label", [0, 1] * 50)
    )
    version = ModelVersion(
        model="m", version="v1", task="binary", profile=profile, profile_hash="p", positive="1"
    )
    book.add("lifecycle", ModelRegistered(id="r", time=NOON, version=version))
    activated = VersionActivated(id="a", time=NOON, revision=1, first_pane=NOON, version=version)
    book.add("predictions", activated)
    for client in serve(StoredViews(tmp_path, book.conclude())):
        found = client.get("/api/models/m").json()["reference"]
        assert (found["version"], found["rows"]) == ("v1", 9600)
        assert [(c["name"], c["role"], c["season"]) for c in found["columns"]] == [
            ("x", "feature", "hour_weekend"), ("label", "label", None)
        ]  # fmt: skip
        page = client.get("/models/m").text
        assert "hour of the day, weekends apart" in page
        assert f"found in about {found['columns'][0]['rows_to_shift']:,} rows" in page
        assert "not measured" in page
