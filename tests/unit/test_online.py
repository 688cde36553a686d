"""The online learner and the spool: the fixed order, resumption, and what a snapshot has seen."""

from __future__ import annotations

import msgspec
import pytest

from streamops.errors import InputError
from streamops.training.frames import column_profiles
from streamops.training.online import Fold, OnlineLearner
from streamops.training.outcomes import OutcomeRow, Spool, corrected_rows
from streamops.training.scoring import open_model

COLUMNS = column_profiles(
    [{"x": at / 10, "kind": "ab"[at % 2]} for at in range(20)],
    (("x", "numeric"), ("kind", "category")),
)


def row(at, *, label=None, correction=False, name=None):
    features = {"x": (at * 37) % 101 / 10, "kind": "ab"[at % 2], "unknown": at}
    truth = int(features["x"] > 5) if label is None else label
    return OutcomeRow(at, name or f"p{at}", msgspec.json.encode(features), truth, {}, correction)


ROWS = [row(at) for at in range(1500)]


def advance(learner, rows, task="binary"):
    return learner.advance("m", rows, task=task, columns=COLUMNS)


def test_a_fold_from_nothing_gives_the_same_snapshot(tmp_path):
    steps = OnlineLearner(tmp_path / "a")
    for end in (1, 400, 1500):
        fold = advance(steps, ROWS[:end])
    restarted = OnlineLearner(tmp_path / "b")
    advance(restarted, ROWS[:400])
    restarted = OnlineLearner(tmp_path / "b")
    again = advance(restarted, ROWS)
    fresh = advance(OnlineLearner(tmp_path / "c"), ROWS)
    names = {f.snapshot(tmp_path / "artifacts", "1")[0] for f in (fold, again, fresh)}
    assert len(names) == 1
    assert (fold.rows, fold.right) == (again.rows, again.right) == (fresh.rows, fresh.right)
    assert fold.accuracy > 0.8


def test_a_state_goes_on_where_it_was(tmp_path, monkeypatch):
    advance(OnlineLearner(tmp_path), ROWS[:1000])
    learned = []
    original = Fold.learn

    def counting(self, rows):
        learned.append(len(rows))
        original(self, rows)

    monkeypatch.setattr(Fold, "learn", counting)
    advance(OnlineLearner(tmp_path), ROWS[:1200])
    assert learned == [200]


def test_a_state_of_other_rows_or_under_another_key_is_folded_again(tmp_path):
    whole = advance(OnlineLearner(tmp_path / "a"), ROWS[:300])
    other = [*[row(at, label=1) for at in range(10)], *ROWS[10:300]]
    advance(OnlineLearner(tmp_path / "b"), other)
    assert advance(OnlineLearner(tmp_path / "b"), ROWS[:300]).chain == whole.chain
    assert advance(OnlineLearner(tmp_path / "b"), ROWS[:200]).rows == 200
    (tmp_path / "b" / "key").write_bytes(b"another key, thirty-two bytes lo")
    assert advance(OnlineLearner(tmp_path / "b"), ROWS[:300]).chain == whole.chain


def test_a_snapshot_is_frozen_and_named_by_what_it_saw(tmp_path):
    learner = OnlineLearner(tmp_path / "state")
    name, model = advance(learner, ROWS[:500]).snapshot(tmp_path, "1")
    questions = [msgspec.json.decode(r.features) for r in ROWS[500:600]]
    before = model.answer(questions)
    later, _ = advance(learner, ROWS).snapshot(tmp_path, "1")
    assert later != name
    assert model.answer(questions) == open_model(tmp_path, name, "river").answer(questions)
    assert model.answer(questions) == before
    assert {type(a.prediction) for a in before} == {int}
    assert all(0 <= a.score <= 1 for a in before)
    assert all((a.score > 0.5) == (a.prediction == 1) for a in before if a.score != 0.5)


def test_a_regression_learns_numbers(tmp_path):
    rows = [row(at, label=at % 2 * 10.0) for at in range(600)]
    fold = advance(OnlineLearner(tmp_path), rows, task="regression")
    assert fold.accuracy is None
    _, model = fold.snapshot(tmp_path, "")
    low, high = (model.answer([{"x": 5.0, "kind": kind}])[0].prediction for kind in ("a", "b"))
    assert low < high


def test_no_rows_is_an_error(tmp_path):
    with pytest.raises(InputError, match="at least one"):
        advance(OnlineLearner(tmp_path), [])


def test_a_correction_replaces_the_label_where_the_row_stands():
    rows = [row(1, label=0), row(2, label=0), row(1, label=1, correction=True, name="p1")]
    assert [(r.prediction_id, r.label) for r in corrected_rows(rows)] == [("p1", 1), ("p2", 0)]
    rows.append(row(1, label=2, correction=True, name="p1"))
    assert corrected_rows(rows)[0].label == 2
    alone = [row(9, label=1, correction=True)]
    assert [r.label for r in corrected_rows(alone)] == [1]
    assert [r.label for r in corrected_rows(rows, corrected=False)] == [0, 0]


def test_the_spool_gives_back_epochs_in_order(tmp_path):
    spool = Spool(str(tmp_path))
    spool.add("m", 2, ROWS[2:4])
    spool.add("n", 0, ROWS[9:10])
    spool.add("m", 0, ROWS[0:2])
    assert list(spool.read("m", 0, 2)) == ROWS[:4]
    assert list(spool.read("m", 1, 9)) == ROWS[2:4]
    assert list(spool.read("nobody", 0, 9)) == []
    spool.close()
