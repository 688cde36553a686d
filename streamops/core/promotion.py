"""Who may serve: answered causes go through the gate, then the promotions that people wanted.

Rule 1: a score counts beside the champion it was made with. Where another one serves by now, a
        candidate of a cause is refused, and a version that a person wants is scored again.
Rule 2: every decision is one GateEvaluated with its own id; a version that serves is promoted to
        nothing.
"""

from __future__ import annotations

from msgspec.structs import replace

from streamops.core import gate, registry
from streamops.core.incidents import replace_rules
from streamops.core.model_state import Ask, ModelState, is_answered
from streamops.core.times import moment
from streamops.core.workbook import Workbook
from streamops.events import CandidateScored, EvaluationRequested, GateEvaluated
from streamops.values import GateCheck


def decide(book: Workbook, name: str) -> None:
    """Decide on a model's answered causes, then on wanted promotions."""
    for cause in sorted({ask.cause for ask in book.get(name).asks.values()}):
        _cause(book, name, cause)
    for version in sorted(book.get(name).wanted):
        _wanted(book, name, version)


def _cause(book: Workbook, name: str, cause: str) -> None:
    model = book.get(name)
    asks = [ask for ask in model.asks.values() if ask.cause == cause]
    if not all(is_answered(model, ask) for ask in asks):
        return
    book.put(replace(model, asks={i: a for i, a in model.asks.items() if a.cause != cause}))
    if asks[0].id != cause:
        _compete(book, name, cause, [ask.scored for ask in asks if ask.scored is not None])
    elif asks[0].failed and asks[0].version in model.wanted:
        _settle(book, name, asks[0].version, (GateCheck("scored", None, None, False),), None)


def _compete(book: Workbook, name: str, cause: str, candidates: list[CandidateScored]) -> None:
    rules = book.get(name).config.gate
    checked = [(scored, _checks(book.get(name), scored)) for scored in candidates]
    good = [scored for scored, checks in checked if gate.passed(checks)]
    best = good[gate.best_of(rules, good)] if good else None
    for scored, checks in checked:
        if gate.passed(checks) and scored is not best:
            value = scored.candidate[rules.metric]
            limit = None if best is None else best.candidate[rules.metric]
            checks = (*checks, GateCheck("best of its cause", value, limit, False))
        _verdict(book, name, scored.version, checks, scored)
    if best is not None:
        _promote(book, name, best.version, cause, "controller")


def _checks(model: ModelState, scored: CandidateScored) -> tuple[GateCheck, ...]:
    checks = gate.check_candidate(model.config.gate, scored)
    if _is_stale(model, scored):
        checks = (*checks, GateCheck(f"scored beside {model.champion}", None, None, False))
    return checks


def _is_stale(model: ModelState, scored: CandidateScored) -> bool:
    return scored.champion_version != model.champion


def _wanted(book: Workbook, name: str, version: str) -> None:
    model = book.get(name)
    entry, scored = model.entries[version], model.scores.get(version)
    if entry.stage == "Production":
        book.put(_without(model, version))
    elif not entry.delivered:
        return
    elif not model.champion:
        checks = gate.check_first(model.config.gate, entry.version.profile.performance)
        _settle(book, name, version, checks, scored)
    elif scored is None or _is_stale(model, scored):
        _ask_score(book, name, version)
    else:
        _settle(book, name, version, gate.check_candidate(model.config.gate, scored), scored)


def _settle(
    book: Workbook,
    name: str,
    version: str,
    checks: tuple[GateCheck, ...],
    scored: CandidateScored | None,
) -> None:
    actor = book.get(name).wanted[version]
    book.put(_without(book.get(name), version))
    _verdict(book, name, version, checks, scored, "/promotion")
    if gate.passed(checks):
        _promote(book, name, version, f"promotion/{actor}", actor)


def _without(model: ModelState, version: str) -> ModelState:
    return replace(model, wanted={v: a for v, a in model.wanted.items() if v != version})


def _verdict(
    book: Workbook,
    name: str,
    version: str,
    checks: tuple[GateCheck, ...],
    scored: CandidateScored | None,
    suffix: str = "",
) -> None:
    model = book.get(name)
    event = GateEvaluated(
        id=f"gate/{name}/{version}/{book.epoch}{suffix}",
        time=moment(book.us),
        model=name,
        version=version,
        passed=gate.passed(checks),
        checks=checks,
        champion_version=model.champion,
        request_id="" if scored is None else scored.request_id,
        config_hash=model.config_hash,
    )
    book.put(model, [event])


def _promote(book: Workbook, name: str, version: str, cause: str, actor: str) -> None:
    model = book.get(name)
    if model.entries[version].stage == "Production":
        return
    book.put(*registry.promote(model, version, cause, book.us, actor))
    if book.get(name).champion != model.champion:
        replace_rules(book, book.get(name))


def _ask_score(book: Workbook, name: str, version: str) -> None:
    model = book.get(name)
    if any(ask.id == ask.cause and ask.version == version for ask in model.asks.values()):
        return
    event = EvaluationRequested(
        id=f"evaluate/{name}/{version}/{book.epoch}",
        time=moment(book.us),
        model=name,
        version=version,
        champion_version=model.champion,
        first_epoch=0,
        last_epoch=book.epoch,
        holdout_rows=model.config.retrain.holdout_rows,
        metric=model.config.gate.metric,
    )
    asks = {**model.asks, event.id: Ask(event.id, event.id, version=version)}
    book.put(replace(model, asks=asks), [event])
