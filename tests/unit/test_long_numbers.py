"""Numbers that a checkpoint has no room for: refused as they come in, or written as text."""

from __future__ import annotations

import json
import re

import msgspec
import pytest

from streamops import codec
from streamops.codec import decode
from streamops.config import ModelConfig
from streamops.core.epochs import Fold
from streamops.core.meter import Meter
from streamops.core.meter_state import MeterState
from streamops.core.panes import Pane, PaneKey, performance_of
from streamops.core.seal_leaves import leaves_of, load_state, places_of
from streamops.errors import InputError
from streamops.events import (
    CandidateScored,
    ConfigActivated,
    LabelArrived,
    PaneSummarized,
)
from streamops.hosts.checkpoint import checkpoint_of, resume
from tests.builders import at, config, rule

LONG = 10**30
KEY = PaneKey("m", "v1", "all", 0, 10_000_000, "h")


def prediction(**fields):
    return {"type": "PredictionMade", "id": "p", "model": "m", "version": "v1", **fields}


@pytest.mark.parametrize(
    ("field", "record"),
    [
        ("$.prediction", prediction(prediction=LONG)),
        ("$.label", {"type": "LabelArrived", "id": "l", "prediction_id": "p", "label": -LONG}),
        ("$.label", {"type": "LabelArrived", "id": "l", "prediction_id": "p", "label": 10**400}),
        ("$.epoch", {"type": "Tick", "id": "t", "epoch": LONG}),
        (
            "$.revision",
            {"type": "ActivationDelivered", "id": "a", "revision": LONG, "model": "m"},
        ),
    ],
)
def test_an_integer_beyond_64_bits_is_refused_by_its_field(field, record):
    value = json.dumps({**record, "time": "1970-01-01T00:00:00Z"}).encode()
    with pytest.raises(InputError, match=re.escape(field)):
        decode(value)
    assert all(isinstance(found, InputError) for found in codec.decode_all([value] * 5))


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0])
def test_one_of_64_bits_is_taken(number):
    label = LabelArrived(id="l", time=at(0), prediction_id="p", label=number)
    assert decode(codec.encode(label)) == label


def test_what_the_fold_keeps_of_commands_and_configurations_fits_too():
    scored = CandidateScored(
        id="s", time=at(0), model="m", version="v", request_id="r", champion_version="", rows=LONG
    )
    slack = msgspec.structs.replace(rule(), minimum=LONG)
    given: ModelConfig = config(rules=(slack,))
    active = ConfigActivated(
        id="c", time=at(0), revision=1, first_pane=at(0), config=given, config_hash=""
    )
    for event in (scored, active):
        with pytest.raises(InputError, match="9223372036854775807"):
            decode(codec.encode(event))


def large_errors(rows):
    """A pane of a regression whose errors are of hundreds of thousands."""
    term = 1 << 53
    return Pane(
        measured=rows, squared_error=rows * term, sums=[[-rows * term, 5]], counts=[[rows, 1]],
        score_sums=[rows * term], confusion={("1", "2"): 3}, chain=b"c", spans={"labels": [1, 2]},
    )  # fmt: skip


def meter_fold(state: MeterState) -> Fold:
    return Fold(Meter(), partition=0, partitions=1, state=state)


@pytest.mark.parametrize("rows", [1, 1023, 1024, 5000])
def test_a_panes_sums_beyond_64_bits_stand_in_checkpoints_and_seals(rows):
    state = MeterState(panes={KEY: large_errors(rows)}, after={KEY: large_errors(rows)})
    saved = checkpoint_of(meter_fold(state), {})
    assert resume(meter_fold(MeterState()), saved, []).state == state
    leaves, places = leaves_of(Meter(), state), places_of(Meter(), state)
    assert load_state(MeterState, leaves, places) == state


def test_a_state_without_such_a_sum_is_written_as_it_always_was():
    state = MeterState(panes={KEY: large_errors(1)}, after={KEY: large_errors(1023)})
    assert checkpoint_of(meter_fold(state), {}).state == msgspec.msgpack.encode(state)


def test_a_summary_has_room_for_them():
    performance = performance_of(large_errors(5000))
    summary = PaneSummarized(
        id="s", time=at(10), model="m", version="v1", segment="all", pane_start=at(0),
        cut="mature", config_hash="h", profile_hash="", performance=performance,
    )  # fmt: skip
    assert decode(codec.encode(summary)) == summary
