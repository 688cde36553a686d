"""One prediction: who answered it, what it was judged by, and where it counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from streamops.audit.biography import Biography, Made, Version
from streamops.core.personal import NAME
from streamops.events import AlertRaised, PredictionMade, RunCompleted, RunStarted
from streamops.web.markup import Markup, Node, link, path, tag
from streamops.web.pages.alert import kind, severity
from streamops.web.pages.layout import badge, command, facts, model_link, page, panel, table
from streamops.web.units import count, duration, moment, name_of, number, span

FEATURE_COLUMNS = ("Feature", "Value")
PANE_COLUMNS = ("Pane", "Segment", "Cut", "Record", "On the log")
ALERT_COLUMNS = ("Severity", "Kind", "What", "Raised", "Alert", "Prove it")
DRIFT_COLUMNS = ("Detector", "Change put at", "Found", "On the log")
JOIN_COLUMNS = ("Epoch", "As", "On the log")
NO_PANE = "No evaluated pane holds it: its pane isn't closed yet, or it was late."
NOTE = "Read from the archive when this page was loaded; it doesn't follow the log."


def search() -> Markup:
    """Return the form that asks for a prediction."""
    return tag(
        "form",
        tag("label", "Explain a prediction, or an alert, by its id", for_="asked"),
        tag("input", id="asked", name="id", type="text", required=True, autocomplete="off"),
        tag("button", "Explain", type="submit"),
        action="/predictions", method="get", class_="chooser", role="search",
    )  # fmt: skip


def prediction_page(found: Biography) -> bytes:
    """Return a prediction's page."""
    made = found.made[0].event
    return page(
        f"Prediction {found.id}",
        tag("h1", "Prediction ", tag("small", found.id)),
        tag("p", NOTE, " The same as text: ", command("streamops explain ID"), ".", class_="note"),
        panel("prediction", "Prediction", about(found), is_live=False),
        panel("features", "Features", *features(found), is_live=False),
        panel("version", "Answered by", *version(made, found.version), is_live=False),
        panel("label", "Label", *labels(found), is_live=False),
        panel("panes", f"Panes it counted in ({len(found.panes)})", *panes(found), is_live=False),
        panel(
            "alerts", f"Alerts it counted in ({len(found.alerts)})", alerts(found), is_live=False
        ),
        trail=((made.model, path("models", made.model)),),
    )


def unknown_page(why: str) -> bytes:
    """Return the page for an id that nothing is known of."""
    return page("Not found", tag("h1", "Not found"), tag("p", why), search())


def about(found: Biography) -> Markup:
    """Return the record's own fields."""
    made = found.made[0].event
    answer: Node = ["no answer: ", made.error] if not isinstance(made, PredictionMade) else None
    score = latency = None
    if isinstance(made, PredictionMade):
        answer, score = _value(made.prediction), made.score
    latency = made.latency_ms
    segments = ", ".join(f"{name}={value}" for name, value in made.segments.items())
    repeats = [(" again on ", again.at, ";") for again in found.made[1:]]
    return facts(
        ("Id", command(found.id)),
        ("Model", [model_link(made.model), " version ", made.version]),
        ("Answer", answer),
        ("Score", "–" if score is None else number(score, "distance")),
        ("Time", moment(made.time)),
        ("Latency", "–" if latency is None else number(latency, "ms")),
        ("Segments", segments or "–"),
        ("On the log", found.made[0].at),
        ("Repeats", [repeats, " dropped while the first was pending"] if repeats else "none"),
    )


def features(found: Biography) -> Iterator[Node]:
    """Yield what the model saw; values about a person only as what became of them."""
    made = found.made[0].event
    if found.personal:
        yield tag("p", "Values about a person: ", found.personal, class_="note")
    raw = bytes(made.features) if isinstance(made, PredictionMade) else b"{}"
    values: dict[str, Any] = msgspec.json.decode(raw)
    rows = [(command(name), _value(value)) for name, value in values.items() if name != NAME]
    if rows or not found.personal:
        yield table("Features", FEATURE_COLUMNS, rows, empty="It was logged without features.")


