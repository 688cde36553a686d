"""The life of one prediction in lines that a person reads from the top."""

from __future__ import annotations

from collections.abc import Iterator

from streamops.audit.biography import Biography, Made, Version
from streamops.events import PredictionMade


def as_text(found: Biography) -> str:
    """Return a biography as text."""
    return "\n".join(_lines(found))


def _lines(found: Biography) -> Iterator[str]:
    first = found.made[0]
    yield f"{found.id}"
    yield f"  {_answer(first.event)}, at {first.event.time.isoformat()}"
    yield f"  stands on {first.at}"
    if found.personal:
        yield f"  values about a person: {found.personal}"
    for repeat in found.made[1:]:
        yield f"  again on {repeat.at}: a repeat, dropped while the first was pending"
    yield f"Answered by {first.event.model} version {first.event.version}:"
    yield from _version(found.version)
    yield from _labels(found)
    yield f"Counted in {len(found.panes)} evaluated pane(s):"
    for pane in found.panes:
        metric = pane.event
        yield f"  {metric.segment}, {metric.cut}, {metric.pane_start.isoformat()}: {pane.at}"
    yield f"Counted in {len(found.alerts)} alert(s); `streamops verify --all` proves them:"
    for raised in found.alerts:
        alert = raised.event
        yield f"  {alert.id}: {alert.severity} {alert.kind} by {alert.rule!r}, {raised.at}"


def _answer(made: Made) -> str:
    if not isinstance(made, PredictionMade):
        return f"no answer: {made.error}"
    score = "" if made.score is None else f", score {made.score:.6g}"
    return f"answer {made.prediction!r}{score}"


def _version(found: Version) -> Iterator[str]:
    if found.step is None:
        yield "  its deployment step isn't named, or not in the archive"
    else:
        step = found.step
        yield f"  in {step.after} by {step.id}, revision {step.revision}, because of {step.cause}"
    if found.registered is None:
        yield "  its registration isn't in the archive"
        return
    version = found.registered.version
    yield f"  artifact {version.artifact or '(none: it only reports)'}"
    yield f"  reference profile {version.profile_hash}"
    yield from _run(found)


def _run(found: Version) -> Iterator[str]:
    started, done = found.started, found.completed
    if started is None:
        yield "  no run is named"
        return
    yield f"  run {started.run_id}, code {started.code_commit or '(no commit)'}"
    libraries = ", ".join(f"{name} {value}" for name, value in sorted(started.environment.items()))
    yield f"  environment {libraries or '(not recorded)'}"
    if done is not None and done.last_epoch:
        yield f"  {done.rows} rows of outcomes in epochs {done.first_epoch} to {done.last_epoch}"
    if found.dataset is not None:
        data = found.dataset
        yield f"  data set {data.dataset} {data.version}, content {data.content_hash}"


def _labels(found: Biography) -> Iterator[str]:
    if not found.labels:
        yield "No label came for it."
    for label in found.labels:
        delay = label.event.time - found.made[0].event.time
        yield f"Label {label.event.label!r} {delay} later: {label.at}"
    for outcome in found.outcomes:
        event = outcome.event
        epoch = "unknown" if event.stamp is None else event.stamp.epoch
        says = " as a correction" if event.correction else ""
        late = ", late" if event.late else ""
        yield f"Joined{says} in epoch {epoch}{late}: {outcome.at}"
