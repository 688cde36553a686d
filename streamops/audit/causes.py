"""What explains an alarm: the features that drift tests speak against at that time, ranked.

Rule 1: nothing is concluded here. Evidence, change points and sizes are those that MONITOR wrote.
Rule 2: what alarmed comes first, by evidence: every test's is a ratio of the same two explanations,
        "something changed" over "nothing did", so one test's may be held against another's.
Rule 3: a feature that has not alarmed is named where its evidence in the alert's own pane is beyond
        the square root of what an alarm takes: halfway in nats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

import msgspec

from streamops.config import DRIFT_METRICS
from streamops.values import Drift, Metric

CAUSES_MAX = 5


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A feature, the score or the labels.

    metric    drift, score_drift or label_drift; feature: empty but for a feature
    alarmed   its test alarmed; else it is on its way, and what follows `evidence` is not known
    evidence  R of its strongest alarm, or of the alert's pane; `alarm_at`: what an alarm takes
    stream    values, or missing; direction: mean, spread or shape, where t-SR saw it
    since     where the test puts the change, `age` panes before the alarm, its own included
    psi, psi_least  of the pane that alarmed, less its mean without drift, and the lower 95% bound
    """

    metric: str
    feature: str
    alarmed: bool
    evidence: float
    alarm_at: float
    stream: str = ""
    test: str = ""
    direction: str = ""
    since: datetime | None = None
    age: int | None = None
    psi: float | None = None
    psi_least: float | None = None


def ranked(
    alarms: Iterable[Drift], pane: Iterable[Metric] = (), most: int = CAUSES_MAX
) -> tuple[Cause, ...]:
    """Return the likeliest causes, the strongest evidence first.

    alarms  of the panes that are looked at, by their pane; pane: metrics of the alert's own
    """
    strongest: dict[tuple[str, str], Drift] = {}
    alarm_at = 0.0
    for alarm in alarms:
        key = alarm.metric, alarm.feature
        alarm_at = max(alarm_at, alarm.alarm_at)
        if key not in strongest or alarm.evidence > strongest[key].evidence:
            strongest[key] = alarm
    found = [_alarmed(alarm) for alarm in strongest.values()]
    for metric in pane if alarm_at else ():
        is_far = metric.value is not None and metric.value >= math.sqrt(alarm_at)
        if (
            is_far
            and metric.name in DRIFT_METRICS
            and (metric.name, metric.feature) not in strongest
        ):
            found.append(_near(metric, alarm_at))
    found.sort(key=lambda c: (not c.alarmed, -c.evidence, c.metric, c.feature))
    return tuple(found[:most])


def _alarmed(alarm: Drift) -> Cause:
    return Cause(
        metric=alarm.metric,
        feature=alarm.feature,
        alarmed=True,
        evidence=alarm.evidence,
        alarm_at=alarm.alarm_at,
        stream=alarm.stream,
        test=alarm.test,
        direction=alarm.direction,
        since=alarm.since,
        age=alarm.age,
        psi=alarm.psi,
        psi_least=alarm.psi_least,
    )


def _near(metric: Metric, alarm_at: float) -> Cause:
    assert metric.value is not None, "evidence that is far has a value"
    return Cause(
        metric=metric.name,
        feature=metric.feature,
        alarmed=False,
        evidence=metric.value,
        alarm_at=alarm_at,
    )


def words(cause: Cause) -> str:
    """Return a cause in a few words: what moved, how far at least, and since when."""
    name = {"score_drift": "the score", "label_drift": "the labels"}.get(cause.metric)
    what = name or cause.feature
    if not cause.alarmed:
        return f"{what} (not alarmed yet)"
    how = cause.direction or ("missing values" if cause.stream == "missing" else "")
    parts = [how, f"PSI at least {cause.psi_least:.2g}", f"since {cause.since:%Y-%m-%d %H:%M:%S}"]
    return f"{what} ({', '.join(part for part in parts if part)})"
