"""Configuration that is a fact: what to watch on a model, and what to do about it.

A `ModelConfig` reaches the log as `ConfigApplied`, is broadcast as `ConfigActivated`, and carries a
hash; every conclusion names the hash it was drawn under (DESIGN rule 10). Times are whole seconds
of event time. A setting that can't hold is refused here, naming field, value and fix.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import Annotated, Literal

import msgspec

from streamops.errors import ConfigError
from streamops.values import Integer

AlertKind = Literal[
    "data_drift",
    "score_drift",
    "label_drift",
    "concept_drift",
    "performance",
    "quality",
    "latency",
    "error_rate",
    "throughput",
]
Strategy = Literal["recent", "all", "since_change", "online"]
# Ours and river's, or module:function of the user's.
DetectorName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(adwin|page_hinkley|ddm|sr_mixture|bf_sr"
        r"|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*)$",
        max_length=200,
    ),
]
Cut = Literal["closed", "mature", "restated"]
DRIFT_METRICS = ("drift", "score_drift", "label_drift")
# Of a rule: each segment that is declared. Of a segment: values that aren't.
EACH, OTHER = "*", "~other"
TESTED_SEGMENTS_MAX = 16
ERROR_TESTS = ("sr_mixture", "bf_sr")
YEAR_S = 366 * 86_400
SPAN_MAX_S = 10 * YEAR_S
COUNT_MAX = 1 << 40
ROUNDING = 1e-6
FLAPS_MAX = 100
RETRAIN_COUNTS = (
    "repeat_panes", "every_panes", "every_labels", "cooldown_panes", "budget", "budget_panes",
    "min_labels",
)  # fmt: skip


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """When a metric is bad, and when it is good again.

    metric        name of a metric (docs/reference/metrics.md), or a detector for concept_drift;
                  drift, score_drift and label_drift are tests: their limit follows from the budget
    feature       one feature, "*" for each, empty for metrics without one
    segment       all, or a segment as in country=de; for a test also "*", each declared one
    above, below  the limit; exactly one is set (none for a detector or a drift test)
    relative      the limit bounds value minus reference instead of the value
    resolve       limit that must be kept to resolve (hysteresis); the raising one if empty
    raise_after   evaluated panes in a row beyond the limit before the alert is raised
    resolve_after evaluated panes in a row within `resolve` before it is resolved
    cooldown_panes panes after a resolve in which it isn't raised again
    minimum       fewest rows behind the value; below, the pane is not evaluated
    moderate, major  distance beyond the limit (same unit) from which severity grows; for a drift
                  test, lower 95% bound of the debiased PSI, nats
    """

    name: str
    kind: AlertKind
    metric: str
    feature: str = ""
    segment: str = "all"
    above: float | None = None
    below: float | None = None
    relative: bool = False
    resolve: float | None = None
    raise_after: Integer = 1
    resolve_after: Integer = 2
    cooldown_panes: Integer = 0
    minimum: Integer = 100
    moderate: float | None = None
    major: float | None = None


class RetrainPolicy(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """When to ask for challengers, and how many.

    kinds          alert kinds that ask when one of them is raised; empty: never
    repeat_panes   an alert that stays open asks again after so many mature panes; 0: never
    every_panes    also ask after so many mature panes without a request; 0: never
    every_labels   also ask after so many new labels; 0: never
    cooldown_panes mature panes between two requests
    budget, budget_panes  at most `budget` requests in any `budget_panes` mature panes
    min_labels     fewest labelled rows there must be
    strategies     one challenger each for an alert: recent, all, since_change, online
    scheduled      one challenger each for every_panes and every_labels
    recent_rows    rows the `recent` challenger learns from
    holdout_rows   newest rows kept from training and used to compare
    trainer        hist_gradient_boosting, or module:function that gets (X, y)
    refit          fit a scored challenger again with the held-out rows before it is registered
    """

    kinds: tuple[AlertKind, ...] = ("performance", "concept_drift", "data_drift")
    repeat_panes: Integer = 10
    every_panes: Integer = 0
    every_labels: Integer = 0
    cooldown_panes: Integer = 2
    budget: Integer = 30
    budget_panes: Integer = 100
    min_labels: Integer = 1000
    strategies: tuple[Strategy, ...] = ("recent", "all", "since_change", "online")
    scheduled: tuple[Strategy, ...] = ("recent",)
    recent_rows: Integer = 4000
    holdout_rows: Integer = 500
    trainer: str = "hist_gradient_boosting"
    refit: bool = True


class GatePolicy(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What a candidate must show before it may go to Production.

    metric            accuracy, f1 or mae; for mae smaller is better
    floor             worst acceptable value on the held-out outcomes; none: no floor
    margin            how much better than the champion it must be, in the metric's unit
    segment_drop      how much worse than the champion any segment may be
    segment_rows      fewest held-out rows for a segment to count
    approval          a person must approve before Production
    """

    metric: Literal["accuracy", "f1", "mae"] = "accuracy"
    floor: float | None = None
    margin: float = 0.0
    segment_drop: float = 0.1
    segment_rows: Integer = 100
    approval: bool = False


