"""The score of a stream: what counts as right, and against what it is held."""

from __future__ import annotations

from streamops.operate.tally import Score, Tally


def test_accuracy_counts_the_first_model_the_served_one_and_the_previous_label():
    tally = Tally("binary", 0)
    for label, first, operated in [(0, 0, 0), (1, 0, 1), (1, 0, 1), (0, 0, 1)]:
        tally.count(label, first, operated)
    assert tally.rows == 4
    # Previous labels were 0, 0, 1, 1.
    assert tally.score() == Score(
        metric="accuracy", first_model=0.5, operated=0.75, previous_label=0.5
    )


def test_a_regression_is_scored_by_its_mean_absolute_error():
    tally = Tally("regression", 10.0)
    tally.count(12.0, 11.0, 12.5)
    tally.count(9, 12.0, 8.0)
    assert tally.score() == Score(metric="mae", first_model=2.0, operated=0.75, previous_label=2.5)


def test_a_text_answer_is_right_if_it_reads_as_the_label():
    tally = Tally("multiclass", None)
    tally.count("b", "b", "a")
    tally.count(True, True, False)
    assert tally.score() == Score(
        metric="accuracy", first_model=1.0, operated=0.0, previous_label=0.0
    )


def test_no_rows_score_nothing():
    assert Tally("binary", 0).score().operated == 0.0
