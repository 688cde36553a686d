"""Of random tamperings with one record, verify names exactly the alerts that an oracle does.

Some here with each run of the suite; a thousand with `python -m tests.exact 1000`.
"""

from __future__ import annotations

import pytest

from tests.exact import trials

COUNT = 20


@pytest.mark.timeout(600)
def test_exactly_the_affected_alerts_are_named(tmp_path):
    done = list(trials(tmp_path, COUNT, seed=20261127))
    wrong = [trial for trial in done if trial.named != trial.affected]
    assert wrong == []
    assert not any(trial.ok for trial in done), "each is found, by the chain if by nothing else"
    assert len({frozenset(trial.affected) for trial in done}) > 3
    assert any(not trial.affected for trial in done)