class NoisePolicy(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Which of a model's alerts page; the others are raised all the same, with the reason.

    group_panes  an alert less than so many panes from the first of an open incident is a member of
                 it: one page, and another for one that is more severe; 0: each alert pages
    flap_times, flap_panes  an alert raised so many times in less than so many panes is flapping:
                 it pages once more, then not until it is raised less often; 0: never
    """

    group_panes: Integer = 24
    flap_times: Integer = 3
    flap_panes: Integer = 24


class ModelConfig(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """All that is configured for one model.

    pane_s              length of a pane
    allowed_lateness_s  grace after a pane's end before it closes
    maturity_s          event time after a pane's end at which its labels are judged
    horizon_s           how long a prediction waits for its label
    cohort_delay_s      event time after a prediction at which detectors see its outcome
    min_coverage        labelled share below which a mature pane is not evaluable
    false_alarms_per_month  how many false alarms in 30 days the model's drift tests may raise: all
                        features, score, labels and error streams together; above 0
    segments            segment name -> values counted on their own; the rest is `~other`
    detectors           detectors on the error stream: river's adwin, page_hinkley and ddm;
                        sr_mixture and bf_sr, tests that share the budget of false alarms; or
                        module:function of your own
    detector_code       SHA-256 of the source of each of your own: `streamops apply` fills it in
    noise               which alerts page: an empty table groups and damps them; none: each pages
    """

    model: str
    pane_s: Integer = 3600
    allowed_lateness_s: Integer = 0
    maturity_s: Integer = 0
    horizon_s: Integer = 604800
    cohort_delay_s: Integer = 0
    min_coverage: float = 0.5
    segments: dict[str, tuple[str, ...]] = {}
    detectors: tuple[DetectorName, ...] = (
        "adwin",
        "page_hinkley",
        "ddm",
    )
    rules: tuple[Rule, ...] = ()
    retrain: RetrainPolicy = RetrainPolicy()
    gate: GatePolicy = GatePolicy()
    false_alarms_per_month: float = 1.0
    noise: NoisePolicy | None = None
    detector_code: dict[str, str] = {}


def config_hash(config: ModelConfig) -> str:
    """Return the SHA-256 (hex) of the configuration's canonical encoding."""
    return hashlib.sha256(msgspec.json.encode(config, order="deterministic")).hexdigest()


def declared_segments(config: ModelConfig) -> tuple[str, ...]:
    """Return the segments that a model's predictions are counted in, all rows aside."""
    names = sorted(config.segments)
    return tuple(f"{name}={v}" for name in names for v in (*config.segments[name], OTHER))


def segments_tested(config: ModelConfig) -> tuple[str, ...]:
    """Return the declared segments that a rule tests for drift."""
    tests = (*DRIFT_METRICS, *ERROR_TESTS)
    asked = {rule.segment for rule in config.rules if rule.metric in tests}
    return tuple(s for s in declared_segments(config) if s in asked or EACH in asked)


def check_ticks(config: ModelConfig, interval_s: float) -> ModelConfig:
    """Return `config`, or raise ConfigError where its panes don't end at ticks (EPOCHS 2).

    interval_s  seconds between the namespace's ticks; 0 where a driver ticks at any time
    """
    ticks = config.pane_s / interval_s if interval_s else 1.0
    _require(
        abs(ticks - round(ticks)) < ROUNDING and ticks > ROUNDING,
        f"model {config.model!r}: pane_s",
        config.pane_s,
        f"use a multiple of {interval_s:g} s, the namespace's time between ticks",
    )
    return config


def check_config(config: ModelConfig) -> ModelConfig:
    """Return `config`, or raise ConfigError naming the first setting that can't hold.

    CONTROLLER refuses on the log what this refuses: a check added here changes its semantics.
    """
    who = f"model {config.model!r}"
    _require(bool(config.model), "model", config.model, "give the model's name")
    _require(
        0 < config.pane_s <= YEAR_S,
        f"{who}: pane_s",
        config.pane_s,
        f"use 1 second to {YEAR_S:,}, a year",
    )
    for name in ("allowed_lateness_s", "maturity_s", "cohort_delay_s", "horizon_s"):
        value = getattr(config, name)
        _require(0 <= value <= SPAN_MAX_S, f"{who}: {name}", value, f"use 0 to {SPAN_MAX_S:,} s")
    _require(
        config.horizon_s >= config.maturity_s >= config.cohort_delay_s,
        f"{who}: horizon_s, maturity_s, cohort_delay_s",
        (config.horizon_s, config.maturity_s, config.cohort_delay_s),
        "keep horizon_s >= maturity_s >= cohort_delay_s (EPOCHS 18)",
    )
    budget = config.false_alarms_per_month
    _require(
        math.isfinite(budget) and budget > 0,
        f"{who}: false_alarms_per_month",
        budget,
        "use a number above 0: 1 allows one false alarm in 30 days",
    )
    _check_code(who, config)
    names = [rule.name for rule in config.rules]
    for name in names:
        _require(names.count(name) == 1, f"{who}: rules", name, "give each rule its own name")
    for rule in config.rules:
        _check_rule(who, rule, declared_segments(config))
    tested = segments_tested(config)
    _require(
        len(tested) <= TESTED_SEGMENTS_MAX,
        f"{who}: segments that rules test for drift",
        len(tested),
        f"test at most {TESTED_SEGMENTS_MAX}: name those that matter",
    )
    _check_counts(f"{who}: retrain", config.retrain, RETRAIN_COUNTS)
    _check_counts(f"{who}: retrain", config.retrain, ("recent_rows", "holdout_rows"), least=1)
    if config.noise is not None:
        _check_noise(f"{who}: noise", config.noise)
    return config


def _check_counts(
    who: str, policy: RetrainPolicy | NoisePolicy, names: tuple[str, ...], least: Integer = 0
) -> None:
    for name in names:
        value = getattr(policy, name)
        fix = f"use {least} to {COUNT_MAX:,}"
        _require(least <= value <= COUNT_MAX, f"{who}.{name}", value, fix)


def _check_noise(who: str, noise: NoisePolicy) -> None:
    _check_counts(who, noise, ("group_panes", "flap_panes"))
    times = noise.flap_times
    _require(
        times == 0 or 2 <= times <= FLAPS_MAX,
        f"{who}.flap_times",
        times,
        f"use 2 to {FLAPS_MAX}, or 0 for never",
    )


def _check_code(who: str, config: ModelConfig) -> None:
    own = {name for name in config.detectors if ":" in name}
    for name in sorted(own | config.detector_code.keys()):
        code = config.detector_code.get(name, "")
        _require(
            name in own and re.fullmatch("[0-9a-f]{64}", code) is not None,
            f"{who}: detector_code of {name!r}",
            code,
            "name the detector's source by its SHA-256, as `streamops apply` does"
            if name in own
            else "name it in detectors, too",
        )


def _check_rule(who: str, rule: Rule, segments: tuple[str, ...]) -> None:
    field = f"{who}: rule {rule.name!r}"
    limits = (rule.above is not None) + (rule.below is not None)
    is_test = rule.metric in DRIFT_METRICS
    expected = 0 if rule.kind == "concept_drift" or is_test else 1
    _require(
        limits == expected,
        f"{field}: above, below",
        (rule.above, rule.below),
        f"set exactly {expected} of them for "
        + (f"metric {rule.metric}" if is_test else f"kind {rule.kind}"),
    )
    if is_test or rule.metric in ERROR_TESTS:
        known = ("all", EACH, *segments)
        _require(rule.segment in known, f"{field}: segment", rule.segment, f"use one of {known}")
    if is_test:
        _check_test(field, rule)
    for name, least in (("raise_after", 1), ("resolve_after", 1), ("cooldown_panes", 0)):
        value = getattr(rule, name)
        _require(
            least <= value <= COUNT_MAX, f"{field}: {name}", value, f"use {least} to {COUNT_MAX:,}"
        )


def _check_test(field: str, rule: Rule) -> None:
    _require(rule.raise_after == 1, f"{field}: raise_after", rule.raise_after, "leave it at 1: a "
             "test waits as long as its budget asks")  # fmt: skip
    _require(not rule.relative, f"{field}: relative", rule.relative, "leave it out: a test has the "
             "reference in it")  # fmt: skip
    wants = rule.metric == "drift"
    _require(
        bool(rule.feature) == wants,
        f"{field}: feature",
        rule.feature,
        'name a feature, or "*" for each' if wants else "leave it out: it is of no feature",
    )


def _require(holds: bool, field: str, value: object, fix: str) -> None:
    if not holds:
        raise ConfigError(f"{field} is {value!r}; {fix}")
