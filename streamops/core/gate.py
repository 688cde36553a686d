"""The gate: may a candidate serve?

Rule 1: it judges recorded scores only (DESIGN rule 9): candidate and champion on the same held-out
        outcomes. Every check is written beside the verdict.
Rule 2: where the champion couldn't be scored, only a configured floor lets a candidate pass.
Rule 3: of the candidates of one cause, the best that passes goes on; the others are refused with
        the check `best of its cause`.
"""

from __future__ import annotations

from streamops.config import GatePolicy
from streamops.events import CandidateScored
from streamops.values import GateCheck

SMALLER_IS_BETTER = frozenset({"mae"})


def gain(metric: str, value: float, than: float) -> float:
    """Return how much better `value` is, in the metric's unit; negative where it is worse."""
    return than - value if metric in SMALLER_IS_BETTER else value - than


def check_candidate(policy: GatePolicy, scored: CandidateScored) -> tuple[GateCheck, ...]:
    """Return the checks of one candidate: floor, champion comparison, each segment."""
    value = scored.candidate.get(policy.metric)
    found = [GateCheck("scored", value, None, value is not None)]
    if value is None:
        return tuple(found)
    if policy.floor is not None:
        held = gain(policy.metric, value, policy.floor) >= 0
        found.append(GateCheck(f"{policy.metric} floor", value, policy.floor, held))
    champion = scored.champion.get(policy.metric)
    if champion is None and scored.champion_version:
        alone = policy.floor is not None
        found.append(GateCheck(f"{policy.metric} over champion", None, policy.margin, alone))
    elif champion is not None:
        better = gain(policy.metric, value, champion)
        held = better >= policy.margin
        found.append(GateCheck(f"{policy.metric} over champion", better, policy.margin, held))
    for segment in sorted(scored.segments):
        candidate, before, rows = scored.segments[segment]
        if rows >= policy.segment_rows:
            drop = -gain(policy.metric, candidate, before)
            held = drop <= policy.segment_drop
            found.append(GateCheck(f"drop in {segment}", drop, policy.segment_drop, held))
    return tuple(found)


def check_first(policy: GatePolicy, performance: dict[str, float]) -> tuple[GateCheck, ...]:
    """Return the checks of a version without a champion to compare with: the floor alone."""
    value = performance.get(policy.metric)
    if policy.floor is None:
        return (GateCheck("no champion to compare with", value, None, True),)
    held = value is not None and gain(policy.metric, value, policy.floor) >= 0
    return (GateCheck(f"{policy.metric} floor", value, policy.floor, held),)


def passed(checks: tuple[GateCheck, ...]) -> bool:
    """Tell whether every check held."""
    return all(check.passed for check in checks)


def best_of(policy: GatePolicy, candidates: list[CandidateScored]) -> int:
    """Return the place of the best candidate; the first of equals."""
    best = 0
    for place, scored in enumerate(candidates):
        value, leader = scored.candidate[policy.metric], candidates[best].candidate[policy.metric]
        if gain(policy.metric, value, leader) > 0:
            best = place
    return best
