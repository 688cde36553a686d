"""config: what can't hold is refused, naming field, value and fix; equal settings have one hash."""

from __future__ import annotations

import msgspec
import pytest

from streamops.config import ModelConfig, Rule, check_config, check_ticks, config_hash
from streamops.errors import ConfigError
from tests.builders import config, rule

WRONG = [
    ({"model": ""}, "model is ''"),
    ({"pane_s": 0}, "pane_s is 0"),
    ({"allowed_lateness_s": -1}, "allowed_lateness_s is -1"),
    ({"maturity_s": 101}, "horizon_s, maturity_s, cohort_delay_s is (100, 101, 0)"),
    ({"cohort_delay_s": 1}, "is (100, 0, 1)"),
    ({"rules": (rule(), rule())}, "rules is 'psi'"),
    ({"rules": (rule(below=0.1, above=0.2),)}, "above, below is (0.2, 0.1)"),
    ({"rules": (Rule(name="r", kind="quality", metric="x"),)}, "above, below is (None, None)"),
    ({"rules": (rule(kind="concept_drift", above=0.1),)}, "set exactly 0 of them"),
    ({"rules": (rule(raise_after=0),)}, "raise_after is 0"),
    ({"rules": (rule(resolve_after=0),)}, "resolve_after is 0"),
    ({"rules": (rule(resolve_after=1 << 62),)}, "resolve_after is 46116"),
    ({"rules": (rule(cooldown_panes=1 << 62),)}, "cooldown_panes is 46116"),
    ({"rules": (rule(cooldown_panes=-1),)}, "cooldown_panes is -1"),
    ({"false_alarms_per_month": 0.0}, "false_alarms_per_month is 0.0"),
    ({"false_alarms_per_month": float("inf")}, "false_alarms_per_month is inf"),
    ({"rules": (rule(metric="drift", above=3.0),)}, "set exactly 0 of them for metric drift"),
    ({"rules": (rule(metric="drift", segment="a=b"),)}, "segment is 'a=b'"),
    ({"rules": (rule(metric="drift", raise_after=2),)}, "raise_after is 2"),
    ({"rules": (rule(metric="drift", relative=True),)}, "relative is True"),
    ({"rules": (rule(metric="drift", feature=""),)}, "feature is ''"),
    ({"rules": (rule(metric="score_drift"),)}, "feature is '*'"),
]


@pytest.mark.parametrize(("fields", "said"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_what_can_not_hold_is_refused(fields, said):
    with pytest.raises(ConfigError) as refused:
        config(**fields)
    assert said in str(refused.value)
    assert "; " in str(refused.value)


def test_horizon_maturity_and_cohort_may_be_equal():
    settings = config(horizon_s=20, maturity_s=20, cohort_delay_s=20)
    assert check_config(settings) is settings


def test_the_hash_is_of_the_meaning():
    plain = ModelConfig(model="m")
    assert config_hash(plain) == config_hash(ModelConfig(model="m", pane_s=plain.pane_s))
    assert config_hash(plain) != config_hash(ModelConfig(model="m", pane_s=plain.pane_s + 1))
    a = ModelConfig(model="m", segments={"x": ("1",), "y": ("2",)})
    b = ModelConfig(model="m", segments={"y": ("2",), "x": ("1",)})
    assert config_hash(a) == config_hash(b)
    wire = msgspec.json.encode(a)
    assert config_hash(msgspec.json.decode(wire, type=ModelConfig)) == config_hash(a)


def test_an_unknown_setting_is_an_error():
    with pytest.raises(msgspec.ValidationError, match="panes"):
        msgspec.json.decode(b'{"model":"m","panes":5}', type=ModelConfig)


@pytest.mark.parametrize(("pane_s", "interval_s"), [(10, 1.0), (3, 0.1), (7, 0.0), (60, 60.0)])
def test_panes_end_at_ticks(pane_s, interval_s):
    settings = config(pane_s=pane_s)
    assert check_ticks(settings, interval_s) is settings


@pytest.mark.parametrize(("pane_s", "interval_s"), [(7, 5.0), (1, 5.0), (10, 0.3)])
def test_a_pane_that_no_tick_ends_is_refused(pane_s, interval_s):
    with pytest.raises(ConfigError, match=rf"pane_s is {pane_s}; use a multiple of {interval_s:g}"):
        check_ticks(config(pane_s=pane_s), interval_s)
