"""Outcomes that teach nothing: left out of a run, or its failure; never the trainer's end."""

from __future__ import annotations

import json
import logging

import msgspec
import pytest

from streamops.core.pane_rows import other_bins
from streamops.core.profile import category_profile
from streamops.errors import InputError
from streamops.events import EvaluationRequested, ModelRegistered, RetrainRequested
from streamops.training.frames import profile_rows
from streamops.training.online import make_learner
from streamops.training.outcomes import OutcomeRow
from streamops.training.runs import scored, split
from streamops.training.scoring import Answer, score_answers
from streamops.training.workshop import Workshop
from streamops.values import ModelVersion, ReferenceProfile
from tests.builders import at

ROWS = 80
HELD = 20


def asked(**fields):
    given = {"id": "r", "time": at(0), "model": "m", "strategy": "online", "cause": "c"}
    more = {"reason": "", "champion_version": "1", "first_epoch": 0, "last_epoch": 9}
    wanted = {"labels": ROWS, "holdout_rows": HELD, "metric": "mae", **fields}
    return RetrainRequested(**given, **more, **wanted)


def outcomes(label_of, features_of=lambda n: {"x": n / 10, "kind": "ab"[n % 2]}):
    return [
        OutcomeRow(n, f"p{n}", json.dumps(features_of(n)).encode(), label_of(n), {})
        for n in range(ROWS)
    ]


def base_of(task, labels):
    rows = [{"x": n / 10, "kind": "ab"[n % 2]} for n in range(ROWS)]
    columns = (("x", "numeric"), ("kind", "category"))
    profile = profile_rows(rows, labels, [], task, columns)
    return ModelVersion(model="m", version="1", task=task, profile=profile, profile_hash="")


NUMBERS = base_of("regression", [float(n) for n in range(ROWS)])
CLASSES = base_of("binary", ["yes", "no"] * (ROWS // 2))


@pytest.fixture
def learned(tmp_path):
    """Learns online as a request asks, with a champion that only reports."""
    shop = Workshop(tmp_path / "artifacts", tmp_path / "trainer")

    def learn(rows, base):
        found = split(asked(), rows, base.task)
        champion = ModelRegistered(id="g", time=at(0), version=base)
        return found, shop.run(asked(), found, base, champion)

    yield learn
    shop.close()


@pytest.mark.parametrize("odd", [3, ROWS - 3])
@pytest.mark.parametrize(("base", "label"), [(NUMBERS, "much"), (CLASSES, 1.5)])
def test_a_label_of_another_kind_is_left_out(learned, base, label, odd):
    usual = float if base is NUMBERS else lambda n: ["no", "yes"][n % 2]
    found, run = learned(outcomes(lambda n: label if n == odd else usual(n)), base)
    assert len(found.learn) + len(found.held) == ROWS - 1
    answer = scored(asked(), run.version, found, (run.trained.answers, ()), None)
    assert (answer.rows, run.trained.rows) == (HELD, ROWS - 1 - HELD)


@pytest.mark.parametrize("features", [b"null", b"[1]", b'{"x":01}', b"\xff"])
def test_features_that_can_not_be_read_are_left_out(features):
    """METER passes those of a version that it doesn't know on as they came."""
    odd = msgspec.structs.replace(outcomes(float)[5], features=features)
    found = split(asked(), [*outcomes(float), odd], "regression")
    assert len(found.learn) + len(found.held) == ROWS


def test_an_evaluation_leaves_it_out_as_well():
    request = EvaluationRequested(
        id="e", time=at(0), model="m", version="2", champion_version="1", first_epoch=0,
        last_epoch=9, holdout_rows=HELD, metric="mae",
    )  # fmt: skip
    held = split(request, outcomes(lambda n: "much" if n == 70 else float(n)), "regression").held
    assert [row.label for row in held if isinstance(row.label, str)] == []


def test_a_feature_of_no_kind_is_missing(learned):
    rows = outcomes(lambda n: float(n), lambda n: {"x": [n], "kind": {"a": n}})
    _, run = learned(rows, NUMBERS)
    assert [column.counts[-1] for column in run.version.profile.features] == [ROWS - HELD] * 2
    column = category_profile("kind", ["a", "b"])
    assert other_bins(column, [["a"], {"a": 1}, None, "a"]).tolist() == [3, 3, 3, 0]


def test_what_the_learner_raises_is_the_runs_failure_and_leaves_nothing_behind(
    learned, caplog, monkeypatch
):
    """As river's tree does over labels of 1e308."""
    caplog.set_level(logging.CRITICAL)
    learner = type(make_learner("regression"))
    learn_one = learner.learn_one

    def overflow(self, x, y):
        if y == HELD:
            raise OverflowError("result out of range")
        return learn_one(self, x, y)

    whole, expected = learned(outcomes(float), NUMBERS)
    with monkeypatch.context() as patch:
        patch.setattr(learner, "learn_one", overflow)
        with pytest.raises(InputError, match="online training failed: OverflowError"):
            learned(outcomes(lambda n: float(n % 40)), NUMBERS)
    found, run = learned(outcomes(float), NUMBERS)
    assert (found, run.trained.answers) == (whole, expected.trained.answers)


def test_a_champion_of_another_task_is_no_number():
    with pytest.raises(InputError, match="'no'"):
        score_answers([Answer("no", None)], [1.0], "regression")


def test_a_version_whose_file_is_missing_fails_its_run(tmp_path):
    nobody = ModelVersion(
        model="m", version="2", task="binary", artifact="a" * 64, profile_hash="",
        profile=ReferenceProfile(rows=0, features=()),
    )  # fmt: skip
    registered = ModelRegistered(id="g", time=at(0), version=nobody, runner="river")
    shop = Workshop(tmp_path / "artifacts", tmp_path / "trainer")
    with pytest.raises(InputError, match=r"version '2' can't be asked: .*can't be read"):
        shop.answers(registered, outcomes(lambda n: "yes"))
    shop.close()


def test_a_run_without_a_row_that_a_key_opens_says_so():
    with pytest.raises(InputError, match="300 more have values about persons that no key opens"):
        split(asked(), [], "binary", unread=300)
