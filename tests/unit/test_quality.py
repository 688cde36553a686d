"""quality: each kind's sound values, faults and boundaries, and agreement with the bins."""

from __future__ import annotations

import math

import msgspec
import pytest

from streamops.core.profile import bin_of, category_text
from streamops.core.quality import fault, fault_rates
from streamops.values import FeatureProfile

SOUND = [
    ("numeric", 0),
    ("numeric", -1.5),
    ("numeric", 1 << 53),
    ("numeric", -(1 << 53)),
    ("numeric", 5e-324),
    ("boolean", True),
    ("boolean", False),
    ("boolean", "true"),
    ("category", ""),
    ("category", "x" * 256),
    ("category", False),
    ("category", 3),
    ("category", 3.0),
    ("numeric", None),
    ("boolean", None),
    ("category", None),
]
FAULTS = [
    ("numeric", "1", "wrong_type"),
    ("numeric", True, "wrong_type"),
    ("numeric", [1], "wrong_type"),
    ("numeric", {}, "wrong_type"),
    ("numeric", math.nan, "not_finite"),
    ("numeric", math.inf, "not_finite"),
    ("numeric", -math.inf, "not_finite"),
    ("numeric", (1 << 53) + 1, "too_large"),
    ("numeric", -(1 << 2000), "too_large"),
    ("boolean", 1, "wrong_type"),
    ("boolean", 0.0, "wrong_type"),
    ("boolean", "yes", "wrong_type"),
    ("category", "x" * 257, "too_long"),
    ("category", 3.5, "wrong_type"),
    ("category", math.nan, "wrong_type"),
    ("category", [], "wrong_type"),
]


def profile(kind: str) -> FeatureProfile:
    if kind == "numeric":
        return FeatureProfile(name="f", kind="numeric", counts=(0, 1, 0, 0), low=0.0, high=1.0)
    categories = ("false", "true") if kind == "boolean" else ("a", "b")
    return FeatureProfile(name="f", kind=kind, counts=(1, 1, 0, 0), categories=categories)


@pytest.mark.parametrize(("kind", "value"), SOUND)
def test_a_sound_value_has_no_fault(kind, value):
    assert fault(kind, value) is None


@pytest.mark.parametrize(("kind", "value", "expected"), FAULTS)
def test_a_fault_has_a_name(kind, value, expected):
    assert fault(kind, value) == expected


@pytest.mark.parametrize(("kind", "value"), SOUND + [(kind, value) for kind, value, _ in FAULTS])
def test_bins_agree_on_what_is_a_fault(kind, value):
    assert bin_of(profile(kind), value)[2] == (fault(kind, value) is not None)


@pytest.mark.parametrize(("kind", "value"), SOUND)
def test_a_sound_category_has_a_text_to_be_counted_under(kind, value):
    counted = kind == "numeric" or value is None or category_text(value) is not None
    assert counted


def test_faults_of_a_decoded_object():
    decoded = msgspec.json.decode(b'{"age": "41", "member": 1, "town": "Ulm", "pay": null}')
    kinds = {"age": "numeric", "member": "boolean", "town": "category", "pay": "numeric"}
    found = {name: fault(kind, decoded[name]) for name, kind in kinds.items()}
    assert found == {"age": "wrong_type", "member": "wrong_type", "town": None, "pay": None}


def test_rates():
    assert fault_rates({"wrong_type": 1, "not_finite": 0}, 4) == {
        "not_finite": 0.0,
        "wrong_type": 0.25,
    }
    assert fault_rates({}, 4) == {}
    assert fault_rates({}, 0) is None
    with pytest.raises(AssertionError, match="of 4 values"):
        fault_rates({"too_long": 5}, 4)