def version(made: Made, found: Version) -> Iterator[Node]:
    """Yield where the version that answered comes from."""
    step, known = found.step, found.registered
    served: Node = "its deployment step isn't named, or not in the archive"
    if step is not None:
        served = [step.after, " since ", moment(step.time), " by ", command(step.id),
                  f", revision {step.revision}, because of {step.cause}"]  # fmt: skip
    pairs: list[tuple[str, Node]] = [
        ("Version", [model_link(made.model), " ", made.version]),
        ("In", served),
    ]
    if known is None:
        pairs.append(("Registered", "its registration isn't in the archive"))
    else:
        artifact = known.version.artifact
        pairs += [
            ("Registered", moment(known.time)),
            ("Artifact", command(artifact) if artifact else "none: it only reports"),
            ("Reference profile", command(known.version.profile_hash)),
        ]
    yield facts(*pairs, *_run(found.started, found.completed), *_dataset(found))


def _run(started: RunStarted | None, done: RunCompleted | None) -> Iterator[tuple[str, Node]]:
    if started is None:
        yield "Run", "no run is named"
        return
    yield "Run", command(started.run_id)
    yield "Code", command(started.code_commit) if started.code_commit else "no commit recorded"
    libraries = ", ".join(f"{name} {value}" for name, value in sorted(started.environment.items()))
    yield "Environment", libraries or "not recorded"
    if done is not None and done.last_epoch:
        rows = count(done.rows)
        yield "Trained on", [rows, f" outcomes of epochs {done.first_epoch} to {done.last_epoch}"]


def _dataset(found: Version) -> Iterator[tuple[str, Node]]:
    if found.dataset is not None:
        data = found.dataset
        yield "Data set", [f"{data.dataset} {data.version}, content ", command(data.content_hash)]


def labels(found: Biography) -> Iterator[Node]:
    """Yield what came for it, and what was joined from it."""
    if not found.labels:
        yield tag("p", "No label came for it.", class_="empty")
        return
    answered = found.made[0].event.time
    came = ((label.event.label, label.event.time - answered, label.at) for label in found.labels)
    yield facts(
        *(("Label", [_value(label), f", {duration(late)} later, {at}"]) for label, late, at in came)
    )
    rows = (
        (
            "–" if join.event.stamp is None else count(join.event.stamp.epoch),
            ", ".join(("correction" if join.event.correction else "outcome",
                       *(("late",) if join.event.late else ()))),
            join.at,
        )
        for join in found.outcomes
    )  # fmt: skip
    yield table("Outcomes", JOIN_COLUMNS, rows, empty="It isn't joined yet.")


def panes(found: Biography) -> Iterator[Node]:
    """Yield the evaluated panes, and the detectors that had read its outcome."""
    rows = (
        (span(pane.event.pane_start, pane.event.time), pane.event.segment, pane.event.cut,
         command(pane.event.id), pane.at)
        for pane in found.panes
    )  # fmt: skip
    yield table("Panes", PANE_COLUMNS, rows, empty=NO_PANE)
    drifts = [
        (name_of(drift.event.detector), moment(drift.event.since), moment(drift.event.time),
         drift.at)
        for drift in found.drifts
    ]  # fmt: skip
    if drifts:
        yield tag("h3", "Detectors that had read its outcome since the change they found")
        yield table("Detectors", DRIFT_COLUMNS, drifts, empty="")


def alerts(found: Biography) -> Markup:
    """Return the alerts that rest on one of its panes, its outcome, or a test that had read it."""
    rows = (alert_row(raised.event) for raised in found.alerts)
    return table("Alerts", ALERT_COLUMNS, rows, empty="No alert rests on it.")


def alert_row(alert: AlertRaised) -> tuple[Node, ...]:
    """Return an alert's line."""
    what = [name_of(alert.metric), f" of {alert.feature}" if alert.feature else ""]
    segment = [] if alert.segment == "all" else [" in ", alert.segment]
    return (
        severity(alert.severity),
        kind(alert.kind),
        [what, segment],
        moment(alert.time),
        link(alert.id, path("alerts", alert.id)),
        command(f"streamops verify {alert.id}"),
    )


def _value(value: object) -> Node:
    """Return an answer, label or feature as it was written."""
    return badge("none", "quiet") if value is None else command(_text(value))


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
