"""Batch training: frames, fitting, and a child process that can't hurt its parent."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap

import msgspec
import numpy as np
import pytest

from streamops.core.profile import bin_of
from streamops.errors import ConfigError, InputError
from streamops.training import batch, fitting, frames
from streamops.training.batch import Job, Limits, Trainer, train
from streamops.training.fitting import fit, task_of
from streamops.training.scoring import Answer, open_model, score_answers, score_segments
from streamops.training.workshop import Workshop

ROWS = [
    {"x": (at * 37) % 101 / 10, "kind": ["a", "b", None, "c"][at % 4], "on": at % 3 == 0}
    for at in range(600)
]
LABELS = ["up" if row["x"] > 5 else "down" for row in ROWS]


def raw(rows):
    return [msgspec.Raw(msgspec.json.encode(row)) for row in rows]


def job(**changes):
    return Job(**{"features": raw(ROWS), "labels": LABELS, "task": "binary", **changes})


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("functions")
    (folder / "own_models.py").write_text(
        textwrap.dedent(
            """
            import os, sys
            from sklearn.linear_model import LogisticRegression
            from sklearn.impute import SimpleImputer
            from sklearn.pipeline import make_pipeline
            from sklearn.neighbors import KNeighborsClassifier

            def good(x, y):
                return make_pipeline(SimpleImputer(), LogisticRegression()).fit(x, y)
            def raises(x, y):
                print("about to fail", file=sys.stderr)
                raise ValueError("no such luck")
            def dies(x, y):
                os.abort()
            def hungry(x, y):
                return bytearray(1 << 40)
            def endless(x, y):
                while True:
                    pass
            def unfinished(x, y):
                LogisticRegression
            def strange(x, y):
                return make_pipeline(SimpleImputer(), KNeighborsClassifier()).fit(x, y)
            """
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


@pytest.fixture(scope="module")
def trainer(functions, tmp_path_factory):
    with Trainer(tmp_path_factory.mktemp("artifacts"), Limits(seconds=60.0)) as running:
        yield running


def test_columns_are_found_in_order_with_their_kinds():
    rows = [{"b": None, "a": 1}, {"b": "t", "a": 2.5, "c": True, "e": None}, {"d": True, "c": 1}]
    assert frames.infer_columns(rows) == (
        ("b", "category"),
        ("a", "numeric"),
        ("c", "category"),
        ("e", "numeric"),
        ("d", "boolean"),
    )


def test_a_matrix_follows_the_profile_and_never_guesses():
    columns = (("n", "numeric"), ("b", "boolean"), ("c", "category"))
    profiles = frames.column_profiles([{"n": 1, "b": True, "c": "y"}, {"c": "z"}], columns)
    rows = [
        {"n": 2, "b": False, "c": "z", "unknown": 1},
        {"n": None, "b": None, "c": None},
        {"n": True, "b": "true", "c": "new"},
        {"n": "2", "b": 1, "c": 7},
        {"n": 1 << 60, "c": "y"},
    ]
    nan = math.nan
    expected = [[2, 0, 1], [nan, nan, nan], [nan, 1, nan], [nan, nan, nan], [nan, nan, 0]]
    assert np.array_equal(frames.to_matrix(rows, profiles), expected, equal_nan=True)


def test_a_value_is_nan_exactly_where_the_meter_counts_it_as_missing():
    profile = frames.column_profiles([{"n": 1.0}, {"n": 9.0}], (("n", "numeric"),))
    for value in (0, 5.5, -3, None, True, "5", 1 << 60, 1 << 53, 10**400, 1e300):
        matrix = frames.to_matrix([{"n": value}], profile)
        missing = bin_of(profile[0], value)[0] == len(profile[0].counts) - 1
        assert math.isnan(matrix[0, 0]) == missing, value


def test_the_task_follows_from_the_labels():
    assert task_of([0, 1, 1]) == "binary"
    assert task_of([True, False]) == "binary"
    assert task_of(["a", "b", "c"]) == "multiclass"
    assert task_of([1.5, 2.0]) == "regression"
    assert task_of(list(range(21))) == "regression"
    assert task_of([str(at) for at in range(30)]) == "multiclass"


def test_answers_are_values_of_the_labels_own_type():
    rows = [{"x": at % 10} for at in range(100)]
    for labels in ([at % 10 > 4 for at in range(100)], [int(at % 10 > 4) for at in range(100)]):
        model = fit(rows, labels, task="binary", columns=(("x", "numeric"),))
        answer = model.answer([{"x": 9}])[0]
        assert answer.prediction == labels[9]
        assert type(answer.prediction) is type(labels[9])
        assert answer.score > 0.5 > model.answer([{"x": 0}])[0].score
    three = fit(rows, [at % 10 // 4 for at in range(100)], task="multiclass", columns=())
    assert three.about.positive == ""
    number = fit(rows, [at % 10 * 1.5 for at in range(100)], task="regression", columns=())
    assert number.answer([{}])[0] == Answer(6.75, None)


def test_a_score_is_of_the_positive_class_and_of_the_predicted_one():
    rows = [{"x": at % 3} for at in range(90)]
    columns = (("x", "numeric"),)
    two = fit(rows, [at % 3 == 2 for at in range(90)], task="binary", columns=columns)
    assert two.about.positive == "true"
    assert two.answer([{"x": 0}])[0].score < 0.5
    three = fit(rows, [at % 3 for at in range(90)], task="multiclass", columns=columns)
    assert [a.prediction for a in three.answer([{"x": 0}, {"x": 1}, {"x": 2}])] == [0, 1, 2]
    assert all(a.score > 0.5 for a in three.answer([{"x": 0}, {"x": 1}, {"x": 2}]))


def test_one_class_gives_a_constant_model_that_keeps_the_positive_class():
    model = fit(ROWS[:5], [0] * 5, task="binary", columns=(), positive="1")
    assert model.answer([{}]) == [Answer(0, 0.0)]


@pytest.mark.parametrize(
    ("task", "labels"),
    [("binary", LABELS[:60]), ("regression", list(range(60)))],
)
def test_a_column_without_a_value_in_training_changes_no_answer(task, labels, monkeypatch):
    """It may be missing throughout, or begin only after the rows that trained."""
    monkeypatch.setattr(fitting, "MAX_ITER", 3)
    known = ROWS[:60]
    rows = [{**row, "late": None} for row in known]
    without = fit(known, labels, task=task, columns=frames.infer_columns(known))
    with_it = fit(rows, labels, task=task, columns=frames.infer_columns(rows))
    late = [-9.5, None, 1e9] * 20
    begun = [{**row, "late": value} for row, value in zip(known, late, strict=True)]
    assert with_it.answer(begun) == without.answer(known) == with_it.answer(rows)


def test_a_category_that_no_row_of_a_retrain_has_is_taken(trainer):
    """A retrain has the columns of version 1, whatever its own rows hold of them."""
    columns = (("x", "numeric"), ("gone", "category"), ("off", "boolean"))
    few = {"features": raw(ROWS[:120]), "labels": LABELS[:120]}
    found = trainer.train(job(**few, columns=columns, holdout=20, refit=True))
    assert [feature.name for feature in found.profile.features] == ["x", "gone", "off"]
    assert found.metrics["accuracy"] > 0.9


def test_metrics_by_hand():
    answers = [Answer(1, 0.5), Answer(1, 0.5), Answer(0, 0.5), Answer(0, 0.5)]
    found = score_answers(answers, [1, 0, 0, 1.0], "binary", "1")
    assert found["accuracy"] == found["f1"] == found["precision"] == 0.5
    assert found["log_loss"] == pytest.approx(math.log(2))
    assert found["brier"] == 0.25
    errors = score_answers([Answer(1.0, None), Answer(4.0, None)], [0.0, 0.0], "regression")
    assert errors == pytest.approx({"mae": 2.5, "rmse": math.sqrt(8.5)})
    assert score_answers([], [], "binary") == {}
    never = score_answers([Answer(0, None)], [0], "binary", "1")
    assert never == {"accuracy": 1.0}


def test_segments_are_scored_apart():
    labels = [1, 1, 0]
    ours = [Answer(1, None), Answer(0, None), Answer(0, None)]
    theirs = [Answer(0, None), Answer(0, None), Answer(0, None)]
    names = [["all", "s=a"], ["all", "s=b"], ["all", "s=b"]]
    found = score_segments(ours, theirs, labels, names, "binary", "accuracy", "1")
    assert found == {"all": (2 / 3, 1 / 3, 3), "s=a": (1.0, 0.0, 1), "s=b": (0.5, 0.5, 2)}


def test_a_job_gives_the_same_answer_in_another_process(trainer, tmp_path):
    first = trainer.train(job(holdout=100))
    again = train(ROWS, LABELS, artifacts=tmp_path, task="binary", holdout=100)
    assert again == first
    assert first.rows == 500
    assert first.metrics["accuracy"] > 0.9
    assert len(first.answers) == 100
    model = open_model(tmp_path, first.artifact)
    assert tuple(model.answer(ROWS[500:])) == first.answers
    plain = tuple(msgspec.structs.replace(f, rows=None) for f in first.profile.features)
    assert model.about.columns == plain
    assert first.profile.score is not None
    assert first.profile.performance == first.metrics


def test_only_the_newest_rows_before_those_held_out(trainer):
    whole = trainer.train(job(holdout=100))
    recent = trainer.train(job(holdout=100, recent=200))
    same = trainer.train(job(features=raw(ROWS[300:]), labels=LABELS[300:], holdout=100))
    assert recent.rows == 200
    assert recent.artifact == same.artifact != whole.artifact
    assert recent.content == same.content != whole.content


def test_the_champion_answers_the_same_rows(trainer):
    champion = trainer.train(job(holdout=100))
    second = trainer.train(job(holdout=100, recent=50, champion=champion.artifact))
    assert second.champion == champion.answers
    only = trainer.train(job(holdout=100, fit=False, champion=champion.artifact))
    assert (only.champion, only.artifact) == (champion.answers, "")


def test_a_function_of_ones_own(trainer):
    found = trainer.train(job(model="own_models:good"))
    assert found.metrics["accuracy"] > 0.9
    assert open_model(trainer.artifacts, found.artifact).answer(ROWS[:1])[0].prediction in (
        "up",
        "down",
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "(?s)ValueError: no such luck.*about to fail.*Traceback"),
        ("dies", "signal 6"),
        ("hungry", "MemoryError"),
        ("strange", "KNeighborsClassifier.*reviewed list"),
    ],
)
def test_a_job_that_fails_says_why_and_the_next_one_runs(trainer, name, says):
    with pytest.raises(InputError, match=says):
        trainer.train(job(model=f"own_models:{name}"))
    assert trainer.train(job(recent=50)).rows == 50


def test_a_model_that_is_not_there_is_a_wrong_setting(trainer):
    with pytest.raises(ConfigError, match=r"^model is 'own_models:absent', which can't"):
        trainer.train(job(model="own_models:absent"))
    with pytest.raises(
        ConfigError, match="unfinished', which returned a NoneType; return a fitted"
    ):
        trainer.train(job(model="own_models:unfinished"))


def test_a_child_whose_trainer_is_gone_ends_without_a_word(tmp_path):
    program = "import sys; from pathlib import Path; from streamops.training.child import serve; "
    program += "serve(Path(sys.argv[1]), Path(sys.argv[1]), 1 << 30)"
    gone, pipe = os.pipe()
    os.close(gone)
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        input=b"1\n", stdout=pipe, stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    os.close(pipe)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_an_endless_job_is_ended(functions, tmp_path):
    with (
        Trainer(tmp_path, Limits(seconds=0.3)) as running,
        pytest.raises(InputError, match=r"more than 0\.3 s"),
    ):
        running.train(job(model="own_models:endless"))


def test_a_trainer_that_slept_through_a_job_hears_its_end(tmp_path, monkeypatch):
    """As after SIGSTOP: both lines of the child have come before the first is read."""
    with Trainer(tmp_path, Limits(seconds=20.0)) as running:
        running.train(job())
        wait, waited = batch.select.select, []

        def slept(reads, writes, errors, seconds):
            if not waited:
                hold_both_lines(reads[0])
            waited.append(seconds)
            return wait(reads, writes, errors, seconds)

        monkeypatch.setattr(batch.select, "select", slept)
        assert running.train(job()).artifact
    assert len(waited) == 2


KILLED_AT_WORK = """
import os, signal, sys
from pathlib import Path
from streamops.training.batch import Job
from streamops.training.workshop import Workshop
workshop = Workshop(Path("artifacts"), Path("trainer"))
workshop.trainer._answer = lambda status: os.kill(os.getpid(), signal.SIGKILL)
workshop.trainer.train(Job(features=[], labels=[], task="binary"))
"""


def test_a_trainer_that_is_killed_leaves_rows_in_its_folder_only(tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT_WORK], cwd=tmp_path, env=environment, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    assert list(temporary.iterdir()) == []
    work = tmp_path / "trainer" / "work"
    assert (work / "job").exists()
    assert work.stat().st_mode & 0o077 == 0
    again = Workshop(tmp_path / "artifacts", tmp_path / "trainer")
    assert list(work.iterdir()) == []
    again.close()


def hold_both_lines(pipe) -> None:
    """Wait until a job's process id and its status have come, and lay both into the pipe again."""
    text = b""
    while text.count(b"\n") < 2:
        more = os.read(pipe.fileno(), 100)
        assert more, f"the training child ended after {text!r}"
        text += more
    again, end = os.pipe()
    os.write(end, text)
    os.dup2(again, pipe.fileno())
    os.close(again)
    os.close(end)


def test_rows_must_remain_to_train_on(trainer):
    with pytest.raises(InputError, match="none is left"):
        trainer.train(job(holdout=600))
