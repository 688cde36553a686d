"""River's detectors: the change is found, dated, and the state survives under its key."""

from __future__ import annotations

import itertools
import pickle
import platform

import pytest

from streamops.errors import ConfigError, InputError
from streamops.training.detectors import NAMES, RiverDetector, make_detector

CALM, CHANGED = 1000, 600
# An error in ten, then one in two, evenly spread: no randomness, no luck.
STREAM = [float(at % 10 == 0) for at in range(CALM)] + [float(at % 2 == 0) for at in range(CHANGED)]


def first_drift(detector, stream=STREAM):
    for at, error in enumerate(stream):
        if detector.update(error) == "drift":
            return at
    return None


@pytest.mark.parametrize("name", NAMES)
def test_a_change_is_found_and_dated_near_where_it_began(name):
    detector = make_detector(name)
    found = first_drift(detector)
    assert CALM < found < CALM + 400
    assert abs((found - detector.since_back) - CALM) < 200


@pytest.mark.parametrize("name", NAMES)
def test_a_calm_stream_is_no_drift(name):
    assert first_drift(make_detector(name), STREAM[:CALM]) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_drift_starts_the_detector_anew(name):
    detector = make_detector(name)
    found = first_drift(detector)
    after = [detector.update(error) for error in STREAM[:300]]
    fresh = make_detector(name)
    assert after == [fresh.update(error) for error in STREAM[:300]]
    assert found is not None


@pytest.mark.parametrize("error", [1e308, float("inf")])
@pytest.mark.parametrize("name", ["adwin", "page_hinkley"])
def test_one_error_out_of_all_range_blinds_no_detector(name, error):
    detector = make_detector(name)
    first_drift(detector, [*STREAM[:500], error])
    assert first_drift(detector) is not None


@pytest.mark.parametrize(("name", "cut"), list(itertools.product(NAMES, (0, 1, 700, 1010))))
def test_a_state_put_away_goes_on_as_if_nothing_had_happened(name, cut):
    key = b"k" * 32
    whole, first = make_detector(name), make_detector(name)
    for error in STREAM[:cut]:
        whole.update(error)
        first.update(error)
    second = RiverDetector.load(first.dump(key), key)
    third = pickle.loads(pickle.dumps(first))
    for error in STREAM[cut:]:
        level = whole.update(error)
        assert second.update(error) == third.update(error) == level
        assert second.since_back == third.since_back == whole.since_back


def test_ddm_warns_before_it_calls_a_drift():
    detector = make_detector("ddm")
    levels = [detector.update(error) for error in STREAM]
    assert levels.index("warning") < levels.index("drift")


def test_a_state_under_another_key_is_refused():
    data = make_detector("adwin").dump(b"a" * 32)
    with pytest.raises(InputError, match="keyed hash"):
        RiverDetector.load(data, b"b" * 32)


def test_the_platform_names_library_and_machine():
    named = make_detector("ddm").platform
    assert named.startswith("river ")
    assert platform.machine() in named


def test_an_unknown_detector_is_the_operators_fault():
    with pytest.raises(ConfigError, match="'kswin'"):
        make_detector("kswin")
