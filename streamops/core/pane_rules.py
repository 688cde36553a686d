"""Which rules judge a pane after the configuration changed.

Rule 1: a pane is judged by the rules of the configuration it was counted under, the one its metrics
        and its alert name, wherever the new one's activation stands between them (EPOCHS 4).
Rule 2: of those, only rules that the newest configuration still has, about the same thing: what a
        person took out raises nothing more.
Rule 3: a test's rule for each segment is one rule a segment: it has a state, and an alert, of
        each.
"""

from __future__ import annotations

from msgspec.structs import replace

from streamops.config import DRIFT_METRICS, EACH, ERROR_TESTS, ModelConfig, Rule, declared_segments
from streamops.core.budget import ALL
from streamops.core.model_state import EARLIER_MAX, ModelState
from streamops.core.policy import RuleState


def of_pane(model: ModelState, config_hash: str) -> tuple[Rule, ...]:
    """Return the rules for a pane of this configuration; the newest for one not known here."""
    newest = model.config.rules
    if config_hash != model.config_hash:
        for known, rules in reversed(model.earlier):
            if known == config_hash:
                return surviving(rules, newest)
    return newest


def in_segment(rule: Rule, segment: str) -> Rule:
    """Return a rule for each segment as it is for this one; any other as it is."""
    is_test = rule.metric in (*DRIFT_METRICS, *ERROR_TESTS)
    if rule.segment != EACH or segment == ALL or not is_test:
        return rule
    return replace(rule, segment=segment)


def kept_states(model: ModelState, config: ModelConfig) -> dict[str, RuleState]:
    """Return the states that a model goes on with under another configuration."""
    kept = {rule.name: rule for rule in surviving(model.config.rules, config.rules)}
    declared = declared_segments(config)
    return {
        key: state
        for key, state in model.rules.items()
        if state.rule in kept and (kept[state.rule].segment != EACH or state.segment in declared)
    }


def surviving(rules: tuple[Rule, ...], newer: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return those that `newer` has by name, about the same thing; their limits may differ."""
    now = {rule.name: rule for rule in newer}
    return tuple(r for r in rules if r.name in now and _about(r) == _about(now[r.name]))


def remembered(model: ModelState) -> tuple[tuple[str, tuple[Rule, ...]], ...]:
    """Return the earlier configurations, the one that is about to be replaced as their last.

    Each stands once: one applied again and again pushes no other out.
    """
    others = tuple(known for known in model.earlier if known[0] != model.config_hash)
    return (*others, (model.config_hash, model.config.rules))[-EARLIER_MAX:]


def _about(rule: Rule) -> tuple[str, ...]:
    return rule.kind, rule.metric, rule.segment, rule.feature
